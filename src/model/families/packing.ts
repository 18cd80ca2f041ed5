// How the features of crops become the tokens of pictures: rows of the projector's output, or sums of four of them each.
import type { Taps } from '../../kernels/mix-rows/bilinear.ts';
import { extraRow } from '../../kernels/splice/splice.ts';
import type { Visual } from '../input.ts';
import type { TokenGrid } from '../processor/token-grids.ts';

/** How the features of a visual's crops become its tokens. */
export interface Packing {
  /** Rows among the features of the visual's crops, or of `taps`' outputs; `newline` for image_newline. */
  readonly rows: ArrayLike<number>;
  /** Weighted sums of four of the crops' rows each, made first where a map is resized. */
  readonly taps?: Taps;
  /** Where the tokens stand in the picture. */
  readonly grids: readonly TokenGrid[];
}

export const newline: number = extraRow;

/** @param perCrop features that each crop has. @param covered what patches cover of a crop's side. */
export type Packer = (visual: Visual, perCrop: number, covered: number) => Packing;

/** The packings of all visuals, over one matrix of their crops' features. */
export interface Joined {
  /** Of each visual: rows of the features, or of `taps`' outputs. */
  readonly rows: readonly ArrayLike<number>[];
  /** Where a visual is resized. */
  readonly taps?: Taps;
}

export function joinPackings(visuals: readonly Visual[], packings: readonly Packing[], perCrop: number): Joined {
  const counts = visuals.map(({ shape }) => shape[0] * perCrop);
  const shift = (rows: ArrayLike<number>, by: number) =>
    Uint32Array.from(rows, (row) => (row === newline ? newline : row + by));
  const startsOf = (sizes: readonly number[]) =>
    sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
  const starts = startsOf(counts);
  if (packings.every(({ taps }) => !taps)) return { rows: packings.map(({ rows }, i) => shift(rows, starts[i])) };

  // A visual that is not resized passes through: one tap of weight 1 for each of its rows.
  const taps = packings.map((packing, i) => packing.taps ?? identity(counts[i]));
  const mixedStarts = startsOf(taps.map(({ indices }) => indices.length / 4));
  return {
    rows: packings.map(({ rows }, i) => shift(rows, mixedStarts[i])),
    taps: {
      indices: Uint32Array.from(taps.flatMap((t, i) => Array.from(shift(t.indices, starts[i])))),
      weights: Float32Array.from(taps.flatMap((t) => Array.from(t.weights))),
    },
  };
}

/** Taps that change nothing. */
export function identity(rows: number): Taps {
  const indices = new Uint32Array(4 * rows);
  const weights = new Float32Array(4 * rows);
  for (let row = 0; row < rows; row++) {
    indices[4 * row] = row;
    weights[4 * row] = 1;
  }
  return { indices, weights };
}
