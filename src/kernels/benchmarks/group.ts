import type { AttentionReference } from '../attention/reference.ts';
import type { AttentionMask, KernelOp } from '../custom/kernels.ts';
import type { Gpu } from '../gpu.ts';
import type { Recorder } from '../recorder.ts';
import type { Tensor } from '../tensor.ts';

/** One problem with the kernels that solve it: they see the same data, take turns, and are compared with each other. */
export interface BenchmarkGroup {
  /** Operation and problem, for example `matmul [256,1024] x [1024,1024] f32`. */
  readonly name: string;
  /** Floating-point operations, so that a software adapter can leave out what would take it minutes. */
  readonly flops: number;
  /** What it measures, if kernels of the user's own can be measured beside it. */
  readonly op?: KernelOp;
  /** Of attention: what such a kernel must have. */
  readonly mask?: AttentionMask;
  prepare(gpu: Gpu): PreparedGroup;
}

export interface PreparedGroup {
  /** Persistent tensors, freed after the group. */
  readonly tensors: readonly Tensor[];
  /** Each records its dispatches and returns the output. */
  readonly candidates: Readonly<Record<string, (rec: Recorder) => Tensor>>;
  /** The candidate that ratios are against. */
  readonly baseline?: string;
  /**
   * NMSE of an output against a float64 reference (of a sample of it, if all would take too long), or against that of a kernel
   * which computes another thing.
   */
  error(output: Float32Array, reference?: AttentionReference): number;
  /** Default 1e-7. */
  readonly bound?: number;
}
