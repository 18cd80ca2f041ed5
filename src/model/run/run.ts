// What a run is asked for, and what it gives.
import type { Tensor } from '../../gpu/tensor.ts';
import type { HookPoint, NamesFilter } from '../interventions/hook-points.ts';
import type { PosSlice } from '../interventions/positions.ts';
import { checkOptions } from '../options.ts';
import { Activation, ActivationCache } from './activations.ts';

/** Which activations a run returns, and how far it goes. */
export interface RunOptions {
  /** Hook points to return (docs/hooks.md): a glob, names, or a predicate; all by default. */
  readonly namesFilter?: NamesFilter;
  /** Positions of language-model hooks and logits to return: all by default, -1 the last. */
  readonly posSlice?: PosSlice;
  /** Run the decoder blocks before this one only. */
  readonly stopAtLayer?: number;
}

/** Activations in GPU memory, for kernels of the caller's own; theirs to free. */
export interface GpuActivations {
  /** By hook name. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Frees all of them. */
  destroy(): void;
}

/** What a run costs, known before it. */
export interface RunPrice {
  /** Bytes that come back to the host (or stay in tensors of their own). */
  readonly resultBytes: number;
  /** Bytes of buffers that it needs beside the weights and the results. */
  readonly arenaBytes: number;
  readonly dispatches: number;
  /** Floating-point operations; a multiply-add counts as two. */
  readonly flops: number;
}

const runOptions = ['namesFilter', 'posSlice', 'stopAtLayer'];

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

/** The activations of each sequence of a batch, which hold a share of the first axis each. */
export function splitBatch(activations: ActivationCache, batch: number): ActivationCache[] {
  return Array.from({ length: batch }, (_, b) => {
    const own = new ActivationCache();
    for (const [name, { data, shape }] of activations) {
      const size = data.length / batch;
      const [first, ...rest] = shape;
      own.set(name, new Activation(data.slice(b * size, (b + 1) * size), [first / batch, ...rest]));
    }
    return own;
  });
}

/** `hook_z` of every layer at one position of `batch` prompts, as a [layers, nHeads, dHead] array for each prompt. */
export function splitHeadVectors(layers: ReadonlyMap<string, Pick<Activation, 'data'>>, batch: number): Float32Array[] {
  return Array.from({ length: batch }, (_, b) => {
    const parts = [...layers.values()].map(({ data }) =>
      data.subarray((b * data.length) / batch, ((b + 1) * data.length) / batch),
    );
    const vectors = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
    let at = 0;
    for (const part of parts) {
      vectors.set(part, at);
      at += part.length;
    }
    return vectors;
  });
}
