import type { Gpu } from '../../gpu/gpu.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { AttentionReference } from '../../kernels/attention/reference.ts';
import type { AttentionMask, KernelOp } from '../../kernels/custom/kernels.ts';
import type { Call, Problem } from '../../kernels/problem.ts';
import { errorOf } from '../solve.ts';

/** One problem with the kernels that solve it: they see the same data, take turns, and are compared with each other. */
export interface BenchmarkGroup {
  /** The operation; custom kernels of it can be measured beside ours. */
  readonly op: string;
  /** Of the problem, with its format and what is special: `[256,1024] x [1024,1024] f32`. No other group of `op` has these. */
  readonly sizes: string;
  /**
   * Floating-point operations, so that a software adapter can leave out what would take it minutes; of kernels that only move
   * elements, how many of these.
   */
  readonly flops: number;
  /** Of attention: what such a kernel must have. */
  readonly mask?: AttentionMask;
  /** Puts the problem's data on the GPU. */
  prepare(gpu: Gpu): PreparedGroup;
}

/** What messages and filters call a group, for example `matmul [256,1024] x [1024,1024] f32`. */
export const groupName = ({ op, sizes }: Pick<BenchmarkGroup, 'op' | 'sizes'>): string => `${op} ${sizes}`;

/** Records the dispatches of a candidate. @returns the output, `out` where it is given. */
export type Run = (rec: Recorder, options?: { out?: Tensor }) => Tensor;

/** A problem with its data on the GPU. */
export interface PreparedGroup {
  /** Persistent tensors, freed after the group. */
  readonly tensors: readonly Tensor[];
  /** Each records its dispatches, writes all of `out` where it is given one, and returns the output. */
  readonly candidates: Readonly<Record<string, Run>>;
  /** The candidate that ratios are against. */
  readonly baseline?: string;
  /**
   * NMSE of an output against a float64 reference (of a sample of it, if all would take too long), or against that of a kernel
   * which computes another thing.
   */
  error(output: ArrayLike<number>, reference?: AttentionReference): number;
  /** Default: that of our kernels on the device. */
  readonly bound?: number;
}

export interface FromProblem<Variant> {
  /** One that custom kernels can replace, or one that runs in the place of several where none of them does. */
  readonly op: KernelOp | 'gatedMatmul' | 'rotatedMatmul' | 'rotateAndAppend';
  readonly sizes: string;
  readonly flops: number;
  readonly mask?: AttentionMask;
  /** Made when its turn comes: its data may be large. */
  readonly problem: () => Problem<Variant>;
  /** What runs beside `default`, the launcher's own choice. */
  readonly others?: (call: Call<Variant>, gpu: Gpu, inputs: readonly Tensor[]) => Readonly<Record<string, Run>>;
  /** One of the others. */
  readonly baseline?: string;
}

/** A group of one of the problems that kernels are tested with, at a size that is worth measuring. */
export function groupOf<Variant>({ op, sizes, flops, mask, baseline, ...of }: FromProblem<Variant>): BenchmarkGroup {
  return {
    op,
    sizes,
    flops,
    mask,
    prepare(gpu) {
      const { prepare, expected, exact } = of.problem();
      const tensors: Tensor[] = [];
      const call = prepare((...tensor) => {
        tensors.push(gpu.tensor(...tensor));
        return tensors[tensors.length - 1];
      });
      const candidates = { default: call, ...of.others?.(call, gpu, tensors) };
      return {
        tensors,
        candidates,
        baseline: baseline !== undefined && baseline in candidates ? baseline : undefined,
        error: (y, reference) => errorOf(y, expected(reference).at, samples),
        bound: exact ? 0 : undefined,
      };
    },
  };
}

/** Numbers of an output that are compared: all of a large product would take minutes. */
const samples = 500;

export const variantsOf = <Variant extends string>(call: Call<Variant>, variants: readonly Variant[]) =>
  Object.fromEntries(variants.map((variant): [string, Run] => [variant, (rec, o) => call(rec, { ...o, variant })]));
