import { KernelError } from '../errors.ts';
import type { Gpu } from '../gpu.ts';
import { guarded, runGuarded } from '../guard.ts';
import { nmse } from '../nmse.ts';
import { type AttentionKernel, checkKernelNames, type KernelOp, type Kernels, kernelsOf } from './kernels.ts';
import { type Problem, problems } from './problems.ts';

export interface CheckRow {
  readonly op: string;
  /** The kernel's name. */
  readonly kernel: string;
  /** For example `causal, 65 queries`. */
  readonly problem: string;
  /** NMSE against the float64 reference, the largest of the output's and the extras'. */
  readonly error: number;
  /** What is wrong: too large an error, numbers left unwritten, or writes past the output's end. */
  readonly failure?: string;
}

export interface CheckResult {
  readonly passed: boolean;
  readonly rows: readonly CheckRow[];
}

export interface CheckOptions {
  /** NMSE up to which a kernel passes. Default 1e-7, ours. */
  readonly bound?: number;
  readonly onProgress?: (problem: string) => void;
}

/**
 * Runs kernels of the user's own on the problems that ours are tested with, and compares what they give with float64
 * references: `checkKernels(gpu, { attention: mine })`. Labels are not looked at; of attention, the masks that a kernel says.
 * @throws KernelError for a text that does not compile or fit, and for an operation that has no reference.
 */
export async function checkKernels(gpu: Gpu, kernels: Kernels, options: CheckOptions = {}): Promise<CheckResult> {
  checkKernelNames(kernels);
  const rows: CheckRow[] = [];
  for (const op of Object.keys(kernels)) {
    const table = problems[op as KernelOp];
    if (!table)
      throw new KernelError(op, `no reference to check it with; there is one of ${Object.keys(problems).join(', ')}`);
    const list = table();
    for (const kernel of kernelsOf(kernels, op)) {
      for (const problem of list) {
        if (problem.mask && kernel.masks && !kernel.masks.includes(problem.mask)) continue;
        options.onProgress?.(`${op}: ${problem.name}`);
        rows.push(await checkOne(gpu, op, kernel, problem, options.bound ?? 1e-7));
      }
    }
  }
  return { passed: rows.every((row) => row.failure === undefined), rows };
}

async function checkOne(
  gpu: Gpu,
  op: string,
  kernel: AttentionKernel,
  problem: Problem,
  bound: number,
): Promise<CheckRow> {
  const rec = gpu.record(`check ${kernel.name}`, {
    bindToEnd: true,
    kernels: { [op]: { ...kernel, labels: undefined } },
  });
  const out = guarded(gpu, 'the output', 'f32', problem.shape);
  try {
    problem.record(rec, out);
    const extras = [...rec.extras('z')].map(([name, tensor]) => [name, rec.read(tensor)] as const);
    const { content, overrun, unwritten } = await runGuarded(rec, out);
    const expected = problem.expected(kernel.reference);
    const errors = [nmse(content, expected.out)];
    for (const [name, { f32 }] of extras) {
      const wanted = expected.extras?.[name];
      // Without a reference an extra is only known to be numbers.
      errors.push(wanted ? nmse(f32, wanted) : f32.every(Number.isFinite) ? 0 : Number.NaN);
    }
    const error = errors.reduce((a, b) => (b <= a ? a : b)); // NaN sticks
    const failure = overrun
      ? 'it writes past the end of the output'
      : unwritten
        ? 'it leaves a part of the output unwritten'
        : !(error <= bound)
          ? `NMSE ${error.toPrecision(3)} exceeds ${bound}`
          : undefined;
    return { op, kernel: kernel.name, problem: problem.name, error, failure };
  } finally {
    gpu.destroy(out);
  }
}
