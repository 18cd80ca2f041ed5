// Several prompts that begin alike: one picture, many questions.
import { least } from '../../base/extremes.ts';
import { InputError } from '../errors.ts';
import type { VisionSide } from '../families/family.ts';
import type { ModelInput, Visual } from '../input.ts';
import type { NamesFilter } from '../interventions/hook-points.ts';
import { resolvePosSlice } from '../interventions/positions.ts';
import { KvCache } from '../layers/kv-cache.ts';
import type { ActivationCache } from './activations.ts';
import type { Bound } from './bound.ts';
import { Pass } from './pass.ts';
import {
  type DecoderRunner,
  mostSuffixes,
  recordPrefix,
  runSuffixes,
  type Suffixes,
  suffixesAtOnce,
} from './prefix.ts';

/**
 * How many tokens all of the prompts begin with: the same ones and, where they stand for pictures, for the same pixel values. A
 * picture is shared as a whole or not at all, and the last token of each prompt is its own: something is left to run.
 */
export function sharedTokens(inputs: readonly ModelInput[], vision: VisionSide | undefined): number {
  const [one, ...others] = inputs;
  if (!others.length) return 0;
  const most = least(inputs.map(({ inputIds }) => inputIds.length)) - 1;
  let tokens = 0;
  while (tokens < most && others.every(({ inputIds }) => inputIds[tokens] === one.inputIds[tokens])) tokens++;
  for (const { index, start, end } of placesOf(one, vision))
    if (end > tokens || !others.every(({ visuals }) => sameVisual(visuals[index], one.visuals[index])))
      return Math.min(tokens, start);
  return tokens;
}

/** Where the tokens of each visual stand, from the first to behind the last; in this order. */
function placesOf({ inputIds, visuals }: ModelInput, vision: VisionSide | undefined) {
  const of = (id: number | undefined) => Array.from(inputIds).flatMap((each, place) => (each === id ? [place] : []));
  const left = { image: of(vision?.imageTokenId), video: of(vision?.videoTokenId) };
  const places = visuals.map((visual, index) => {
    const own = left[visual.kind].splice(0, vision!.tokens(visual));
    return { index, start: own[0], end: own[own.length - 1] + 1 };
  });
  return places.sort((a, b) => a.start - b.start);
}

function sameVisual(a: Visual | undefined, b: Visual): boolean {
  if (a === b) return true;
  const shape = ({ pixels: _, ...rest }: Visual) => JSON.stringify(rest);
  return a !== undefined && shape(a) === shape(b) && a.pixels.every((value, i) => value === b.pixels[i]);
}

/** A prompt in two: so many tokens with the pictures among them, and the rest. */
function splitAt(input: ModelInput, at: number, vision: VisionSide | undefined) {
  const ids = Array.from(input.inputIds);
  const before = new Set(placesOf(input, vision).flatMap(({ index, end }) => (end <= at ? [index] : [])));
  return {
    prefix: { inputIds: ids.slice(0, at), visuals: input.visuals.filter((_, i) => before.has(i)) },
    suffix: { inputIds: ids.slice(at), visuals: input.visuals.filter((_, i) => !before.has(i)) },
  };
}

/** Suffixes of equally many tokens, of some of the prompts. */
export type SuffixBatch = Pick<Suffixes, 'prefix' | 'first' | 'batch' | 'length' | 'positions' | 'embeddings'>;

interface HowToShare {
  /** Decoder blocks that run. */
  readonly layers: number;
  /** Positions that a cache is to have behind the prompts. Default 0. */
  readonly room?: number;
  /** Suffixes of a batch at most. */
  readonly most?: number;
}

/**
 * Runs what prompts of any lengths begin with once, and then, batch by batch, what goes on from there.
 * @param run what is to be done with a batch. @returns a result for each of its prompts.
 * @returns a result for each prompt.
 * @throws InputError for inputs that do not fit, and for a model that is bound to edits or custom kernels.
 */
