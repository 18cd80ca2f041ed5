import type { Width } from '../elementwise/per-element.ts';

/** Rows of x that a row of the output is mixed from: the corners of a bilinear cell. */
export const taps = 4;

/**
 * For `perElement`: Σ weights[r][j] * x[indices[r][j]]. A tap of weight 0 does not look at x: where it points to may not
 * exist or hold a NaN.
 */
export function mixRowsBody(columns: number, width: Width): string {
  const n = `${columns / width}u`;
  return /* wgsl */ `
  let r = i / ${n};
  var sum = T();
  for (var j = 0u; j < ${taps}u; j++) {
    let row = indices[r * ${taps}u + j];
    let weight = ${width === 4 ? 'weights[r][j]' : `weights[r * ${taps}u + j]`};
    if (weight != 0.0 && row < params.available) { sum += weight * x[row * ${n} + i % ${n}]; }
  }
  out[i] = sum;`;
}
