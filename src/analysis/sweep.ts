// One prompt under many edits, and what becomes of its answer.

import { logSumExp } from '../model/generation/sampling.ts';
import type { ModelInput } from '../model/input.ts';
import type { Edit } from '../model/interventions/edits.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import type { ActivationCache } from '../model/run/activations.ts';
import { throwIfAborted } from '../model/run/bound.ts';
import { indexOfNotFinite } from '../model/run/not-finite.ts';
import { splitHeadVectors } from '../model/run/run.ts';
import { checkTokens } from './rank.ts';

/** A number that says how much the model is for an answer. */
export interface Target {
  /** The token id that the number is about. */
  readonly token: number;
  /** The logit less that of this token. */
  readonly against?: number;
  /** Without `against`: the token's logit (default), or the logarithm of its probability. */
  readonly metric?: 'logit' | 'log-probability';
}

/** What every sweep of edited runs takes. */
export interface SweepOptions {
  /** Told after each run: how many are done, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

export function measure(logits: Float32Array, { token, against, metric = 'logit' }: Target): number {
  checkTokens(against === undefined ? [token] : [token, against], logits.length);
  if (against !== undefined) return logits[token] - logits[against];
  return logits[token] - (metric === 'logit' ? 0 : logSumExp(logits));
}

/**
 * The target's measure at the last position under each list of edits. Those that the model is bound to are made in every run,
 * before the sweep's own; the same holds for all that sweeps.
 * @throws NotFiniteError where it is not finite.
 */
export async function sweepTarget(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  target: Target,
  options: SweepOptions = {},
): Promise<Float64Array> {
  checkOptions(options, ['onProgress'], 'sweepTarget');
  const found: number[] = [];
  const read = ({ logits }: ActivationCache) => [measure(logits.data, target)];
  for await (const [value] of sweep(
    model,
    input,
    variations,
    { namesFilter: 'logits', what: 'the logits', read },
    options,
  ))
    found.push(value);
  return Float64Array.from(found);
}

/** The head vectors at the last position under each list of edits: what SAVs read, each [maxLayer + 1, nHeads, dHead]. */
export async function sweepHeadVectors(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  options: SweepOptions & { readonly maxLayer?: number } = {},
): Promise<Float32Array[]> {
  checkOptions(options, ['maxLayer', 'onProgress'], 'sweepHeadVectors');
  const { maxLayer = model.config.text.nLayers - 1 } = options;
  const found: Float32Array[] = [];
  const namesFilter = Array.from({ length: maxLayer + 1 }, (_, layer) => `blocks.${layer}.attn.hook_z`);
  const read = (cache: ActivationCache) => splitHeadVectors(cache, 1)[0];
  for await (const vectors of sweep(model, input, variations, { namesFilter, what: 'the head vectors', read }, options))
    found.push(vectors);
  return found;
}

/** What is read of each run: of which hook points, what it is called in errors, and how. */
interface Reading<T> {
  readonly namesFilter: string | string[];
  readonly what: string;
  readonly read: (cache: ActivationCache) => T;
}

/** The reading at the last position under each list of edits. @throws NotFiniteError where it is not finite. */
async function* sweep<T extends ArrayLike<number>>(
  model: Model,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  { namesFilter, what, read }: Reading<T>,
  { onProgress }: SweepOptions,
): AsyncGenerator<T, void> {
  let done = 0;
  for await (const cache of model.eachVariation(input, variations, { namesFilter, posSlice: -1 })) {
    const values = read(cache);
    if (indexOfNotFinite(values) >= 0) throw await model.with({ edits: variations[done] }).notFinite(what, input);
    yield values;
    onProgress?.(++done, variations.length);
    throwIfAborted(model.bound);
  }
}
