// Prompts in two parts: a prefix, which runs once, and suffixes, which go on from its keys and values. What begins alike is
// one prompt under several edits (variations.ts) or several prompts (shared-prefix.ts).
import type { Recorder } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import type { TextConfig } from '../config/text.ts';
import type { EditPlan } from '../interventions/edits.ts';
import type { Hooks } from '../interventions/hooks.ts';
import type { PositionRange } from '../interventions/positions.ts';
import { bindable } from '../layers/bindable.ts';
import { KvCache } from '../layers/kv-cache.ts';
import type { ActivationCache } from './activations.ts';
import type { Extent, Forward } from './forward.ts';
import type { Pass, Runner } from './pass.ts';
import { splitBatch } from './run.ts';

/** What runs in two parts need of a model. */
export interface DecoderRunner extends Runner {
  readonly forward: Forward;
}

/** Rotary positions, [axes][rows]. */
export type Axes = readonly ArrayLike<number>[];

/** The first positions of prompts. */
interface Prefix {
  /** Their merged embeddings, [positions, dModel], not edited yet. */
  readonly embeddings: Tensor;
  readonly positions: Axes;
  /** Tokens of the whole prompt: what negative positions of edits count from. */
  readonly promptLength: number;
  /** Decoder blocks that the suffixes run. */
  readonly layers: number;
}

/** Records the decoder over a prefix, which leaves its keys and values in the cache. */
export function recordPrefix(
  { forward }: DecoderRunner,
  pass: Pass,
  cache: KvCache,
  { embeddings, positions, promptLength, layers }: Prefix,
): void {
  const [length] = embeddings.shape;
  cache.reserve(length);
  const range = { start: length - 1, end: length };
  const hooks = pass.hooks({ names: new Set(), length, range, promptLength });
  // Of the last block nobody reads more than keys and values: its head outputs at one position cost next to nothing.
  forward.decode(pass.rec, hooks, {
    embeddings: bindable(pass.rec, embeddings),
    positions,
    cache,
    layers,
    stopAtHeads: true,
  });
}

/** What follows the first positions of prompts of equal length. */
export interface Suffixes extends Pick<Extent, 'wanted' | 'layers' | 'stopAtHeads'> {
  /** Keys and values of the first positions. */
  readonly prefix: KvCache;
  /** The first position of the suffixes: the prefix holds as many, or more. */
  readonly first: number;
  /** How many suffixes. */
  readonly batch: number;
  /** Tokens of a whole prompt. */
  readonly length: number;
  /** The whole prompt's positions that hooks return; none of them before `first`. */
  readonly range: PositionRange;
  /** Where they are others than those that the model is bound to. */
  readonly edits?: EditPlan;
  /** Of all rows, [axes][batch * (length - first)]. */
  readonly positions: Axes;
  /** A generation goes on from them. */
  readonly generates?: boolean;
  /** Records their merged embeddings, [batch * (length - first), dModel], not edited yet. */
  embeddings(rec: Recorder, hooks: Hooks): Tensor;
}

/**
 * Records suffixes as one batch, each going on from a copy of the prefix.
 * @param cache of f32, which holds nothing yet.
 * @returns as `Forward.decode`
 */
export function recordSuffixes(
  { forward }: DecoderRunner,
  pass: Pass,
  cache: KvCache,
  { prefix, first, batch, length, range, edits, positions, embeddings, generates, ...extent }: Suffixes,
): Tensor | undefined {
  cache.reserve(length);
  const { rec } = pass;
  for (let l = 0; l < extent.layers && first > 0; l++)
    for (const which of ['keys', 'values'] as const)
      for (let start = 0; start < batch * cache.allocated; start += cache.allocated)
        rec.copy(rows(prefix[which][l], 0, first), rows(cache[which][l], start, start + first));
  cache.length = first;
  cache.promptLength = length;
  const hooks = pass.hooks({
    names: new Set(extent.wanted.map(({ name }) => name)),
    length: length - first,
    range: { start: range.start - first, end: range.end - first },
    batch,
    start: first,
    promptLength: length,
    generates,
    ...(edits && { edits }),
  });
  const given = { embeddings: embeddings(rec, hooks), positions, cache, generates };
  const logits = forward.decode(rec, hooks, { ...given, ...extent });
  cache.length = length;
  pass.checkResultBytes();
  return logits;
}

/** Runs suffixes as one batch. @returns what the hooks were asked for, of each one. */
export async function runSuffixes(runner: DecoderRunner, pass: Pass, suffixes: Suffixes): Promise<ActivationCache[]> {
  const { batch, length } = suffixes;
  const cache = new KvCache(runner.gpu, runner.forward.config.text, { capacity: length, batch });
  try {
    recordSuffixes(runner, pass, cache, suffixes);
    return splitBatch(await pass.submit(), batch);
  } finally {
    cache.destroy();
  }
}

/** What the caches of a batch may take together: three sequences of LLaVA-1.5-7B with a picture, 29 of Qwen2-VL-7B. */
const maxCacheBytes = 2 ** 31;

/** Suffixes of a batch at most. */
export const mostSuffixes = 64;

/**
 * How many suffixes run as one batch.
 * @param largest the bytes that a binding can hold: the widest activation of all of them must fit, and the cache of a layer.
 * @param rowsEach of `length` positions, those that each suffix runs for itself.
 */
export function suffixesAtOnce(text: TextConfig, largest: number, rowsEach: number, length: number): number {
  const { dMlp, dModel, nHeads, nKvHeads, dHead } = text;
  const widest = 4 * Math.max(rowsEach * Math.max(dMlp, dModel, nHeads * dHead), length * nKvHeads * dHead);
  const count = Math.min(mostSuffixes, largest / widest, maxCacheBytes / KvCache.price(text, length, 'f32'));
  return Math.max(1, Math.floor(count));
}
