// Runs a problem and holds what came out against float64.
import type { Gpu } from '../gpu/gpu.ts';
import type { AttentionReference } from '../kernels/attention/reference.ts';
import { type Kernels, replacementOf } from '../kernels/custom/kernels.ts';
import type { Expected, Problem } from '../kernels/problem.ts';
import { type Guarded, guarded, runGuarded } from './guard.ts';
import { nmse } from './nmse.ts';

export interface Solution {
  /** NMSE against the float64 reference, the largest of the output's and the extras'. */
  readonly error: number;
  /** What is wrong: too large an error, elements left unwritten, or writes past the output's end. */
  readonly failure?: string;
}

/** Runs a problem with sentinels behind its output. */
export async function solve<Variant>(
  gpu: Gpu,
  problem: Problem<Variant>,
  options: { variant?: Variant; kernels?: Kernels; reference?: AttentionReference; bound?: number } = {},
): Promise<Solution> {
  const { variant, kernels, reference } = options;
  const bound = problem.exact ? 0 : (options.bound ?? boundOf(gpu));
  const rec = gpu.record(problem.name, {
    bindToEnd: true,
    replacement: kernels && replacementOf(kernels),
  });
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

/** The NMSE that our kernels stay below: with f16 arithmetic each operand of a product that is rounded to 11 bits adds 4e-8. */
export const boundOf = ({ capabilities }: Pick<Gpu, 'capabilities'>): number =>
  capabilities.subgroupMatrix ? 2e-7 : 1e-7;

export function failureOf({ overrun, unwritten }: Omit<Guarded, 'content'>, error: number, bound: number) {
  if (overrun) return 'it writes past the end of the output';
  if (unwritten) return 'it leaves a part of the output unwritten';
  if (error <= bound) return undefined;
  return `NMSE ${error.toPrecision(3)} exceeds ${bound}${bound ? '' : ': it is to give the very numbers'}`;
}

/** Larger numbers mark what is masked: as a share of their squares every error would vanish, so they are to be equal. */
const mark = 1e30;

/** NMSE of an output, or of so many of its elements, the first and the last among them. */
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
