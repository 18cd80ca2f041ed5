// What a run is asked for, and what it gives.
import type { Profiler } from '../../gpu/profiler.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { Kernels } from '../../kernels/custom/kernels.ts';
import { InputError } from '../errors.ts';
import type { Edit } from '../interventions/edits.ts';
import type { HookPoint, NamesFilter } from '../interventions/hook-points.ts';
import type { Hooks } from '../interventions/hooks.ts';
import type { PosSlice } from '../interventions/positions.ts';
import { checkOptions } from '../options.ts';

export interface RunOptions {
  /** Hook points to return (DESIGN.md section 3): a glob, names, or a predicate; all by default. */
  readonly namesFilter?: NamesFilter;
  /** Positions of language-model hooks and logits to return: all by default, -1 the last. */
  readonly posSlice?: PosSlice;
  /** Run the decoder blocks before this one only. */
  readonly stopAtLayer?: number;
  readonly profiler?: Profiler;
  /** Changes made on the way, in this order (edits.ts). */
  readonly edits?: readonly Edit[];
  /** WGSL of your own in the place of ours, by operation (docs/kernels.md). Default: those that the GPU was opened with. */
  readonly kernels?: Kernels;
  /** Refuse a run whose results take more bytes than this; 1 GiB by default. */
  readonly maxResultBytes?: number;
}

/** What a run computes otherwise than the model does. */
export type RunChanges = Pick<RunOptions, 'edits' | 'kernels'>;

export interface Activation {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export type ActivationCache = ReadonlyMap<string, Activation>;

/** Activations in GPU memory, for kernels of the caller's own; theirs to free. */
export interface GpuActivations {
  readonly tensors: ReadonlyMap<string, Tensor>;
  destroy(): void;
}

/** What a run costs, known before it. */
export interface RunPrice {
  /** Bytes that come back to the host (or stay in tensors of their own). */
  readonly resultBytes: number;
  /** Bytes of buffers that it needs beside the weights and the results. */
  readonly arenaBytes: number;
  readonly dispatches: number;
  readonly flops: number;
}

const runOptions = [...['namesFilter', 'posSlice', 'stopAtLayer', 'profiler', 'edits', 'kernels', 'maxResultBytes']];

/**
 * A run's options with every hook point that it reaches, where none are named, as TransformerLens returns them.
 * @throws InputError for an option that there is not.
 */
export function asked<T extends RunOptions>(options: T, points: readonly HookPoint[], where: string): T {
  checkOptions(options, runOptions, where);
  if (options.namesFilter !== undefined) return options;
  const { stopAtLayer = Number.POSITIVE_INFINITY } = options;
  const beyond = new Set(points.filter(({ layer }) => layer >= stopAtLayer).map(({ name }) => name));
  return { ...options, namesFilter: (name) => !beyond.has(name) };
}

/** What a run has brought home. */
export function activations(hooks: Hooks): ActivationCache {
  const found = new Map<string, Activation>();
  for (const [name, result] of hooks.results)
    if ('readback' in result) found.set(name, { data: result.readback.f32, shape: result.shape });
  return found;
}

export const resultLimit = ({ maxResultBytes = 2 ** 30 }: Pick<RunOptions, 'maxResultBytes'>): number => maxResultBytes;

/** @param less what makes them fewer, beside fewer names. */
export function checkResultBytes(
  { resultBytes }: Recorder,
  options: Pick<RunOptions, 'maxResultBytes'>,
  less = 'give posSlice',
): void {
  const limit = resultLimit(options);
  if (resultBytes > limit)
    throw new InputError(
      `the activations asked for take ${resultBytes} bytes, more than ${limit}: ask for fewer names, ${less}, or raise maxResultBytes`,
    );
}
