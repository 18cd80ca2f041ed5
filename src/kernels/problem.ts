import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { AttentionReference } from './attention/reference.ts';
import type { AttentionMask } from './custom/kernels.ts';
import type { MakeTensor } from './pseudo-random.ts';

/**
 * One call of an operation on data of its own, and what it gives in float64: what kernels are held against, ours in the tests,
 * custom ones in `checkKernels`, and both before a benchmark times them. Each operation's folder has those of its own.
 */
export interface Problem<Variant = never> {
  /** Its sizes and what is special, for example `[7,33] in 2 parts`. */
  readonly name: string;
  /** Of attention: what a kernel must have to solve it. */
  readonly mask?: AttentionMask;
  /** Of the output. */
  readonly shape: readonly number[];
  /** Of the output. Default f32. */
  readonly dtype?: 'u32' | 'f16';
  /** The operation only moves numbers, or finds whole ones: they are to come out bit for bit. */
  readonly exact?: boolean;
  /** What is in the output before, where the operation leaves rows as they are. */
  readonly before?: Float32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;
  /** Makes the inputs, and gives the call on them. */
  prepare(make: MakeTensor): Call<Variant>;
  expected(reference?: AttentionReference): Expected;
}

/** Records the operation. `out` is a temporary by default, `variant` what the launcher chooses. */
export type Call<Variant = never> = (rec: Recorder, options?: { out?: Tensor; variant?: Variant }) => Tensor;

export interface Expected {
  /** The number at a row-major index of the output. */
  readonly at: (index: number) => number;
  /** An extra of attention, where the kernel says what it holds. */
  readonly extra?: (name: string) => ArrayLike<number> | undefined;
}

/** Row and column of a row-major index. */
export const placeOf = (index: number, columns: number): [row: number, column: number] => [
  Math.floor(index / columns),
  index % columns,
];

/** The elements of one row, kept while its other elements are asked for. */
export function byRow(columns: number, rowOf: (row: number) => ArrayLike<number>): Expected['at'] {
  let known: { row: number; values: ArrayLike<number> } | undefined;
  return (index) => {
    const [row, column] = placeOf(index, columns);
    if (known?.row !== row) known = { row, values: rowOf(row) };
    return known.values[column];
  };
}