export async function sharingPrefix<T>(
  model: DecoderRunner,
  inputs: readonly ModelInput[],
  { layers, room = 0, most = mostSuffixes }: HowToShare,
  run: (batch: SuffixBatch, inputs: readonly ModelInput[]) => Promise<readonly T[]>,
): Promise<T[]> {
  const { gpu, forward, bound } = model;
  const { text, vision } = forward.config;
  checkUnbound(bound);
  if (!inputs.length) return [];
  for (const input of inputs) forward.check(input, input.inputIds.length, undefined);
  const first = sharedTokens(inputs, vision);
  const parts = inputs.map((input) => splitAt(input, first, vision));
  const axesOf = (input: ModelInput, start: number, end?: number) =>
    forward.positions([input], undefined).map((axis) => Array.from(axis).slice(start, end));
  const prefix = new KvCache(gpu, text, { capacity: first });
  try {
    if (first > 0) {
      const pass = new Pass(model, 'shared prefix');
      const hooks = pass.hooks({ names: new Set(), length: first, range: { start: 0, end: first } });
      recordPrefix(model, pass, prefix, {
        embeddings: forward.merged(pass.rec, hooks, [parts[0].prefix]),
        positions: axesOf(inputs[0], 0, first),
        promptLength: first,
        layers,
      });
      await pass.submit();
    }
    const found: T[] = [];
    const suffixes = parts.map(({ suffix }) => suffix);
    const { maxStorageBufferBindingSize } = gpu.capabilities;
    const atOnce = (count: number) =>
      Math.min(most, suffixesAtOnce(text, maxStorageBufferBindingSize, count, first + count + room));
    for (const batch of batchesOf(suffixes, atOnce)) {
      const own = batch.map((i) => axesOf(inputs[i], first));
      const results = await run(
        {
          ...{ prefix, first, batch: batch.length, length: inputs[batch[0]].inputIds.length },
          positions: own[0].map((_, axis) => own.flatMap((axes) => axes[axis])),
          embeddings: (rec, hooks) =>
            forward.merged(
              rec,
              hooks,
              batch.map((i) => suffixes[i]),
            ),
        },
        batch.map((i) => inputs[i]),
      );
      for (const [j, i] of batch.entries()) found[i] = results[j];
    }
    return found;
  } finally {
    prefix.destroy();
  }
}

/**
 * The last positions of prompts of any lengths. The tokens and pictures that all of them begin with run once; the rest of each goes
 * on from there, those of equally many tokens together.
 * @param namesFilter hook points of the decoder.
 * @returns for each prompt what `runWithCache` does with `posSlice: -1`, up to rounding.
 * @throws as `sharingPrefix`
 */
export async function runSharingPrefix(
  model: DecoderRunner,
  inputs: readonly ModelInput[],
  namesFilter: NamesFilter,
): Promise<ActivationCache[]> {
  const extent = model.forward.extent(model.bound.hookPoints, { namesFilter }, 0, false);
  return sharingPrefix(model, inputs, extent, (batch) =>
    runSuffixes(model, new Pass(model, 'suffixes'), {
      ...batch,
      ...extent,
      range: resolvePosSlice(-1, batch.length),
    }),
  );
}

/**
 * Batches of suffixes with equally many tokens. One that has pictures of its own begins another: a binding holds those of one
 * prompt, whatever their size.
 */
function batchesOf(suffixes: readonly ModelInput[], atOnce: (tokens: number) => number): number[][] {
  const batches: number[][] = [];
  const open = new Map<number, number[]>();
  for (const [i, { inputIds, visuals }] of suffixes.entries()) {
    const last = open.get(inputIds.length);
    if (last && !visuals.length && last.length < atOnce(inputIds.length)) last.push(i);
    else {
      const batch = [i];
      batches.push(batch);
      open.set(inputIds.length, batch);
    }
  }
  return batches;
}

/** What edits and custom kernels do to a prefix may depend on what follows it: positions count from the end. */
function checkUnbound({ edits, kernels }: Bound): void {
  const what = edits.length ? 'edits' : Object.keys(kernels).length ? 'custom kernels' : undefined;
  if (what)
    throw new InputError(
      `a model that is bound to ${what} runs each prompt whole and shares no prefix: leave out sharePrefix, or the ${what}`,
    );
}
