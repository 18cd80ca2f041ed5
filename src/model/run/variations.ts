import type { Dispatch } from '../../gpu/dispatch.ts';
import { elementCount, rows, type Tensor } from '../../gpu/tensor.ts';
import { checkKernelsUsed } from '../../kernels/custom/kernels.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import type { ModelInput } from '../input.ts';
import { type Edit, EditPlan, firstPosition } from '../interventions/edits.ts';
import { isEarly, selectHooks } from '../interventions/hook-points.ts';
import { type PositionRange, resolvePosSlice } from '../interventions/positions.ts';
import { KvCache } from '../layers/kv-cache.ts';
import { ActivationCache } from './activations.ts';
import { Pass } from './pass.ts';
import { type Axes, type DecoderRunner, recordPrefix, runSuffixes, suffixesAtOnce } from './prefix.ts';
import type { RunOptions } from './run.ts';

/** What a variation's own results take, of a prompt that it shares with others. */
export function variationBytes({ forward, bound }: DecoderRunner, input: ModelInput, options: RunOptions): number {
  const { length } = input.inputIds;
  const { start, end } = resolvePosSlice(options.posSlice, length);
  const { wanted } = forward.extent(bound.hookPoints, options, input.visuals.length, false);
  const size = { pos: end - start, keys: length, crops: 0, patches: 0 };
  return wanted.reduce((sum, point) => sum + (isEarly(point) ? 0 : 4 * elementCount(point.shape(size))), 0);
}

/**
 * `Model.eachVariation`: lists that change what comes before the decoder run apart, the others together.
 * @param alone runs a list after the edits of all.
 */
export async function* eachVariation(
  model: DecoderRunner,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  options: RunOptions,
  alone: (edits: readonly Edit[]) => Promise<ActivationCache>,
): AsyncGenerator<ActivationCache, void> {
  const points = model.forward.hookPoints;
  for (const edits of variations) new EditPlan(points, edits); // refuses a bad one before anything runs
  const changesEarly = ({ at }: Edit) => selectHooks(points, at).some(isEarly);
  const apart = new Set(variations.filter((edits) => edits.some(changesEarly)));
  const rest = variations.filter((edits) => !apart.has(edits));
  const together = eachTogether(model, input, rest, options);
  try {
    for (const edits of variations) {
      const shared = apart.has(edits) ? undefined : await together.next();
      yield shared?.value ?? (await alone(edits));
    }
    await together.next(); // to its end, where it looks for kernels that took no place
  } finally {
    await together.return();
  }
}

/** In batches; the pictures and the positions before the first that any list of a batch touches are seen once. */
async function* eachTogether(
  model: DecoderRunner,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  options: RunOptions,
): AsyncGenerator<ActivationCache, void> {
  if (!variations.length) return;
  const { gpu, bound } = model;
  const length = input.inputIds.length;
  const range = resolvePosSlice(options.posSlice, length);
  const { text } = model.forward.config;
  const { maxStorageBufferBindingSize } = gpu.capabilities;
  const results = bound.maxResultBytes / variationBytes(model, input, options);
  const atOnce = (first: number) =>
    Math.min(results, suffixesAtOnce(text, maxStorageBufferBindingSize, length - first, length));
  const batches = batchesOf(variations, length, Math.min(range.start, length - 1), atOnce);
  const longest = batches.reduce((most, { first }) => Math.max(most, first), 0);
  const prefix = new KvCache(gpu, text, { capacity: longest });
  const merged = gpu.tensor('merged', 'f32', [length, text.dModel]);
  try {
    const shared = { input, options, range, prefix, merged, recorded: [] };
    const { axes, before } = await runPrefix(model, shared, longest);
    for (const batch of batches)
      for (const own of await runBatch(model, shared, batch, axes)) yield new ActivationCache([...before, ...own]);
    checkKernelsUsed(bound.kernels, shared.recorded);
  } finally {
    prefix.destroy();
    gpu.destroy(merged);
  }
}

interface Batch {
  readonly variations: (readonly Edit[])[];
  /** The first position that they do not share. */
  first: number;
}

/**
 * A batch ends before a variation that shares more of the prompt, which it would then have to run again.
 * @param last the last position that anything may be shared before.
 * @param atOnce how many fit into a batch that begins at a position.
 */
function batchesOf(
  variations: readonly (readonly Edit[])[],
  length: number,
  last: number,
  atOnce: (first: number) => number,
): Batch[] {
  const batches: Batch[] = [];
  for (const edits of variations) {
    const first = edits.reduce((least, each) => Math.min(least, firstPosition(each, length)), last);
    const batch = batches.at(-1);
    if (batch && first <= batch.first && batch.variations.length < atOnce(first)) {
      batch.variations.push(edits);
      batch.first = first;
    } else batches.push({ variations: [edits], first });
  }
  return batches;
}

/** What all variations share. */
interface Shared {
  readonly input: ModelInput;
  readonly options: RunOptions;
  readonly range: PositionRange;
  /** Keys and values of the first positions. */
  readonly prefix: KvCache;
  /** Merged embeddings of the whole prompt. */
  readonly merged: Tensor;
  /** What has run, in which custom kernels are looked for. */
  readonly recorded: Dispatch[];
}

/** @returns all rotary positions, and what was asked for of what comes before the decoder. */
async function runPrefix(
  model: DecoderRunner,
  { input, options, range, prefix, merged, recorded }: Shared,
  first: number,
): Promise<{ axes: Axes; before: ActivationCache }> {
  const { forward, bound } = model;
  const length = input.inputIds.length;
  forward.check(input, length, undefined);
  forward.checkEdits(bound.edits, input.visuals.length);
  const pass = new Pass(model, 'shared prefix');
  const { rec } = pass;
  const { wanted, layers } = forward.extent(bound.hookPoints, options, input.visuals.length, false);
  const names = new Set(wanted.filter(isEarly).map(({ name }) => name));
  const x = forward.merged(rec, pass.hooks({ names, length, range }), [input]);
  rec.copy(x, merged);
  const axes = forward.positions([input], undefined);
  if (first > 0)
    recordPrefix(model, pass, prefix, {
      embeddings: rows(x, 0, first),
      positions: axes.map((axis) => Array.from(axis).slice(0, first)),
      promptLength: length,
      layers,
    });
  pass.checkResultBytes();
  recorded.push(...rec.recorded);
  return { axes, before: await pass.submit() };
}

async function runBatch(
  model: DecoderRunner,
  { input, options, range, prefix, merged, recorded }: Shared,
  { variations, first }: Batch,
  axes: Axes,
): Promise<ActivationCache[]> {
  const { forward, bound } = model;
  const batch = variations.length;
  const [length] = merged.shape;
  const own = variations.flatMap((edits, sequence) => edits.map((each) => ({ ...each, sequence })));
  const places = Uint32Array.from({ length: batch * (length - first) }, (_, row) => first + (row % (length - first)));
  const pass = new Pass(model, 'variations');
  const found = await runSuffixes(model, pass, {
    ...forward.extent(bound.hookPoints, options, input.visuals.length, false),
    ...{ prefix, first, batch, length, range },
    edits: new EditPlan(forward.hookPoints, [...bound.edits, ...own]),
    positions: axes.map((axis) => Array.from(places, (place) => axis[place])),
    embeddings: (rec) => {
      const suffixes = rec.input('suffix rows', 'u32', [places.length], places);
      return gatherRows(rec, { x: merged, rows: suffixes, label: 'suffixes' });
    },
  });
  recorded.push(...pass.rec.recorded);
  return found;
}
