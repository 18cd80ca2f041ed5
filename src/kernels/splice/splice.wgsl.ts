import type { Width } from '../elementwise/per-element.ts';

/** `source` of a row that keeps its text embedding. */
export const keepText = 0xffffffff;

/** For `perElement`: a text row, or the row of features that `source` names. */
export function spliceBody(columns: number, width: Width): string {
  const n = `${columns / width}u`;
  return /* wgsl */ `
  let row = source[i / ${n}];
  if (row == ${keepText}u) {
    out[i] = text[i];
  } else if (row < params.features) {
    out[i] = features[row * ${n} + i % ${n}];
  } else {
    out[i] = T();
  }`;
}
