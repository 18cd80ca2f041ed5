import { z } from 'zod';
import type { RgbImage } from '../../platform/types.ts';
import { ConfigError, InputError } from '../errors.ts';
import { parse } from '../json.ts';
import { type Filter, filterNames, resample } from './resample.ts';

interface Size {
  readonly height: number;
  readonly width: number;
}

/** What a checkpoint does to an image before the vision tower (HF `CLIPImageProcessor`, `LlavaImageProcessor`, `SiglipImageProcessor`). */
export interface ImageProcessorConfig {
  /** Pad to a square in this colour, before anything else. */
  readonly padColour?: readonly [number, number, number];
  /** The short side, or both. */
  readonly resize?: { readonly shortestEdge: number } | Size;
  readonly filter: Filter;
  readonly crop?: Size;
  /** Pixel values are multiplied by it. */
  readonly rescaleFactor?: number;
  readonly normalize?: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

export interface PixelValues extends Size {
  /** [3, height, width], normalised. */
  readonly data: Float32Array;
}

const clipMean = [0.48145466, 0.4578275, 0.40821073];
const clipStd = [0.26862954, 0.26130258, 0.27577711];

const side = z.int().min(1).max(16384);
const box = z.strictObject({ height: side, width: side });
const pair = z.tuple([side, side]).transform(([height, width]) => ({ height, width }));
const sizeSchema = z.union([box, z.strictObject({ shortest_edge: side }), pair, side], {
  error: 'supported: {"shortest_edge": n}, {"height": n, "width": n}, with sides from 1 to 16384',
});
const cropSchema = z.union([box, pair, side.transform((n) => ({ height: n, width: n }))], {
  error: 'supported: {"height": n, "width": n}, with sides from 1 to 16384',
});
const triple = z.tuple([z.number(), z.number(), z.number()]);
const perChannel = z.union([triple, z.number().transform((v): [number, number, number] => [v, v, v])], {
  error: 'expected three numbers, or one',
});

// Settings that the HF classes read; whatever else is in the file has no effect there either. Null means the default.
const schema = z.object({
  image_processor_type: z.string().nullish(),
  feature_extractor_type: z.string().nullish(),
  do_pad: z.boolean().nullish(),
  do_resize: z.boolean().nullish(),
  size: sizeSchema.nullish(),
  resample: z.int().min(0).max(5).nullish(),
  do_center_crop: z.boolean().nullish(),
  crop_size: cropSchema.nullish(),
  do_rescale: z.boolean().nullish(),
  rescale_factor: z.number().nullish(),
  do_normalize: z.boolean().nullish(),
  image_mean: perChannel.nullish(),
  image_std: perChannel.nullish(),
  data_format: z.string().nullish(),
});

const supportedTypes =
  /^(CLIPImageProcessor|LlavaImageProcessor|SiglipImageProcessor)(Fast|Pil)?$|^CLIPFeatureExtractor$/;

/**
 * Reads preprocessor_config.json, or the `image_processor` object of processor_config.json.
 * `do_convert_rgb` is not looked at: images are RGB when they get here, as they are from HF's `load_image`.
 * @throws ConfigError naming every setting that is wrong or not supported.
 */
export function parseImageProcessor(json: unknown, file: string): ImageProcessorConfig {
  const raw = parse(schema, json, file);
  const problems: string[] = [];
  const type = raw.image_processor_type ?? raw.feature_extractor_type ?? 'CLIPImageProcessor';
  if (!supportedTypes.test(type))
    problems.push(
      `image_processor_type ${JSON.stringify(type)} is not supported; supported: CLIPImageProcessor, LlavaImageProcessor, SiglipImageProcessor`,
    );
  if (raw.data_format != null && raw.data_format !== 'channels_first')
    problems.push(`data_format ${JSON.stringify(raw.data_format)} is not supported; supported: "channels_first"`);
  if (raw.do_pad && !type.startsWith('Llava'))
    problems.push('do_pad is supported with LlavaImageProcessor only, which pads to a square before resizing');
  const isSiglip = type.startsWith('Siglip');
  const mean = raw.image_mean ?? (isSiglip ? [0.5, 0.5, 0.5] : clipMean);
  const std = raw.image_std ?? (isSiglip ? [0.5, 0.5, 0.5] : clipStd);
  if (std.includes(0)) problems.push('image_std: 0 cannot be divided by');
  if (problems.length) throw new ConfigError(`${file}: ${problems.join('; ')}`);

  const size = raw.size ?? (isSiglip ? { height: 224, width: 224 } : { shortest_edge: 224 });
  const shortestEdge = typeof size === 'number' ? size : 'shortest_edge' in size ? size.shortest_edge : undefined;
  return {
    padColour: raw.do_pad ? [toByte(mean[0]), toByte(mean[1]), toByte(mean[2])] : undefined,
    resize: (raw.do_resize ?? true) ? (shortestEdge ? { shortestEdge } : (size as Size)) : undefined,
    filter: filterNames[raw.resample ?? 3],
    crop: (raw.do_center_crop ?? !isSiglip) ? (raw.crop_size ?? { height: 224, width: 224 }) : undefined,
    rescaleFactor: (raw.do_rescale ?? true) ? (raw.rescale_factor ?? 1 / 255) : undefined,
    normalize: (raw.do_normalize ?? true) ? { mean, std } : undefined,
  };
}

/** Python's int() of a share of 255. */
const toByte = (share: number) => Math.trunc(share * 255);

/** Above this, a resized image is refused: a picture of 1x10000 would become 336x3360000. */
const maxResizedPixels = 2 ** 26;

/**
 * One image through the whole of it: pad, resize, centre crop, rescale, normalise, in HF's order and rounding.
 * @throws InputError for an image so narrow that resizing its short side makes it huge.
 */
export function processImage(image: RgbImage, config: ImageProcessorConfig): PixelValues {
  const padded = config.padColour ? padToSquare(image, config.padColour) : image;
  const resized = config.resize ? resize(padded, config.resize, config.filter) : padded;
  const cropped = config.crop ? centreCrop(resized, config.crop) : resized;
  return toPixelValues(cropped, config);
}

function padToSquare(image: RgbImage, colour: readonly [number, number, number]): RgbImage {
  const size = Math.max(image.width, image.height);
  if (image.width === image.height) return image;
  if (size * size > maxResizedPixels)
    throw new InputError(
      `an image of ${image.width}x${image.height} is too large to be padded to a square; make it smaller`,
    );
  const data = new Uint8Array(size * size * 3);
  for (let i = 0; i < data.length; i += 3) data.set(colour, i);
  const padded = { width: size, height: size, data };
  copyInto(padded, image, Math.floor((size - image.width) / 2), Math.floor((size - image.height) / 2));
  return padded;
}

function resize(image: RgbImage, size: NonNullable<ImageProcessorConfig['resize']>, filter: Filter): RgbImage {
  const { width, height } = 'shortestEdge' in size ? byShortestEdge(image, size.shortestEdge) : size;
  if (width * height > maxResizedPixels)
    throw new InputError(
      `an image of ${image.width}x${image.height} would be resized to ${width}x${height}, which is too large; crop it`,
    );
  return resample(image, width, height, filter);
}

/** HF `get_resize_output_image_size`: the long side is rounded down. */
function byShortestEdge({ width, height }: RgbImage, edge: number): Size {
  const long = (from: number, short: number) => Math.trunc((edge * from) / short);
  return width <= height ? { width: edge, height: long(height, width) } : { width: long(width, height), height: edge };
}

/** HF `center_crop`: what lies outside a smaller image is 0, before rescaling and normalising. */
function centreCrop(image: RgbImage, { width, height }: Size): RgbImage {
  const cropped = { width, height, data: new Uint8Array(width * height * 3) };
  copyInto(cropped, image, cropOffset(image.width, width), cropOffset(image.height, height));
  return cropped;
}

/** Where the image starts in the crop; an odd rest goes to the end when cropping and to the start when padding. */
function cropOffset(from: number, to: number): number {
  return from >= to ? -Math.floor((from - to) / 2) : Math.ceil((to - from) / 2);
}

/** Copies the part of `source` that falls inside `target` when its corner is put at (left, top). */
function copyInto(target: RgbImage, source: RgbImage, left: number, top: number): void {
  const x0 = Math.max(0, left);
  const x1 = Math.min(target.width, left + source.width);
  for (let y = Math.max(0, top); y < Math.min(target.height, top + source.height); y++) {
    const from = ((y - top) * source.width + (x0 - left)) * 3;
    target.data.set(source.data.subarray(from, from + (x1 - x0) * 3), (y * target.width + x0) * 3);
  }
}

function toPixelValues({ width, height, data }: RgbImage, config: ImageProcessorConfig): PixelValues {
  const plane = width * height;
  const out = new Float32Array(3 * plane);
  for (let c = 0; c < 3; c++) {
    const values = channelValues(c, config);
    for (let i = 0; i < plane; i++) out[c * plane + i] = values[data[i * 3 + c]];
  }
  return { data: out, width, height };
}

/** What each of the 256 values becomes: the product in double precision, the rest in single, as NumPy does it in HF. */
function channelValues(channel: number, { rescaleFactor, normalize }: ImageProcessorConfig): Float32Array {
  const f32 = Math.fround;
  return Float32Array.from({ length: 256 }, (_, v) => {
    const rescaled = f32(rescaleFactor === undefined ? v : v * rescaleFactor);
    if (!normalize) return rescaled;
    return f32(f32(rescaled - f32(normalize.mean[channel])) / f32(normalize.std[channel]));
  });
}
