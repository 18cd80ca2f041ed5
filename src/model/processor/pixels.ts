// The steps that image and video processing is made of: on 8-bit pictures, until they become numbers.
import type { Rectangle } from '../../base/rectangle.ts';
import type { RgbImage } from '../../platform/types.ts';
import { InputError } from '../errors.ts';
import type { Size } from './anyres.ts';
import { columnsGoFirst, type Filter, resample } from './resample.ts';
import { roundHalfEven } from './rounding.ts';

export type Colour = readonly [number, number, number];

/** How 8-bit values become what the tower is shown. */
export interface Scaling {
  /** Pixel values are multiplied by it. */
  readonly rescaleFactor?: number;
  readonly normalize?: { readonly mean: readonly number[]; readonly std: readonly number[] };
}

/** Above this, a picture made here is refused: one of 1x10000 would become 336x3360000. */
export const maxPixels = 2 ** 26;

/** Longer sides are not padded to squares: it would take seconds. */
const maxPaddedSide = 16384;
/** Rows that are padded at a time: the square of a panorama is not made as a whole. */
const bandHeight = 256;

/**
 * `resize` of a square with the picture in its middle, on a colour (HF `pad_to_square`). Rows of the colour alone stay what
 * they are.
 * @throws InputError where the square would be huge, the colour is none, or as `resize` does.
 */
export function resizePadded(
  image: RgbImage,
  colour: Colour,
  { width, height }: Size,
  filter: Filter,
  window: Rectangle = { top: 0, left: 0, width, height },
): RgbImage {
  if (image.width === image.height) return resize(image, { width, height }, filter, window);
  const name = `an image of ${image.width}x${image.height}`;
  const side = Math.max(image.width, image.height);
  if (side > maxPaddedSide) throw new InputError(`${name} is too large to be padded to a square; make it smaller`);
  if (colour.some((value) => value < 0 || value > 255))
    throw new InputError(
      `${name} cannot be padded to a square: image_mean times 255 is [${colour}], which is no colour`,
    );
  checkResize({ width: side, height: side }, { width, height }, window);
  const [x, y] = [Math.floor((side - image.width) / 2), Math.floor((side - image.height) / 2)];
  const narrow = plain(window.width, side, colour);
  for (let top = y; top < y + image.height; top += bandHeight) {
    const band = plain(side, Math.min(bandHeight, y + image.height - top), colour);
    paste(band, image, x, y - top);
    const part = { top: 0, left: window.left, width: window.width, height: band.height };
    paste(narrow, resample(band, width, band.height, filter, part), 0, top);
  }
  return resample(narrow, window.width, height, filter, { ...window, left: 0 });
}

function plain(width: number, height: number, colour: Colour): RgbImage {
  const data = new Uint8Array(width * height * 3);
  data.set(colour);
  for (let done = 3; done < data.length; done *= 2) data.copyWithin(done, 0, done);
  return { width, height, data };
}

/**
 * Pillow's resize, with a bound on what is made.
 * @param window the part of the result that is made; all of it by default.
 * @throws InputError for too many pixels.
 */
export function resize(
  image: RgbImage,
  { width, height }: Size,
  filter: Filter,
  window: Rectangle = { top: 0, left: 0, width, height },
): RgbImage {
  checkResize(image, { width, height }, window);
  return resample(image, width, height, filter, window);
}

/** @throws InputError where what is made, or what is made on the way, has too many pixels. */
function checkResize(image: Size, { width, height }: Size, window: Rectangle): void {
  const between = columnsGoFirst(image, height) ? image.width * window.height : window.width * image.height;
  if (width < 1 || height < 1 || Math.max(between, window.width * window.height) > maxPixels)
    throw new InputError(
      `an image of ${image.width}x${image.height} would be resized to ${width}x${height}, which is too ${width * height ? 'large' : 'small'}; crop it`,
    );
}

/** How HF's image processors resize: to a size; by the short side, to a bound of the long one; or to fit a box. */
export type ResizeTo =
  | Size
  | { readonly shortestEdge: number; readonly longestEdge?: number }
  | { readonly maxHeight: number; readonly maxWidth: number };

/**
 * The size that an image is resized to (HF `get_resize_output_image_size`, `get_size_with_aspect_ratio`,
 * `get_image_size_for_max_height_width`): sides that follow from others are cut off, not rounded.
 */
