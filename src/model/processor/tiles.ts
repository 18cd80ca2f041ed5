import type { Rectangle } from '../../base/rectangle.ts';
import * as s from '../../base/schema.ts';
import type { RgbImage } from '../../platform/types.ts';
import { parse } from '../config/json.ts';
import { ConfigError } from '../errors.ts';
import { type Size, selectBestResolution, unresized } from './anyres.ts';
import { type Crops, cropArea, cropImage, type ImageProcessorConfig, processImage } from './image-processor.ts';
import { type Colour, imageTables, maxPixels, paste, type ResizeTo, resize, resizedSize, stack } from './pixels.ts';
import {
  classOf,
  clipStatistics,
  commonSettings,
  cropSchema,
  flag,
  parsePixels,
  type Settings,
  side,
  sizeSchema,
  throwIfAny,
} from './settings.ts';

/** How an image of any resolution becomes crops (HF `LlavaNextImageProcessor`, `LlavaOnevisionImageProcessor`). */
export interface TilingConfig {
  /** The resolutions that an image may be fitted into. */
  readonly pinpoints: readonly Size[];
  /** Side of a tile as it is cut. */
  readonly tile: number;
  /** What the whole image is resized to. */
  readonly whole: Size;
  /** What the whole image and every tile go through then; all of them leave it as squares of `side`. */
  readonly each: ImageProcessorConfig;
  readonly side: number;
  /** The mean colour, where the image is one of several and not tiled. */
  readonly padColour: Colour;
}

const pinpointSchema = s.pipe(
  s.tuple([side, side]),
  s.transform(([height, width]): Size => ({ height, width })),
);
export const pinpointsSchema = s.list(pinpointSchema, 1, 1000);

const schema = s.object({
  ...commonSettings,
  size: s.nullish(sizeSchema),
  do_center_crop: flag,
  crop_size: s.nullish(cropSchema),
  image_grid_pinpoints: s.nullish(pinpointsSchema),
});

export const nextPinpoints: readonly Size[] = [
  { height: 336, width: 672 },
  { height: 672, width: 336 },
  { height: 672, width: 672 },
  { height: 1008, width: 336 },
  { height: 336, width: 1008 },
];

/** All grids of 1x1 to n x n tiles, row by row. */
export const gridPinpoints = (tile: number, n: number): Size[] =>
  Array.from({ length: n * n }, (_, i) => ({ height: tile * (1 + Math.floor(i / n)), width: tile * (1 + (i % n)) }));

const defaults = {
  LlavaNextImageProcessor: {
    size: { shortestEdge: 224 },
    crop: { height: 224, width: 224 },
    pinpoints: nextPinpoints,
  },
  LlavaOnevisionImageProcessor: {
    size: { height: 384, width: 384 },
    crop: undefined,
    pinpoints: gridPinpoints(384, 6),
  },
};

/**
 * Reads preprocessor_config.json, or the `image_processor` object of processor_config.json, of one of the two classes.
 * `do_pad` is not looked at: it is about batches of images, and has no effect on what an image becomes.
 * @throws ConfigError naming every setting that is wrong or not supported.
 */
export function parseTiling({ json, file }: Settings, type: keyof typeof defaults): TilingConfig {
  const raw = parse(schema, json, file);
  const problems: string[] = [];
  classOf(raw, [type], problems);
  const { filter, scaling, meanColour } = parsePixels(raw, clipStatistics, problems);
  const size = raw.size ?? defaults[type].size;
  if ('maxHeight' in size)
    throw new ConfigError(
      `${file}: size {"max_height", "max_width"} is not supported with ${type}, whose tiles are cut by one side`,
    );
  const cropSize = raw.crop_size ?? defaults[type].crop;
  if (raw.do_center_crop && !cropSize) problems.push('do_center_crop without crop_size');
  throwIfAny(problems, file);
  return tiling(
    {
      pinpoints: raw.image_grid_pinpoints ?? defaults[type].pinpoints,
      size,
      // the tile is cut to the crop's size even where nothing is cropped
      tile: cropSize ?? size,
      each: {
        ...scaling,
        filter,
        resize: (raw.do_resize ?? true) ? size : undefined,
        crop: (raw.do_center_crop ?? defaults[type].crop !== undefined) ? cropSize : undefined,
      },
      padColour: meanColour,
    },
    file,
  );
}

type Edge = Exclude<ResizeTo, { readonly maxHeight: number }>;

/**
 * Settings put together, and checked: tiles are square and cover the pinpoints.
 * @throws ConfigError where they do not.
 */
