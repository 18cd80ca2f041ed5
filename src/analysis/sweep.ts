// One prompt under many edits, and what becomes of its answer.

import { logSumExp } from '../model/generation/sampling.ts';
import type { ModelInput } from '../model/input.ts';
import type { Edit } from '../model/interventions/edits.ts';
import { type Model, splitHeadVectors } from '../model/model.ts';
import type { ActivationCache, RunOptions } from '../model/run/run.ts';
import { checkFinite } from './finite.ts';
import { checkTokens } from './rank.ts';

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
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

export function measure(logits: Float32Array, { token, against, metric = 'logit' }: Target): number {
  checkTokens(against === undefined ? [token] : [token, against], logits.length);
  if (against !== undefined) return logits[token] - logits[against];
  return logits[token] - (metric === 'logit' ? 0 : logSumExp(logits));
}

/**
 * The target's measure at the last position under each list of edits.
 * @throws NotFiniteError where it is not finite.
 */
export async function sweepTarget(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  target: Target,
  options: SweepOptions = {},
): Promise<Float64Array> {
  const found: number[] = [];
  for await (const { cache, edits } of sweep(model, input, variations, 'logits', options)) {
    const value = measure(cache.get('logits')!.data, target);
    await checkFinite(model, input, 'the logits', [value], { edits });
    found.push(value);
  }
  return Float64Array.from(found);
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
  for await (const { cache, edits } of sweep(model, input, variations, names, options)) {
    const [vectors] = splitHeadVectors(cache, 1);
    await checkFinite(model, input, 'the head vectors', vectors, { edits });
    found.push(vectors);
  }
  return found;
}

/** Some activations at the last position under each list of edits, and all the edits that they were made with. */
async function* sweep(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  namesFilter: string | string[],
  { edits = [], signal, onProgress }: SweepOptions,
): AsyncGenerator<{ cache: ActivationCache; edits: readonly Edit[] }, void> {
  signal?.throwIfAborted();
  let done = 0;
  for await (const cache of model.eachVariation(input, variations, { namesFilter, posSlice: -1, edits })) {
    yield { cache, edits: [...edits, ...variations[done]] };
    onProgress?.(++done, variations.length);
    signal?.throwIfAborted();
  }
}