export function resizedSize(image: Size, to: ResizeTo): Size {
  const { height, width } = image;
  if ('height' in to) return to;
  if ('maxHeight' in to) {
    const scale = Math.min(to.maxHeight / height, to.maxWidth / width);
    return { height: Math.trunc(height * scale), width: Math.trunc(width * scale) };
  }
  const [short, long] = [Math.min(height, width), Math.max(height, width)];
  const longest = to.longestEdge ?? Number.POSITIVE_INFINITY;
  const isBound = (long / short) * to.shortestEdge > longest;
  const exact = isBound ? (longest * short) / long : to.shortestEdge;
  const edge = isBound ? roundHalfEven(exact) : exact;
  if (short === edge) return image;
  const other = Math.trunc((exact * long) / short);
  return width <= height ? { width: edge, height: other } : { width: other, height: edge };
}

/** A part of an image, and where its corner stands in a crop. */
export interface CropPlan {
  readonly part: Rectangle;
  readonly left: number;
  readonly top: number;
}

/**
 * Which part of an image a centre crop shows, and where: a smaller image stands in its middle, on 0 before rescaling and
 * normalising. Where an odd rest is filled, its larger half is before the image in HF's NumPy, which images go through
 * (`image_transforms.center_crop`), and behind it in its torchvision, which videos do (`TorchvisionBackend.center_crop`).
 */
export function planCrop(image: Size, crop: Size, largerHalf: 'before' | 'behind'): CropPlan {
  const half = largerHalf === 'before' ? Math.ceil : Math.floor;
  const axis = (from: number, to: number) =>
    from >= to
      ? { start: Math.floor((from - to) / 2), length: to, at: 0 }
      : { start: 0, length: from, at: half((to - from) / 2) };
  const x = axis(image.width, crop.width);
  const y = axis(image.height, crop.height);
  return { part: { left: x.start, top: y.start, width: x.length, height: y.length }, left: x.at, top: y.at };
}

/** Copies the part of `source` that falls inside `target` when its corner is put at (left, top). */
export function paste(target: RgbImage, source: RgbImage, left: number, top: number): void {
  const x0 = Math.max(0, left);
  const x1 = Math.min(target.width, left + source.width);
  for (let y = Math.max(0, top); y < Math.min(target.height, top + source.height); y++) {
    const from = ((y - top) * source.width + (x0 - left)) * 3;
    target.data.set(source.data.subarray(from, from + (x1 - x0) * 3), (y * target.width + x0) * 3);
  }
}

/** For each of the three channels, what each of the 256 values becomes. */
export type ChannelTables = readonly [Float32Array, Float32Array, Float32Array];

const f32 = Math.fround;

/** As NumPy computes it in HF's image processors: the product in double precision, the rest in single. */
export const imageTables = ({ rescaleFactor, normalize }: Scaling): ChannelTables =>
  tables((v, c) => {
    const rescaled = f32(rescaleFactor === undefined ? v : v * rescaleFactor);
    return normalize ? f32(f32(rescaled - f32(normalize.mean[c])) / f32(normalize.std[c])) : rescaled;
  });

/** As torch computes it in HF's video processors: with mean and deviation scaled up instead of the pixels down. */
export function videoTables({ rescaleFactor, normalize }: Scaling): ChannelTables {
  if (rescaleFactor === undefined) return imageTables({ normalize });
  if (!normalize) return tables((v) => f32(v * f32(rescaleFactor)));
  const up = (x: number) => f32(f32(x) * f32(1 / rescaleFactor));
  return tables((v, c) => f32(f32(v - up(normalize.mean[c])) / up(normalize.std[c])));
}

const tables = (value: (v: number, channel: number) => number): ChannelTables => {
  const table = (c: number) => Float32Array.from({ length: 256 }, (_, v) => value(v, c));
  return [table(0), table(1), table(2)];
};

/** The size that all pictures have. @throws InputError where they differ, as frames of a video must not. */
export function commonSize(pictures: readonly RgbImage[]): Size {
  if (pictures.length === 0) throw new InputError('a video without frames');
  const [{ width, height }] = pictures;
  const other = pictures.find((picture) => picture.width !== width || picture.height !== height);
  if (other)
    throw new InputError(
      `the frames of a video must have one size: ${width}x${height} and ${other.width}x${other.height}; resize them to one`,
    );
  return { width, height };
}

/** Pictures of one size as [pictures, 3, height, width]. */
export function stack(pictures: readonly RgbImage[], channels: ChannelTables) {
  const { width, height } = commonSize(pictures);
  if (pictures.length * width * height > maxPixels)
    throw new InputError(`${pictures.length} pictures of ${width}x${height} pixels are too many; take fewer`);
  const plane = width * height;
  const pixels = new Float32Array(pictures.length * 3 * plane);
  for (const [n, { data }] of pictures.entries())
    for (const [c, table] of channels.entries()) {
      const at = (n * 3 + c) * plane;
      for (let i = 0; i < plane; i++) pixels[at + i] = table[data[i * 3 + c]];
    }
  return { pixels, shape: [pictures.length, 3, height, width] };
}
