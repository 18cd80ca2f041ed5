import { gatherRows } from '../kernels/elementwise/elementwise.ts';
import type { Gpu } from '../kernels/gpu.ts';
import { rows, type Tensor } from '../kernels/tensor.ts';
import { type Edit, EditPlan, firstPosition } from './edits.ts';
import type { Forward } from './forward.ts';
import { selectHooks } from './hook-points.ts';
import { Hooks } from './hooks.ts';
import type { ModelInput } from './input.ts';
import { KvCache } from './kv-cache.ts';
import { type PositionRange, resolvePosSlice } from './positions.ts';
import { type ActivationCache, activations, checkResultBytes, type RunOptions } from './run.ts';
import { bindable } from './transformer.ts';

/**
 * One prompt under several lists of edits, in batches: the pictures are seen once, and so is the part of the prompt before
 * the first position that any edit touches (keys and values of earlier positions cannot depend on it). A list that changes the
 * tower, the projector or `hook_embed` shares nothing and runs apart.
 * @returns for each list what `runWithCache` with these edits would return, up to rounding.
 * @throws InputError as `runWithCache` would.
 */
export async function runVariations(
  gpu: Gpu,
  forward: Forward,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  options: Omit<RunOptions, 'edits'> = {},
): Promise<ActivationCache[]> {
  const isApart = ({ at }: Edit) =>
    selectHooks(forward.hookPoints, at).some(({ name }) => /^(vision\.|projector\.|hook_embed$)/.test(name));
  const apart = new Set(variations.filter((edits) => edits.some(isApart)));
  const together = variations.filter((edits) => !apart.has(edits));
  const shared = together.length ? await runTogether(gpu, forward, input, together, options, []) : [];
  const results: ActivationCache[] = [];
  for (const edits of variations)
    results.push(
      apart.has(edits) ? (await runTogether(gpu, forward, input, [edits], options, edits))[0] : shared.shift()!,
    );
  return results;
}

/** @param before edits of what comes before the decoder, the same for all. */
async function runTogether(
  gpu: Gpu,
  forward: Forward,
  input: ModelInput,
  variations: readonly (readonly Edit[])[],
  options: RunOptions,
  before: readonly Edit[],
): Promise<ActivationCache[]> {
  const length = input.inputIds.length;
  const range = resolvePosSlice(options.posSlice, length);
  const first = Math.min(range.start, length - 1, ...variations.flat().map((each) => firstPosition(each, length)));
  const { text } = forward.config;
  const prefix = new KvCache(gpu, text, Math.max(1, first));
  const rest = gpu.tensor('merged suffix', 'f32', [length - first, text.dModel]);
  try {
    const axes = await runPrefix(gpu, forward, input, { ...options, edits: before }, prefix, first, rest);
    const results: ActivationCache[] = [];
    const size = variationsAtOnce(gpu, forward, length - first, length);
    for (let at = 0; at < variations.length; at += size)
      results.push(
        ...(await runSuffixes(gpu, forward, variations.slice(at, at + size), options, {
          prefix,
          first,
          rest,
          axes,
          range,
        })),
      );
    return results;
  } finally {
    prefix.destroy();
    gpu.destroy(rest);
  }
}

/**
 * Merged embeddings of the whole prompt, with the edits of what comes before them, and keys and values of its first positions.
 * @returns all rotary positions.
 */
async function runPrefix(
  gpu: Gpu,
  forward: Forward,
  input: ModelInput,
  options: RunOptions,
  prefix: KvCache,
  first: number,
  rest: Tensor,
): Promise<readonly ArrayLike<number>[]> {
  const length = input.inputIds.length;
  forward.check(input, length, undefined);
  const rec = gpu.record('shared prefix', options);
  const edits = forward.plan(options, length);
  const hooks = new Hooks(rec, { names: new Set(), length, range: { start: 0, end: length }, edits });
  const x = forward.merged(rec, hooks, [input]);
  rec.copy(rows(x, first, length), rest);
  const axes = forward.positions([input], undefined);
  if (first > 0) {
    const own = new Hooks(rec, { names: new Set(), length: first, range: { start: 0, end: first } });
    const positions = axes.map((axis) => Array.from(axis).slice(0, first));
    const { layers } = forward.extent(options, 0, false);
    forward.decoder(rec, own, bindable(rec, rows(x, 0, first)), positions, prefix, { layers, stopAtHeads: false });
  }
  await rec.submit();
  return axes;
}

async function runSuffixes(
  gpu: Gpu,
  forward: Forward,
  variations: readonly (readonly Edit[])[],
  options: RunOptions,
  shared: { prefix: KvCache; first: number; rest: Tensor; axes: readonly ArrayLike<number>[]; range: PositionRange },
): Promise<ActivationCache[]> {
  const { prefix, first, rest, axes, range } = shared;
  const { text } = forward.config;
  const batch = variations.length;
  const [count] = rest.shape;
  const length = first + count;
  const cache = new KvCache(gpu, text, length, batch);
  try {
    const rec = gpu.record('variations', options);
    for (let l = 0; l < text.nLayers && first > 0; l++)
      for (const which of ['keys', 'values'] as const)
        for (let b = 0; b < batch; b++)
          rec.copy(rows(prefix[which][l], 0, first), rows(cache[which][l], b * length, b * length + first));
    cache.length = first;
    const { names, layers, stopAtHeads } = forward.extent(options, 0, false);
    const planned = variations.flatMap((edits, sequence) => edits.map((each) => ({ ...each, sequence })));
    const hooks = new Hooks(rec, {
      names,
      length: count,
      range: { start: range.start - first, end: range.end - first },
      batch,
      start: first,
      edits: new EditPlan(forward.hookPoints, planned, length),
    });
    const index = Uint32Array.from({ length: batch * count }, (_, row) => row % count);
    const repeated = rec.input('suffix rows', 'u32', [index.length], index);
    const x = hooks.pass('hook_merged_embed', gatherRows(rec, { x: rest, rows: repeated, label: 'suffixes' }));
    const positions = axes.map((axis) => Array.from(index, (row) => axis[first + row]));
    const out = forward.decoder(rec, hooks, x, positions, cache, { layers, stopAtHeads });
    forward.unembedWanted(rec, hooks, out);
    checkResultBytes(rec, options);
    await rec.submit();
    return splitBatch(activations(hooks), batch);
  } finally {
    cache.destroy();
  }
}

/** Variations of which the widest activation can be bound, and whose caches do not take more than the weights of a layer. */
function variationsAtOnce(gpu: Gpu, forward: Forward, rowsEach: number, length: number): number {
  const { dMlp, dModel, nHeads, nKvHeads, dHead } = forward.config.text;
  const limit = gpu.capabilities.maxStorageBufferBindingSize / 4;
  const widest = rowsEach * Math.max(dMlp, dModel, nHeads * dHead);
  return Math.max(1, Math.min(64, Math.floor(limit / Math.max(widest, length * nKvHeads * dHead))));
}

/** The activations of each sequence of a batch, which hold a share of the first axis each. */
function splitBatch(activations: ActivationCache, batch: number): ActivationCache[] {
  return Array.from(
    { length: batch },
    (_, b) =>
      new Map(
        [...activations].map(
          ([
            name,
            {
              data,
              shape: [first, ...rest],
            },
          ]) => {
            const size = data.length / batch;
            return [name, { data: data.slice(b * size, (b + 1) * size), shape: [first / batch, ...rest] }];
          },
        ),
      ),
  );
}
