// A picture as the tower is shown it, with weights over its patches burnt in.
import { greatest } from '../base/extremes.ts';
import type { Planes } from '../model/processor/token-grids.ts';
import { encodePng } from './png.ts';

/** What pixel values black and white are, by channel (`Processor.blackAndWhite`). */
export type BlackAndWhite = readonly [black: readonly number[], white: readonly number[]];

/** The colour of a weight, from yellow, hardly there, to red, which hides the picture. @param t share of the greatest weight. */
export function heat(t: number): { rgb: [number, number, number]; opacity: number } {
  const mix = (from: number, to: number) => Math.round(from + (to - from) * t);
  return { rgb: [mix(255, 205), mix(221, 10), mix(60, 10)], opacity: 0.88 * t ** 0.8 };
}

/**
 * A PNG of the picture in grey, the deeper a red over each patch the more its weight.
 * @param values [rows, columns], none negative.
 * @param longSide pixels at most; a larger picture is drawn smaller.
 */
export async function attentionPicture(
  grid: { readonly rows: number; readonly columns: number; picture(): Planes },
  values: ArrayLike<number>,
  blackAndWhite: BlackAndWhite,
  longSide: number,
): Promise<Uint8Array> {
  const picture = shrink(grid.picture(), longSide);
  const { width, height } = picture;
  const rgb = greyPicture(picture, blackAndWhite);
  const most = greatest(Array.from(values), 0);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const cell = Math.floor((y * grid.rows) / height) * grid.columns + Math.floor((x * grid.columns) / width);
      const { rgb: colour, opacity } = heat(most > 0 ? values[cell] / most : 0);
      const at = 3 * (y * width + x);
      for (let c = 0; c < 3; c++) rgb[at + c] = Math.round(rgb[at + c] * (1 - opacity) + colour[c] * opacity);
    }
  return encodePng(width, height, rgb);
}

/** Every so many pixels, so that the longer side has at most `longSide`. */
function shrink(picture: Planes, longSide: number): Planes {
  const stride = Math.ceil(Math.max(picture.width, picture.height) / longSide);
  if (stride === 1) return picture;
  const [width, height] = [Math.ceil(picture.width / stride), Math.ceil(picture.height / stride)];
  const data = Float32Array.from({ length: 3 * width * height }, (_, i) => {
    const [plane, y, x] = [Math.floor(i / (width * height)), Math.floor(i / width) % height, i % width];
    return picture.data[(plane * picture.height + y * stride) * picture.width + x * stride];
  });
  return { width, height, data };
}

/** 8-bit RGB, from pixel values. */
export const colourPicture = (picture: Planes, range: BlackAndWhite) => toBytes(picture, range, (rgb) => rgb);

/** In grey, so that all colour is weight, and a little lighter, so that black patches show theirs. */
export const greyPicture = (picture: Planes, range: BlackAndWhite) =>
  toBytes(picture, range, ([r, g, b]) => Array(3).fill(0.18 + 0.82 * (0.299 * r + 0.587 * g + 0.114 * b)));

function toBytes(
  { width, height, data }: Planes,
  [black, white]: BlackAndWhite,
  colourOf: (rgb: number[]) => number[],
): Uint8Array {
  const plane = width * height;
  const rgb = new Uint8Array(plane * 3);
  for (let i = 0; i < plane; i++) {
    const shares = [0, 1, 2].map((c) => (data[c * plane + i] - black[c]) / (white[c] - black[c] || 1));
    for (const [c, x] of colourOf(shares).entries()) rgb[3 * i + c] = Math.round(255 * Math.min(1, Math.max(0, x)));
  }
  return rgb;
}
