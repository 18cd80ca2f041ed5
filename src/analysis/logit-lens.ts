// The logit lens (nostalgebraist 2020): what each layer's residual stream would say next, were the layer the last.

import { logSumExp } from '../model/generation/sampling.ts';
import type { ModelInput } from '../model/input.ts';
import { type PosSlice, resolvePosSlice } from '../model/interventions/positions.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { indexOfNotFinite } from '../model/run/not-finite.ts';
import { type CapturedOptions, captured } from './captured.ts';
import { checkFinite } from './finite.ts';
import { checkTokens, rankOf, topK } from './rank.ts';
import { refuseEdits, unembedRows } from './unembed.ts';

/** Where the lens is held, and what is told of each place. */
export interface LensOptions extends CapturedOptions {
  /** Positions, image tokens included; default: the last. */
  readonly posSlice?: PosSlice;
  /** Layers; default: all. */
  readonly layers?: readonly number[];
  /** How many of the likeliest tokens of each row; 5 by default. */
  readonly k?: number;
  /** Tokens whose place is wanted in every row, whether or not they are likely. */
  readonly tokens?: readonly number[];
  /** Told after each row: how many are done, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A token, and how likely a layer finds it. */
export interface LensToken {
  /** The token id. */
  readonly id: number;
  readonly logit: number;
  /** Of all tokens, in [0, 1]. */
  readonly probability: number;
  /** 0 for the likeliest. */
  readonly rank: number;
}

/** One layer at one position. */
export interface LensRow {
  readonly layer: number;
  readonly position: number;
  /** The likeliest tokens, the likeliest first. */
  readonly top: readonly LensToken[];
  /** In the order of `options.tokens`. */
  readonly tokens: readonly LensToken[];
  /** Of the distribution, in nats. */
  readonly entropy: number;
}

/**
 * What each layer would say next, by the model's final norm and unembedding.
 * @returns a row for each layer and position, layer by layer.
 * @throws InputError for positions, layers or tokens that are not there, and for edits of the final norm or the logits;
 *   NotFiniteError where a row or its logits are not finite.
 */
export async function logitLens(model: Model, input: ModelInput, options: LensOptions = {}): Promise<LensRow[]> {
  const { nLayers, dModel, vocabSize } = model.config.text;
  checkOptions(options, ['posSlice', 'layers', 'k', 'tokens', 'cache', 'onProgress'], 'logitLens');
  const { posSlice = -1, k = 5, tokens = [], onProgress } = options;
  checkTokens(tokens, vocabSize);
  refuseEdits(model, /^(ln_final\.|logits$)/, 'the lens has a final norm and an unembedding of its own');
  const layers = options.layers ?? Array.from({ length: nLayers }, (_, l) => l);
  const { start, end } = resolvePosSlice(posSlice, input.inputIds.length);
  const positions = end - start;
  const name = (layer: number) => `blocks.${layer}.hook_resid_post`;
  const cache = await captured(model, input, layers.map(name), { start, end }, options.cache);
  const rows = new Float32Array(layers.length * positions * dModel);
  for (const [i, layer] of layers.entries()) rows.set(cache.get(name(layer))!.data, i * positions * dModel);
  await checkFinite(model, input, 'the residual stream', rows);
  const found: LensRow[] = [];
  let allFinite = true;
  await unembedRows(model, rows, { norm: true }, (row, logits) => {
    allFinite &&= indexOfNotFinite(logits) < 0;
    const layer = layers[Math.floor(row / positions)];
    found.push({ layer, position: start + (row % positions), ...readLogits(logits, k, tokens) });
    onProgress?.(row + 1, layers.length * positions);
  });
  if (!allFinite) throw await model.notFinite('the logits of the lens', input);
  return found;
}

/** The likeliest tokens of a distribution, some others, and its entropy. */
function readLogits(logits: Float32Array, k: number, tokens: readonly number[]) {
  const total = logSumExp(logits);
  const probability = (id: number) => Math.exp(logits[id] - total);
  let entropy = 0;
  for (const logit of logits) {
    const log = logit - total;
    if (log > -700) entropy -= log * Math.exp(log); // beyond, exp is 0
  }
  const top = topK(logits, k).map((id, rank) => ({ id, logit: logits[id], probability: probability(id), rank }));
  const others = tokens.map((id) => ({
    id,
    logit: logits[id],
    probability: probability(id),
    rank: rankOf(logits, id),
  }));
  return { top, tokens: others, entropy };
}
