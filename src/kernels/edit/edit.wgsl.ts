import type { Width } from '../elementwise/per-element.ts';

/** Row number of a row that is left as it is. */
export const keptRow = 0xffffffff;

/** What becomes of a number: `scale` keeps it, multiplied; otherwise it goes. Then a value or the constant is added. */
export interface EditTraits {
  readonly scaled: boolean;
  /** Values of their own for each row of `values`; else one number. */
  readonly valued: boolean;
}

/**
 * A copy of x in which some rows and some columns are changed (for `perElement`). Not in place: a hook may read what was
 * there before, and WebGPU forbids reading and writing one buffer in a dispatch. Replaced elements are not multiplied by 0:
 * NaN must not survive.
 * @param unit columns that one entry of `columns` stands for: those of a head.
 */
export function editBody(columns: number, unit: number, { scaled, valued }: EditTraits, width: Width): string {
  const n = `${columns / width}u`;
  const old = scaled ? 'x[i] * bitcast<f32>(params.scale)' : 'T()';
  const added = valued ? `values[row * ${n} + i % ${n}]` : 'T(bitcast<f32>(params.constant))';
  return /* wgsl */ `
  let row = rows[i / ${n}];
  out[i] = x[i];
  if (row != ${keptRow}u && columns[i % ${n} / ${unit / width}u] != 0u) { out[i] = ${old} + ${added}; }`;
}
