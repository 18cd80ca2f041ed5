import type { Rectangle } from '../../base/rectangle.ts';
import * as s from '../../base/schema.ts';
import type { RgbImage } from '../../platform/types.ts';
import { parse } from '../config/json.ts';
import { type Size, unresized } from './anyres.ts';
import {
  type Colour,
  commonSize,
  imageTables,
  paste,
  planCrop,
  type ResizeTo,
  resize,
  resizedSize,
  resizePadded,
  type Scaling,
  stack,
  videoTables,
} from './pixels.ts';
import type { Filter } from './resample.ts';
import {
  classOf,
  clipStatistics,
  commonSettings,
  cropSchema,
  flag,
  parsePixels,
  type Settings,
  siglipStatistics,
  sizeSchema,
  throwIfAny,
} from './settings.ts';

/**
 * What a checkpoint does to an image before the vision tower (HF `CLIPImageProcessor`, `LlavaImageProcessor`,
 * `SiglipImageProcessor`, and to a frame `LlavaOnevisionVideoProcessor`).
 */
export interface ImageProcessorConfig extends Scaling {
  /** Pad to a square in this colour, before anything else. */
  readonly padColour?: Colour;
  readonly resize?: ResizeTo;
  readonly filter: Filter;
  readonly crop?: Size;
}

/** Pixel values as the tower is shown them, and their shape. */
export interface Crops {
  readonly pixels: Float32Array;
  /** [crops, 3, height, width] */
  readonly shape: readonly number[];
  /** What each crop shows of the picture (`Visual.areas`). */
  readonly areas: readonly Rectangle[];
}

const schema = s.object({
  ...commonSettings,
  do_pad: flag,
  size: s.nullish(sizeSchema),
  do_center_crop: flag,
  crop_size: s.nullish(cropSchema),
});

/** The classes that make one crop of an image, and their defaults. */
const classes = {
  CLIPImageProcessor: { size: { shortestEdge: 224 }, crop: { height: 224, width: 224 }, statistics: clipStatistics },
  LlavaImageProcessor: { size: { shortestEdge: 224 }, crop: { height: 224, width: 224 }, statistics: clipStatistics },
  SiglipImageProcessor: { size: { height: 224, width: 224 }, crop: undefined, statistics: siglipStatistics },
};

/**
 * Reads preprocessor_config.json, or the `image_processor` object of processor_config.json.
 * `do_convert_rgb` is not looked at: images are RGB when they get here, as they are from HF's `load_image`.
 * @param fallback the class, where the file names none.
 * @throws ConfigError naming every setting that is wrong or not supported.
 */
export function parseImageProcessor(
  { json, file }: Settings,
  fallback: keyof typeof classes = 'CLIPImageProcessor',
): ImageProcessorConfig {
  const raw = parse(schema, json, file);
  const problems: string[] = [];
  const supported = [...new Set([fallback, ...Object.keys(classes)])];
  const type = classOf(raw, supported, problems) as keyof typeof classes;
  const defaults = classes[type];
  if (raw.do_pad && type !== 'LlavaImageProcessor')
    problems.push('do_pad is supported with LlavaImageProcessor only, which pads to a square before resizing');
  const { filter, scaling, meanColour } = parsePixels(raw, defaults.statistics, problems);
  const crop = raw.crop_size ?? defaults.crop;
  if (raw.do_center_crop && !crop) problems.push('do_center_crop without crop_size');
  throwIfAny(problems, file);
  return {
    ...scaling,
    padColour: raw.do_pad ? meanColour : undefined,
    resize: (raw.do_resize ?? true) ? (raw.size ?? defaults.size) : undefined,
    filter,
    crop: (raw.do_center_crop ?? defaults.crop !== undefined) ? crop : undefined,
  };
}

/**
 * Reads the settings for videos of HF's `LlavaOnevisionVideoProcessor`, which does the same to every frame:
 * video_preprocessor_config.json, the `video_processor` object of processor_config.json, or else preprocessor_config.json.
 * @throws ConfigError naming every setting that is wrong or not supported.
 */
export function parseFrameProcessor({ json, file }: Settings): ImageProcessorConfig {
  const raw = parse(schema, json, file);
  const problems: string[] = [];
  const { filter, scaling } = parsePixels(raw, clipStatistics, problems);
  if (raw.do_center_crop && !raw.crop_size) problems.push('do_center_crop without crop_size');
  throwIfAny(problems, file);
  return {
    ...scaling,
    resize: (raw.do_resize ?? true) ? (raw.size ?? { height: 384, width: 384 }) : undefined,
    filter,
    crop: raw.do_center_crop ? (raw.crop_size ?? undefined) : undefined,
  };
}

/**
 * One image through the whole of it: pad, resize, centre crop, rescale, normalise, in HF's order and rounding.
 * @throws InputError for an image so narrow that resizing its short side makes it huge.
 */
export function processImage(image: RgbImage, config: ImageProcessorConfig): Crops {
  return { ...stack([cropImage(image, config)], imageTables(config)), areas: [cropArea(image, config)] };
}

/** What `processImage` gives, without the pixels. */
export function processedShape(image: Size, config: ImageProcessorConfig): readonly number[] {
  const { width, height } = config.crop ?? sizeBeforeCrop(image, config);
  return [1, 3, height, width];
}

/** Frames of one size to [frames, 3, height, width]. */
export function processFrames(frames: readonly RgbImage[], config: ImageProcessorConfig): Crops {
  const area = cropArea(commonSize(frames), config, 'behind');
  const crops = stack(
    frames.map((frame) => cropImage(frame, config, 'behind')),
    videoTables(config),
  );
  return { ...crops, areas: frames.map(() => area) };
}

/**
 * The steps on 8-bit pixels. Of the resized image only what the crop shows is made.
 * @param largerHalf see `planCrop`.
 */
export function cropImage(
  image: RgbImage,
  config: ImageProcessorConfig,
  largerHalf: 'before' | 'behind' = 'before',
): RgbImage {
  const { padColour: colour, filter, crop } = config;
  const size = sizeBeforeCrop(image, config);
  const resized = (part?: Rectangle) =>
    colour ? resizePadded(image, colour, size, filter, part) : resize(image, size, filter, part);
  if (!crop) return resized();
  const { part, left, top } = planCrop(size, crop, largerHalf);
  const cropped = { ...crop, data: new Uint8Array(crop.width * crop.height * 3) };
  paste(cropped, resized(part), left, top);
  return cropped;
}

/** What `cropImage` shows of an image, in its pixels. */
export function cropArea(
  image: Size,
  config: ImageProcessorConfig,
  largerHalf: 'before' | 'behind' = 'before',
): Rectangle {
  const { padColour, crop } = config;
  const size = sizeBeforeCrop(image, config);
  const { part, left, top } = planCrop(size, crop ?? size, largerHalf);
  const whole = { top: part.top - top, left: part.left - left, ...(crop ?? size) };
  if (!padColour) return unresized(whole, size, image);
  const side = Math.max(image.width, image.height);
  const area = unresized(whole, size, { width: side, height: side });
  return {
    ...area,
    top: area.top - Math.floor((side - image.height) / 2),
    left: area.left - Math.floor((side - image.width) / 2),
  };
}

function sizeBeforeCrop({ width, height }: Size, { padColour, resize: to }: ImageProcessorConfig): Size {
  const side = Math.max(width, height);
  const from = padColour ? { width: side, height: side } : { width, height };
  return to ? resizedSize(from, to) : from;
}
