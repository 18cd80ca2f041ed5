// Activation patching: a corrupted prompt's run is given one activation of the clean prompt's run at a time, to see which of
// them carry the difference between the two answers.

import { allHeads } from '../base/heads.ts';
import { InputError } from '../model/errors.ts';
import type { ModelInput } from '../model/input.ts';
import type { Edit } from '../model/interventions/edits.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { resolvePosition } from './positions.ts';
import { type SweepOptions, sweepTarget, type Target } from './sweep.ts';

/** Two prompts of as many tokens that the model answers differently. */
export interface Pair {
  readonly clean: ModelInput;
  readonly corrupted: ModelInput;
}

/** How far each patch brings the answer of the clean run back. */
export interface Patching {
  /** The target in the two runs as they are. */
  readonly clean: number;
  readonly corrupted: number;
  /** The target after each patch. */
  readonly values: Float64Array;
  /** The same with the corrupted run's as 0 and the clean run's as 1. */
  readonly restored: Float64Array;
}

/** What patches of the residual stream bring back, by layer and position. */
export interface ResidualPatching extends Patching {
  /** The layers that were patched, one at a time. */
  readonly layers: readonly number[];
  /** `values` is [layers, positions]. */
  readonly positions: readonly number[];
}

/** Patches `hook_resid_pre`, the stream that goes into each layer, at one position at a time. */
export async function patchResidual(
  model: Model,
  pair: Pair,
  target: Target,
  options: SweepOptions & { readonly layers?: readonly number[]; readonly positions?: readonly number[] } = {},
): Promise<ResidualPatching> {
  checkOptions(options, ['layers', 'positions', 'onProgress'], 'patchResidual');
  const length = checkPair(pair);
  const { nLayers, dModel } = model.config.text;
  const layers = options.layers ?? Array.from({ length: nLayers }, (_, l) => l);
  const positions = (options.positions ?? Array.from({ length }, (_, p) => p)).map((p) => resolvePosition(p, length));
  const name = (layer: number) => `blocks.${layer}.hook_resid_pre`;
  const ordered = [...positions].sort((a, b) => a - b);
  const [first = 0] = ordered;
  const posSlice = [first, (ordered.at(-1) ?? first) + 1] as const;
  const cache = await model.runWithCache(pair.clean, { namesFilter: layers.map(name), posSlice });
  // Position by position: those of all layers share what stands before it.
  const variations = positions.flatMap((position) =>
    layers.map((layer): Edit[] => {
      const row = (position - first) * dModel;
      const set = cache.get(name(layer))!.data.subarray(row, row + dModel);
      return [{ at: name(layer), positions: { at: [position] }, set }];
    }),
  );
  const { values: found, ...ends } = await sweepPair(model, pair, variations, target, options);
  const values = Float64Array.from(layers.flatMap((_, l) => positions.map((_, p) => found[p * layers.length + l])));
  return { ...ends, layers, positions, values, restored: restoredShare(values, ends) };
}

/**
 * Patches each head's output, `hook_z`.
 * @param options.position where; default: the last. `all`: everywhere at once.
 * @returns values [layers, nHeads]
 */
export async function patchHeads(
  model: Model,
  pair: Pair,
  target: Target,
  options: SweepOptions & { readonly position?: number | 'all' } = {},
): Promise<Patching> {
  checkOptions(options, ['position', 'onProgress'], 'patchHeads');
  const length = checkPair(pair);
  const { position = -1 } = options;
  const { text } = model.config;
  const [start, end] = position === 'all' ? [0, length] : [resolvePosition(position, length), undefined];
  const range = [start, end ?? start + 1] as const;
  const namesFilter = 'blocks.*.attn.hook_z';
  const cache = await model.runWithCache(pair.clean, { namesFilter, posSlice: range });
  const variations = allHeads(text).map(({ layer, head }): Edit[] => {
    const at = `blocks.${layer}.attn.hook_z`;
    const { data } = cache.get(at)!; // [positions, nHeads, dHead]
    const set = new Float32Array((range[1] - range[0]) * text.dHead);
    for (let p = 0; p < range[1] - range[0]; p++) {
      const from = (p * text.nHeads + head) * text.dHead;
      set.set(data.subarray(from, from + text.dHead), p * text.dHead);
    }
    return [{ at, heads: [head], positions: range, set }];
  });
  const { values, ...ends } = await sweepPair(model, pair, variations, target, options);
  return { ...ends, values, restored: restoredShare(values, ends) };
}

/** @throws InputError where patches could not be put anywhere. */
function checkPair({ clean, corrupted }: Pair): number {
  const [a, b] = [clean.inputIds.length, corrupted.inputIds.length];
  if (a !== b)
    throw new InputError(
      `the clean prompt has ${a} tokens, the corrupted one ${b}: patching needs as many, so that positions correspond`,
    );
  return a;
}

/** The target in the two runs as they are, and in the corrupted one after each patch. */
async function sweepPair(
  model: Model,
  { clean, corrupted }: Pair,
  patches: readonly (readonly Edit[])[],
  target: Target,
  { onProgress }: SweepOptions,
) {
  const [whole] = await sweepTarget(model, clean, [[]], target);
  const [without, ...values] = await sweepTarget(model, corrupted, [[], ...patches], target, { onProgress });
  return { clean: whole, corrupted: without, values: Float64Array.from(values) };
}

/** @throws InputError where the two runs do not differ: there is nothing to restore. */
function restoredShare(values: Float64Array, { clean, corrupted }: { clean: number; corrupted: number }): Float64Array {
  const gap = clean - corrupted;
  if (Math.abs(gap) < 1e-6 * Math.max(1, Math.abs(clean)))
    throw new InputError(
      `the clean and the corrupted prompt give the same ${clean.toFixed(4)}: choose prompts or tokens whose answers differ`,
    );
  return values.map((value) => (value - corrupted) / gap);
}
