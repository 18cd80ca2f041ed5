import type { Access, KernelSource } from './pipeline-cache.ts';
import type { Tensor } from './tensor.ts';

/** Work of one dispatch, from the kernel's cost model: what the profiler and the benchmarks divide by time. */
export interface Cost {
  /** Floating-point operations; a multiply-add counts as two. */
  readonly flops: number;
  /** Bytes that must be read and written once. */
  readonly bytes: number;
}

/** A tensor that a dispatch binds, and how the kernel uses it. */
export interface Binding {
  readonly tensor: Tensor;
  readonly access: Access;
}

export const read = (tensor: Tensor): Binding => ({ tensor, access: 'read' });
export const readWrite = (tensor: Tensor): Binding => ({ tensor, access: 'read_write' });

/** One call of a kernel: its WGSL, what it binds, and how many workgroups run. */
export interface Dispatch {
  /** The kernel and its variant, for example `matmul.tile f16`. */
  readonly kernel: string;
  /** What it is used for, for example `blocks.0.attn.q_proj`. */
  readonly label: string;
  /** The WGSL source. */
  readonly code: string;
  /** Storage bindings 0, 1, … of group 0. */
  readonly bindings: readonly Binding[];
  /** At most 64 words, bound as `var<uniform>` after the storages; floats through `floatBits`. */
  readonly params?: readonly number[];
  /**
   * The params of the same dispatch so many steps of a generation later, for one whose params hold a position in the cache: nothing where
   * it would be another one, of another kernel or other workgroups. Without it they are the same in each step.
   */
  readonly later?: (steps: number) => readonly number[] | undefined;
  readonly workgroups: Workgroups;
  /** What it costs by the kernel’s cost model. */
  readonly cost: Cost;
  /** How `code` begins: the bindings, the params and what else a custom kernel in its place may use. */
  readonly header?: () => string;
  /** Sizes and kinds by name, for such a kernel: attention's `batch`, `queries`, `heads`, … */
  readonly sizes?: Readonly<Record<string, number | string>>;
  /** Default workgroup counts of a custom kernel that gives none; default `workgroups`, which differ between our variants. */
  readonly plainWorkgroups?: Workgroups;
  /** Storage bindings after the params. */
  readonly moreBindings?: readonly Binding[];
  /** Default `main`. */
  readonly entryPoint?: string;
  /** Values of `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Where `code` comes from, if it is not ours. */
  readonly source?: KernelSource;
}

/** Workgroups along x, y and z; 1 where absent. */
export type Workgroups = readonly [x: number, y?: number, z?: number];

/** All storage bindings of a dispatch, in their order. */
export const storagesOf = ({ bindings, moreBindings }: Dispatch): readonly Binding[] =>
  moreBindings ? [...bindings, ...moreBindings] : bindings;
