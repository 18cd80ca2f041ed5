import type { Width } from '../elementwise/per-element.ts';

/** `source` of a row that keeps its text embedding. */
export const keepText = 0xffffffff;
/** `source` of a row that becomes `extra`. */
export const extraRow = 0xfffffffe;

/** For `perElement`: a text row, the `extra` one if there is one, or the row of features that `source` names. */
export function spliceBody(columns: number, width: Width, hasExtra: boolean): string {
  const n = `${columns / width}u`;
  return /* wgsl */ `
  let row = source[i / ${n}];
  if (row == ${keepText}u) {
    out[i] = text[i];${
      hasExtra
        ? /* wgsl */ `
  } else if (row == ${extraRow}u) {
    out[i] = extra[i % ${n}];`
        : ''
    }
  } else if (row < params.features) {
    out[i] = features[row * ${n} + i % ${n}];
  } else {
    out[i] = T();
  }`;
}
