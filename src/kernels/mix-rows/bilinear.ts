import { ShapeError } from '../../gpu/errors.ts';
import { taps } from './mix-rows.wgsl.ts';

const { fround } = Math;

/** What `mixRows` takes: for each row of the output four rows and their weights, which sum up to 1. */
export interface Taps {
  /** [n, 4] */
  readonly indices: Uint32Array<ArrayBuffer>;
  /** [n, 4] */
  readonly weights: Float32Array<ArrayBuffer>;
}

/**
 * The taps that resize a map of features as torch's `interpolate(size, mode="bilinear", align_corners=False)` does, without
 * antialiasing. Coordinates are computed in float32 like torch's, as near a whole number another rounding takes other rows.
 *
 * @param rowOf the row that holds position (y, x) of the map, where that is not y * fromWidth + x: parts of the map may lie
 *   in tiles, or amid rows that do not belong to it
 * @returns taps of toHeight * toWidth rows, row-major
 * @throws ShapeError for sizes that are no positive integers
 */
export function bilinearTaps(
  fromHeight: number,
  fromWidth: number,
  toHeight: number,
  toWidth: number,
  rowOf: (y: number, x: number) => number = (y, x) => y * fromWidth + x,
): Taps {
  if (![fromHeight, fromWidth, toHeight, toWidth].every((n) => Number.isInteger(n) && n >= 1))
    throw new ShapeError(
      `bilinear taps from ${fromHeight} x ${fromWidth} to ${toHeight} x ${toWidth}: sizes are to be 1 or more`,
    );
  const [down, across] = [axis(fromHeight, toHeight), axis(fromWidth, toWidth)];
  const indices = new Uint32Array(toHeight * toWidth * taps);
  const weights = new Float32Array(indices.length);
  let at = 0;
  for (const vertical of down)
    for (const horizontal of across)
      for (const [y, weightY] of vertical)
        for (const [x, weightX] of horizontal) {
          indices[at] = rowOf(y, x);
          weights[at++] = weightY * weightX;
        }
  return { indices, weights };
}

/** For each position of an axis of `to`, the two positions of the axis of `from` around it and their weights. */
function axis(from: number, to: number): [position: number, weight: number][][] {
  const scale = fround(from / to);
  return Array.from({ length: to }, (_, i) => {
    // One rounding, not two: torch's compilers fuse the multiplication and the difference.
    const source = Math.max(0, fround(scale * (i + 0.5) - 0.5));
    const before = Math.min(Math.floor(source), from - 1);
    const after = Math.min(before + 1, from - 1);
    const part = fround(source - before);
    return [
      [before, fround(1 - part)],
      [after, part],
    ];
  });
}
