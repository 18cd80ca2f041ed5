// One prompt under many edits, and what becomes of its answer.
import type { Edit } from '../model/edits.ts';
import { InputError } from '../model/errors.ts';
import type { ModelInput } from '../model/input.ts';
import { type Model, splitHeadVectors } from '../model/model.ts';
import type { RunOptions } from '../model/run.ts';
import { logSumExp } from '../model/sampling.ts';

/** A number that says how much the model is for an answer. */
export interface Target {
  readonly token: number;
  /** The logit less that of this token. */
  readonly against?: number;
  /** Without `against`: the token's logit (default), or the logarithm of its probability. */
  readonly metric?: 'logit' | 'log-probability';
}

/** `edits` are made in every run, before the sweep's own. */
export interface SweepOptions extends Pick<RunOptions, 'edits'> {
  /** Variations between two looks for Ctrl-C; 64 by default. Each time, the pictures and the common prefix are run once. */
  readonly atOnce?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export function measure(logits: Float32Array, { token, against, metric = 'logit' }: Target): number {
  for (const id of [token, against])
    if (id !== undefined && !(id >= 0 && id < logits.length))
      throw new InputError(`token id ${id} is not in the vocabulary of ${logits.length}`);
  if (against !== undefined) return logits[token] - logits[against];
  return logits[token] - (metric === 'logit' ? 0 : logSumExp(logits));
}

/** The target's measure at the last position under each list of edits. */
export async function sweepTarget(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  target: Target,
  options: SweepOptions = {},
): Promise<Float64Array> {
  const found = new Float64Array(variations.length);
  const which = { namesFilter: 'logits', posSlice: -1, edits: options.edits };
  for (const { first, some } of chunks(variations, options)) {
    const caches = await model.runVariations(input, some, which);
    for (const [i, cache] of caches.entries()) found[first + i] = measure(cache.get('logits')!.data, target);
  }
  return found;
}

/** The head vectors at the last position under each list of edits: what SAVs read, each [maxLayer + 1, nHeads, dHead]. */
export async function sweepHeadVectors(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  options: SweepOptions & { readonly maxLayer?: number } = {},
): Promise<Float32Array[]> {
  const { maxLayer = model.config.text.nLayers - 1 } = options;
  const found: Float32Array[] = [];
  const names = Array.from({ length: maxLayer + 1 }, (_, layer) => `blocks.${layer}.attn.hook_z`);
  const which = { namesFilter: names, posSlice: -1, edits: options.edits };
  for (const { some } of chunks(variations, options))
    for (const cache of await model.runVariations(input, some, which)) found.push(splitHeadVectors(cache, 1)[0]);
  return found;
}

function* chunks<T>(all: readonly T[], { signal, onProgress, atOnce = 64 }: SweepOptions) {
  for (let first = 0; first < all.length; first += atOnce) {
    signal?.throwIfAborted();
    yield { first, some: all.slice(first, first + atOnce) };
    onProgress?.(Math.min(first + atOnce, all.length), all.length);
  }
}
