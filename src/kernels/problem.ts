import type { Gpu } from '../gpu/gpu.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { type Guarded, guarded, runGuarded } from '../verify/guard.ts';
import { nmse } from '../verify/nmse.ts';
import type { AttentionReference } from './attention/reference.ts';
import type { AttentionMask, Kernels } from './custom/kernels.ts';
import type { MakeTensor } from './pseudo-random.ts';

/**
 * One call of an operation on data of its own, and what it gives in float64: what kernels are held against, ours in the tests,
 * the user's own in `checkKernels`, and both before a benchmark times them. Each operation's folder has those of its own.
 */
export interface Problem<Variant = never> {
  /** Its sizes and what is special, for example `[7,33] in 2 parts`. */
  readonly name: string;
  /** Of attention: what a kernel must have to solve it. */
  readonly mask?: AttentionMask;
  /** Of the output. */
  readonly shape: readonly number[];
  /** Of the output. Default f32. */
  readonly dtype?: 'u32';
  /** The operation only moves numbers, or finds whole ones: they are to come out bit for bit. */
  readonly exact?: boolean;
  /** What is in the output before, where the operation leaves rows as they are. */
  readonly before?: Float32Array<ArrayBuffer>;
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

export interface Solution {
  /** NMSE against the float64 reference, the largest of the output's and the extras'. */
  readonly error: number;
  /** What is wrong: too large an error, numbers left unwritten, or writes past the output's end. */
  readonly failure?: string;
}

/** Runs a problem with sentinels behind its output. */
export async function solve<Variant>(
  gpu: Gpu,
  problem: Problem<Variant>,
  options: { variant?: Variant; kernels?: Kernels; reference?: AttentionReference; bound?: number } = {},
): Promise<Solution> {
  const { variant, kernels, reference } = options;
  const bound = problem.exact ? 0 : (options.bound ?? 1e-7);
  const rec = gpu.record(problem.name, { bindToEnd: true, kernels });
  const out = guarded(gpu, 'the output', problem.dtype ?? 'f32', problem.shape);
  if (problem.before) gpu.write(out, problem.before);
  try {
    problem.prepare((...tensor) => rec.input(...tensor))(rec, { out, variant });
    const extras = [...rec.extras('y')].map(([name, tensor]) => [name, rec.read(tensor)] as const);
    const { content, overrun, unwritten } = await runGuarded(rec, out);
    const expected = problem.expected(reference);
    const errors = [errorOf(content, expected.at)];
    for (const [name, { f32 }] of extras) {
      const wanted = expected.extra?.(name);
      // Without a reference an extra is only known to be numbers.
      errors.push(wanted ? nmse(f32, wanted) : f32.every(Number.isFinite) ? 0 : Number.NaN);
    }
    const error = errors.reduce((a, b) => (b <= a ? a : b)); // NaN sticks
    return { error, failure: failureOf({ overrun, unwritten }, error, bound) };
  } finally {
    gpu.destroy(out);
  }
}

export function failureOf({ overrun, unwritten }: Omit<Guarded, 'content'>, error: number, bound: number) {
  if (overrun) return 'it writes past the end of the output';
  if (unwritten) return 'it leaves a part of the output unwritten';
  if (error <= bound) return undefined;
  return `NMSE ${error.toPrecision(3)} exceeds ${bound}${bound ? '' : ': it is to give the very numbers'}`;
}

/** Larger numbers mark what is masked: as a share of their squares every error would vanish, so they are to be equal. */
const mark = 1e30;

/** NMSE of an output, or of so many of its numbers, the first and the last among them. */
export function errorOf(out: ArrayLike<number>, expected: Expected['at'], samples = out.length): number {
  const count = Math.min(samples, out.length);
  const actual = new Float64Array(count);
  const wanted = new Float64Array(count);
  for (let n = 0; n < count; n++) {
    const index = count === 1 ? 0 : Math.round((n * (out.length - 1)) / (count - 1));
    const [found, right] = [out[index], expected(index)];
    if (Math.abs(right) < mark) [actual[n], wanted[n]] = [found, right];
    else if (found !== right) return Number.NaN;
  }
  return nmse(actual, wanted);
}

/** Row and column of a row-major index. */
export const placeOf = (index: number, columns: number): [row: number, column: number] => [
  Math.floor(index / columns),
  index % columns,
];

/** The numbers of one row, kept while its other numbers are asked for. */
export function byRow(columns: number, rowOf: (row: number) => ArrayLike<number>): Expected['at'] {
  let known: { row: number; values: ArrayLike<number> } | undefined;
  return (index) => {
    const [row, column] = placeOf(index, columns);
    if (known?.row !== row) known = { row, values: rowOf(row) };
    return known.values[column];
  };
}
