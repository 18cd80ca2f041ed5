import type { Gpu } from '../gpu/gpu.ts';
import { checkKernelNames, type KernelOp, type Kernels, kernelsOf } from '../kernels/custom/kernels.ts';
import type { Solution } from './solve.ts';

/** One problem, and how far a kernel’s answer is from float64. */
export interface CheckRow extends Solution {
  /** The operation that the kernel takes the place of. */
  readonly op: string;
  /** The kernel's name. */
  readonly kernel: string;
  /** For example `causal, 65 queries`. */
  readonly problem: string;
}

/** What a check has found. */
export interface CheckResult {
  /** Whether every row passes. */
  readonly passed: boolean;
  readonly rows: readonly CheckRow[];
}

/** When a kernel passes. */
export interface CheckOptions {
  /** NMSE up to which a kernel passes. Default 1e-7, ours (2e-7 with f16 arithmetic). Of operations that only move elements it is 0. */
  readonly bound?: number;
  /** Told of each problem before it is solved. */
  readonly onProgress?: (problem: string) => void;
  /** Ends the check between two problems. */
  readonly signal?: AbortSignal;
}

/**
 * Runs custom kernels on the problems that ours are tested with, and compares what they give with float64
 * references: `checkKernels(gpu, { attention: mine })`. Labels are not looked at; of attention, the masks that a kernel says.
 * @throws KernelError for an operation that does not exist, and for WGSL source that does not compile or fit; its `places` are in the source
 */
export async function checkKernels(gpu: Gpu, kernels: Kernels, options: CheckOptions = {}): Promise<CheckResult> {
  const { bound, onProgress, signal } = options;
  checkKernelNames(kernels);
  // Only who checks kernels loads the problems of all operations.
  const [{ problems }, { solve }] = await Promise.all([import('./problems.ts'), import('./solve.ts')]);
  const rows: CheckRow[] = [];
  for (const op of Object.keys(kernels)) {
    const list = problems[op as KernelOp]();
    for (const kernel of kernelsOf(kernels, op)) {
      const { name, masks, reference } = kernel;
      const own = { [op]: { ...kernel, labels: undefined } };
      for (const problem of list) {
        if (problem.mask && masks && !masks.includes(problem.mask)) continue;
        signal?.throwIfAborted();
        onProgress?.(`${op}: ${problem.name}`);
        const solution = await solve(gpu, problem, { kernels: own, reference, bound });
        rows.push({ op, kernel: name, problem: problem.name, ...solution });
      }
    }
  }
  return { passed: rows.every((row) => row.failure === undefined), rows };
}