export function tiling(
  parts: Pick<TilingConfig, 'pinpoints' | 'each' | 'padColour'> & { readonly size: Edge; readonly tile: Edge },
  file: string,
): TilingConfig {
  const whole = boxOf(parts.size);
  const tile = boxOf(parts.tile).height;
  const { each } = parts;
  const after = (crop: Size) => each.crop ?? (each.resize ? resizedSize(crop, each.resize) : crop);
  const out = after({ height: tile, width: tile });
  const wholeOut = after(whole);
  const problems: string[] = [];
  if (out.height !== out.width)
    problems.push(`tiles of ${out.height}x${out.width} pixels are not supported; they must be square`);
  if (wholeOut.height !== out.height || wholeOut.width !== out.width)
    problems.push(
      `the whole image becomes ${wholeOut.height}x${wholeOut.width} pixels, its tiles ${out.height}x${out.width}`,
    );
  for (const { height, width } of parts.pinpoints) {
    const crops = 1 + Math.ceil(height / tile) * Math.ceil(width / tile);
    if (height % tile || width % tile)
      problems.push(`image_grid_pinpoints: [${height}, ${width}] is not a multiple of the tile's side, ${tile}`);
    else if (height * width > maxPixels || crops * out.height * out.width > maxPixels)
      problems.push(`image_grid_pinpoints: [${height}, ${width}] is too large`);
  }
  throwIfAny(problems, file);
  return { pinpoints: parts.pinpoints, tile, whole, each, side: out.height, padColour: parts.padColour };
}

const boxOf = (size: Edge): Size =>
  'shortestEdge' in size ? { height: size.shortestEdge, width: size.shortestEdge } : size;

/** The whole image, then its tiles row by row: [1 + tiles, 3, side, side]. */
export function tileImage(image: RgbImage, config: TilingConfig): Crops {
  const { pinpoints, tile, whole, each } = config;
  const best = selectBestResolution(image, pinpoints);
  const fitted = fitInto(image, best, config);
  const crops = [resize(image, whole, each.filter)];
  for (let top = 0; top < best.height; top += tile)
    for (let left = 0; left < best.width; left += tile) crops.push(cut(fitted, left, top, tile));
  const stacked = stack(
    crops.map((crop) => cropImage(crop, each)),
    imageTables(each),
  );
  return { ...stacked, areas: tileAreas(image, config) };
}

/** What `tileImage` shows of an image in each crop, in its pixels. */
function tileAreas(image: Size, { pinpoints, tile, whole, each }: TilingConfig): Rectangle[] {
  const best = selectBestResolution(image, pinpoints);
  const size = fittedSize(image, best);
  const corner = cornerIn(best, size);
  const areas = [unresized(cropArea(whole, each), whole, image)];
  const ofTile = cropArea({ height: tile, width: tile }, each);
  for (let top = -corner.top; top < best.height - corner.top; top += tile)
    for (let left = -corner.left; left < best.width - corner.left; left += tile) {
      const part = { ...ofTile, top: top + ofTile.top, left: left + ofTile.left };
      areas.push(unresized(part, size, image));
    }
  return areas;
}

/** What `tileImage` gives, without the pixels. */
export function tiledShape(image: Size, { pinpoints, tile, side }: TilingConfig): readonly number[] {
  const best = selectBestResolution(image, pinpoints);
  return [1 + (best.height / tile) * (best.width / tile), 3, side, side];
}

/** The whole image padded to a square, and no tiles: what OneVision is shown of each of several images. */
export function squareImage(image: RgbImage, { each, padColour }: TilingConfig): Crops {
  return processImage(image, { ...each, padColour });
}

/** The size that an image has in a box, aspect kept (HF `get_patch_output_size`). */
export function fittedSize(image: Size, box: Size): Size {
  const across = box.width / image.width;
  const down = box.height / image.height;
  return across < down
    ? { width: box.width, height: Math.min(Math.ceil(image.height * across), box.height) }
    : { width: Math.min(Math.ceil(image.width * down), box.width), height: box.height };
}

/** Where a picture in the middle of a box begins. */
const cornerIn = (box: Size, { width, height }: Size) => ({
  left: Math.floor((box.width - width) / 2),
  top: Math.floor((box.height - height) / 2),
});

/** Resized to fit a box, in the middle of black. */
function fitInto(image: RgbImage, box: Size, { each }: TilingConfig): RgbImage {
  const size = fittedSize(image, box);
  const fitted = { ...box, data: new Uint8Array(box.width * box.height * 3) };
  const { left, top } = cornerIn(box, size);
  paste(fitted, resize(image, size, each.filter), left, top);
  return fitted;
}

function cut(image: RgbImage, left: number, top: number, tile: number): RgbImage {
  const out = { width: tile, height: tile, data: new Uint8Array(tile * tile * 3) };
  paste(out, image, -left, -top);
  return out;
}
