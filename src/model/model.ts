import { argmax } from '../kernels/argmax/argmax.ts';
import { gatherRows } from '../kernels/elementwise/elementwise.ts';
import { embedding } from '../kernels/embedding/embedding.ts';
import type { Gpu } from '../kernels/gpu.ts';
import type { Profiler } from '../kernels/profiler.ts';
import type { Readback, Recorder } from '../kernels/recorder.ts';
import { keepText, splice } from '../kernels/splice/splice.ts';
import { rows, type Tensor } from '../kernels/tensor.ts';
import { decoder, unembed } from './decoder.ts';
import { type Edit, EditPlan, firstPosition } from './edits.ts';
import { InputError } from './errors.ts';
import type { Architecture, VisualEncoder, VisualRows } from './families/family.ts';
import { type HookPoint, hookPoints, type NamesFilter, selectHooks } from './hook-points.ts';
import { type HookRequest, Hooks, type PositionRange, type PosSlice, resolvePosSlice } from './hooks.ts';
import type { ModelInput, Visual } from './input.ts';
import { KvCache } from './kv-cache.ts';
import { inverseFrequencies, mropeAxes, ropeTable } from './rope.ts';
import { bindable } from './transformer.ts';
import { type DecoderWeights, decoderWeights, type WeightSource } from './weights.ts';

export interface RunOptions {
  /** Hook points to return (DESIGN.md section 3): a glob, names, or a predicate. */
  readonly namesFilter?: NamesFilter;
  /** Positions of language-model hooks and logits to return: all by default, -1 the last. */
  readonly posSlice?: PosSlice;
  /** Run the decoder blocks before this one only. */
  readonly stopAtLayer?: number;
  readonly profiler?: Profiler;
  /** Changes made on the way, in this order (edits.ts). */
  readonly edits?: readonly Edit[];
  /** Refuse a run whose results take more bytes than this; 1 GiB by default. */
  readonly maxResultBytes?: number;
}

export interface Activation {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export type ActivationCache = ReadonlyMap<string, Activation>;

/** Activations in GPU memory, for kernels of the caller's own; theirs to free. */
export interface GpuActivations {
  readonly tensors: ReadonlyMap<string, Tensor>;
  destroy(): void;
}

/** What a run costs, known before it. */
export interface RunPrice {
  /** Bytes that come back to the host (or stay in tensors of their own). */
  readonly resultBytes: number;
  /** Bytes of buffers that it needs beside the weights and the results. */
  readonly arenaBytes: number;
  readonly dispatches: number;
  readonly flops: number;
}

/** A step of generation: run the inputs, put their keys and values in the cache, choose or return what comes next. */
export interface StepOptions extends RunOptions {
  readonly cache: KvCache;
  /** Greedy: the next ids are chosen on the GPU and left in this u32[batch]; four bytes a sequence are read back. */
  readonly next?: Tensor;
}

export interface StepResult {
  readonly activations: ActivationCache;
  /** [batch, vocab] of the last position, without `next`. */
  readonly logits?: Float32Array;
  /** [batch], with `next`. */
  readonly next?: Uint32Array;
}

const headsAlone = /\.(hook_resid_pre|ln1\.\w+|attn\.\w+)$/;

/** Everything that a model needs of a checkpoint, by name. */
export interface ModelWeights {
  readonly decoder: DecoderWeights;
  readonly encoder?: VisualEncoder;
}

export const modelWeights = ({ text, vision }: Architecture, source: WeightSource): ModelWeights => ({
  encoder: vision?.encoder(source),
  decoder: decoderWeights(text, source),
});

/**
 * A model of any family on the GPU: pictures and token ids in, activations and logits out.
 *
 *     pixels -> vision tower -> projector -> merged embeddings -> decoder blocks -> head outputs | logits
 */
export class Model {
  readonly gpu: Gpu;
  readonly config: Architecture;
  readonly weights: ModelWeights;
  readonly hookPoints: readonly HookPoint[];
  readonly #frequencies: Float32Array;
  readonly #axisOf: Uint8Array | undefined;

  constructor(gpu: Gpu, config: Architecture, weights: ModelWeights) {
    this.gpu = gpu;
    this.config = config;
    this.weights = weights;
    this.hookPoints = hookPoints(config);
    const { rope, dHead, mropeSections } = config.text;
    this.#frequencies = inverseFrequencies(rope, dHead);
    this.#axisOf = mropeSections && mropeAxes(mropeSections);
  }

  /**
   * Runs one prompt and returns the activations asked for; the run ends with the last layer that one of them needs.
   * @throws InputError for inputs that do not fit, unknown names, or results above `maxResultBytes`.
   */
  async runWithCache(input: ModelInput, options: RunOptions = {}): Promise<ActivationCache> {
    const rec = this.gpu.record('forward', options);
    const { hooks } = this.#record(rec, [input], options);
    await rec.submit();
    return activations(hooks);
  }

  /** The same, with what is asked for left on the GPU, in tensors that live until they are destroyed. */
  async runOnGpu(input: ModelInput, options: RunOptions = {}): Promise<GpuActivations> {
    const rec = this.gpu.record('forward', options);
    const tensors = new Map<string, Tensor>();
    const destroy = () => this.gpu.destroy(...tensors.values());
    try {
      this.#record(rec, [input], options, undefined, (name, shape) => {
        const tensor = this.gpu.tensor(name, 'f32', shape);
        tensors.set(name, tensor);
        return tensor;
      });
      await rec.submit();
    } catch (e) {
      destroy();
      throw e;
    }
    return { tensors, destroy };
  }

  /**
   * One prompt under several lists of edits, in batches: the pictures are seen once, and so is the part of the prompt before
   * the first position that any edit touches (keys and values of earlier positions cannot depend on it).
   * @returns for each list what `runWithCache` with these edits would return, up to rounding.
   * @throws InputError also for edits of the tower, the projector or `hook_embed`: these need runs of their own.
   */
  async runVariations(
    input: ModelInput,
    variations: readonly (readonly Edit[])[],
    options: Omit<RunOptions, 'edits'> = {},
  ): Promise<ActivationCache[]> {
    const length = input.inputIds.length;
    const range = resolvePosSlice(options.posSlice, length);
    const before = variations.flat().find((each) => /^(vision|projector|hook_embed$|\*)/.test(each.at));
    if (before)
      throw new InputError(`edit of ${before.at}: variations share what is before hook_merged_embed; use runWithCache`);
    const first = Math.min(range.start, length - 1, ...variations.flat().map((each) => firstPosition(each, length)));
    const { text } = this.config;
    const prefix = new KvCache(this.gpu, text, Math.max(1, first));
    const rest = this.gpu.tensor('merged suffix', 'f32', [length - first, text.dModel]);
    try {
      const axes = await this.#runPrefix(input, options, prefix, first, rest);
      const results: ActivationCache[] = [];
      const size = this.#variationsAtOnce(length - first, length);
      for (let at = 0; at < variations.length; at += size)
        results.push(
          ...(await this.#runSuffixes(variations.slice(at, at + size), options, { prefix, first, rest, axes, range })),
        );
      return results;
    } finally {
      prefix.destroy();
      this.gpu.destroy(rest);
    }
  }

  /** What `runWithCache` would cost, without running it. @throws InputError as it would. */
  price(input: ModelInput, options: RunOptions = {}): RunPrice {
    const rec = this.recorded([input], options);
    return {
      resultBytes: rec.resultBytes,
      arenaBytes: rec.price(),
      dispatches: rec.dispatches,
      flops: rec.work.flops,
    };
  }

  /**
   * Inputs of equal length in as few runs as this adapter can bind: an activation of the widest kind holds the rows of a whole
   * batch. One input is a run, whatever its size.
   */
  batches(inputs: readonly ModelInput[]): ModelInput[][] {
    const { text, vision } = this.config;
    const limit = this.gpu.capabilities.maxStorageBufferBindingSize / 4;
    const fits = (batch: readonly ModelInput[]) => {
      const tokens = batch.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
      const visuals = batch.flatMap((input) => input.visuals);
      const rows = visuals.reduce((sum, visual) => sum + (vision?.rows(visual) ?? 0), 0);
      const widest = Math.max(text.dMlp, text.dModel, text.nHeads * text.dHead);
      return tokens * widest <= limit && rows * (vision?.widest ?? 0) <= limit;
    };
    const batches: ModelInput[][] = [];
    for (const input of inputs) {
      const last = batches.at(-1);
      if (last && fits([...last, input])) last.push(input);
      else batches.push([input]);
    }
    return batches;
  }

  /**
   * The head outputs at the last position, for several prompts of equal length in one run: what SAVs read.
   * @param maxLayer the last layer to run; all by default.
   * @returns per input [layers, nHeads, dHead]
   */
  async headVectors(
    inputs: readonly ModelInput[],
    { maxLayer = this.config.text.nLayers - 1, edits }: { maxLayer?: number; edits?: readonly Edit[] } = {},
  ): Promise<Float32Array[]> {
    const { nLayers } = this.config.text;
    if (!(Number.isInteger(maxLayer) && maxLayer >= 0 && maxLayer < nLayers))
      throw new InputError(`maxLayer ${maxLayer}: this model has layers 0 to ${nLayers - 1}`);
    const rec = this.gpu.record('head vectors');
    const namesFilter = Array.from({ length: maxLayer + 1 }, (_, l) => `blocks.${l}.attn.hook_z`);
    const { hooks } = this.#record(rec, inputs, { namesFilter, posSlice: -1, edits });
    await rec.submit();
    return splitHeadVectors(activations(hooks), inputs.length);
  }

  /**
   * Prompts of equal length, or the tokens after them, with the positions before them in `cache`.
   * The logits of each one's last position come back only without `next`.
   */
  async step(inputs: readonly ModelInput[], options: StepOptions): Promise<StepResult> {
    const rec = this.gpu.record('step', options);
    const { hooks, logits } = this.#record(rec, inputs, options, options.cache);
    return this.#finishStep(rec, hooks, logits!, inputs[0].inputIds.length, options);
  }

  /** One more token of each sequence, u32[batch], taken from the GPU where the step before left it. */
  async stepFrom(tokens: Tensor, options: StepOptions): Promise<StepResult> {
    const { cache, namesFilter = [] } = options;
    const rec = this.gpu.record('decode', options);
    const happens = ({ name }: HookPoint) => !/^(vision|projector)\./.test(name);
    const names = new Set(
      selectHooks(this.hookPoints, namesFilter)
        .filter(happens)
        .map((p) => p.name),
    );
    const hooks = new Hooks(rec, {
      names,
      length: 1,
      range: { start: 0, end: 1 },
      batch: cache.batch,
      start: cache.length,
      edits: this.#plan(options, cache.promptLength),
    });
    const extent = { layers: this.config.text.nLayers, stopAtHeads: false };
    let x = hooks.pass('hook_embed', this.#embed(rec, tokens));
    x = hooks.pass('hook_merged_embed', x);
    const logits = this.#decode(rec, hooks, x, this.#following(1, cache), cache, extent);
    return this.#finishStep(rec, hooks, logits!, 1, options);
  }

  /**
   * A run as it would be recorded, never to be submitted: what it costs (`price`, `largest`, `work`) and whether its shapes
   * fit, also of a model whose weights are not there (dry-run.ts).
   */
  recorded(inputs: readonly ModelInput[], options: RunOptions = {}, cache?: KvCache): Recorder {
    const rec = this.gpu.record('dry run');
    this.#record(rec, inputs, options, cache);
    return rec;
  }

  async #finishStep(
    rec: Recorder,
    hooks: Hooks,
    logits: Tensor,
    length: number,
    { cache, next }: StepOptions,
  ): Promise<StepResult> {
    let read: Readback;
    if (next) {
      const chosen = argmax(rec, { x: logits, label: 'next token' });
      rec.copy(chosen, next);
      read = rec.read(chosen);
    } else read = rec.read(logits);
    await rec.submit();
    cache.length += length;
    return { activations: activations(hooks), ...(next ? { next: read.u32 } : { logits: read.f32 }) };
  }

  #record(
    rec: Recorder,
    inputs: readonly ModelInput[],
    options: RunOptions,
    cache?: KvCache,
    keep?: HookRequest['keep'],
  ): { hooks: Hooks; logits?: Tensor } {
    const length = inputs[0]?.inputIds.length ?? 0;
    for (const input of inputs) this.#check(input, length, cache);
    if (cache && cache.batch !== inputs.length)
      throw new InputError(`${inputs.length} inputs for a cache of ${cache.batch} sequences`);
    const batch = inputs.length;
    const pictures = inputs.reduce((sum, { visuals }) => sum + visuals.length, 0);
    const { names, layers, stopAtHeads } = this.#extent(options, pictures, cache !== undefined);
    const range = resolvePosSlice(options.posSlice, length);
    const start = cache?.length ?? 0;
    if (cache && !start) cache.promptLength = length;
    const edits = this.#plan(options, cache?.promptLength ?? length);
    const hooks = new Hooks(rec, { names, length, range, batch, start, edits, keep });

    const x = hooks.pass('hook_merged_embed', this.#merged(rec, hooks, inputs));
    const positions = cache?.length ? this.#following(length, cache) : this.#positions(inputs, cache);
    const logits = this.#decode(rec, hooks, x, positions, cache, { layers, stopAtHeads });
    checkResultBytes(rec, options);
    return { hooks, logits };
  }

  /** Token embeddings with those of pictures in their places, [batch * length, dModel]. */
  #merged(rec: Recorder, hooks: Hooks, inputs: readonly ModelInput[]): Tensor {
    const length = inputs[0].inputIds.length;
    const visuals = inputs.flatMap((input) => imagesFirst(input.visuals));
    const ids = new Uint32Array(inputs.length * length);
    for (const [b, { inputIds }] of inputs.entries()) ids.set(Array.from(inputIds), b * length);
    const x = hooks.pass('hook_embed', this.#embed(rec, rec.input('input_ids', 'u32', [ids.length], ids)));
    if (!visuals.length) return x;
    const { features, newline, rows } = this.weights.encoder!(rec, visuals, hooks);
    const source = this.#places(inputs, rows);
    return splice(rec, {
      text: x,
      features,
      extra: newline,
      source: rec.input('visual rows', 'u32', [source.length], source),
      label: 'merged',
    });
  }

  /** Merged embeddings of the whole prompt, and keys and values of its first positions. @returns all rotary positions. */
  async #runPrefix(
    input: ModelInput,
    options: RunOptions,
    prefix: KvCache,
    first: number,
    rest: Tensor,
  ): Promise<readonly ArrayLike<number>[]> {
    const length = input.inputIds.length;
    this.#check(input, length, undefined);
    const rec = this.gpu.record('shared prefix', options);
    const hooks = new Hooks(rec, { names: new Set(), length, range: { start: 0, end: length } });
    const x = this.#merged(rec, hooks, [input]);
    rec.copy(rows(x, first, length), rest);
    const axes = this.#positions([input], undefined);
    if (first > 0) {
      const own = new Hooks(rec, { names: new Set(), length: first, range: { start: 0, end: first } });
      const positions = axes.map((axis) => Array.from(axis).slice(0, first));
      const { layers } = this.#extent(options, 0, false);
      this.#decoder(rec, own, bindable(rec, rows(x, 0, first)), positions, prefix, { layers, stopAtHeads: false });
    }
    await rec.submit();
    return axes;
  }

  async #runSuffixes(
    variations: readonly (readonly Edit[])[],
    options: RunOptions,
    shared: { prefix: KvCache; first: number; rest: Tensor; axes: readonly ArrayLike<number>[]; range: PositionRange },
  ): Promise<ActivationCache[]> {
    const { prefix, first, rest, axes, range } = shared;
    const { text } = this.config;
    const batch = variations.length;
    const [count] = rest.shape;
    const length = first + count;
    const cache = new KvCache(this.gpu, text, length, batch);
    try {
      const rec = this.gpu.record('variations', options);
      for (let l = 0; l < text.nLayers && first > 0; l++)
        for (const which of ['keys', 'values'] as const)
          for (let b = 0; b < batch; b++)
            rec.copy(rows(prefix[which][l], 0, first), rows(cache[which][l], b * length, b * length + first));
      cache.length = first;
      const { names, layers, stopAtHeads } = this.#extent(options, 0, false);
      const planned = variations.flatMap((edits, sequence) => edits.map((each) => ({ ...each, sequence })));
      const hooks = new Hooks(rec, {
        names,
        length: count,
        range: { start: range.start - first, end: range.end - first },
        batch,
        start: first,
        edits: new EditPlan(this.hookPoints, planned, length),
      });
      const index = Uint32Array.from({ length: batch * count }, (_, row) => row % count);
      const repeated = rec.input('suffix rows', 'u32', [index.length], index);
      const x = hooks.pass('hook_merged_embed', gatherRows(rec, { x: rest, rows: repeated, label: 'suffixes' }));
      const positions = axes.map((axis) => Array.from(index, (row) => axis[first + row]));
      const out = this.#decoder(rec, hooks, x, positions, cache, { layers, stopAtHeads });
      this.#unembedWanted(rec, hooks, out);
      checkResultBytes(rec, options);
      await rec.submit();
      return splitBatch(activations(hooks), batch);
    } finally {
      cache.destroy();
    }
  }

  /** Variations of which the widest activation can be bound, and whose caches do not take more than the weights of a layer. */
  #variationsAtOnce(rowsEach: number, length: number): number {
    const { dMlp, dModel, nHeads, nKvHeads, dHead } = this.config.text;
    const limit = this.gpu.capabilities.maxStorageBufferBindingSize / 4;
    const widest = rowsEach * Math.max(dMlp, dModel, nHeads * dHead);
    return Math.max(1, Math.min(64, Math.floor(limit / Math.max(widest, length * nKvHeads * dHead))));
  }

  #plan({ edits = [] }: RunOptions, promptLength: number): EditPlan | undefined {
    return edits.length ? new EditPlan(this.hookPoints, edits, promptLength) : undefined;
  }

  #embed(rec: Recorder, ids: Tensor): Tensor {
    return embedding(rec, { ids, weight: this.weights.decoder.embed, label: 'embed_tokens' });
  }

  /** For every token, the row of features that takes its place, or none: images and videos each in their own order. */
  #places(inputs: readonly ModelInput[], rowsOf: VisualRows['rows']): Uint32Array<ArrayBuffer> {
    const vision = this.config.vision!;
    let first = 0;
    const places = inputs.flatMap(({ inputIds, visuals }) => {
      const own = imagesFirst(visuals).map((visual, i) => ({ kind: visual.kind, rows: rowsOf[first + i] }));
      first += visuals.length;
      const queue = (kind: Visual['kind']) =>
        own
          .filter((v) => v.kind === kind)
          .flatMap(({ rows }) => Array.from(rows))
          .values();
      const [image, video] = [queue('image'), queue('video')];
      return Array.from(inputIds, (id) => {
        if (id === vision.imageTokenId) return image.next().value!;
        return id === vision.videoTokenId ? video.next().value! : keepText;
      });
    });
    return Uint32Array.from(places);
  }

  /** Rotary positions of prompts, [axes][batch * length]; notes in the cache where what follows them stands. */
  #positions(inputs: readonly ModelInput[], cache: KvCache | undefined): readonly ArrayLike<number>[] {
    const axes: number[][] = [[], [], []];
    for (const [b, input] of inputs.entries()) {
      const { length } = input.inputIds;
      const own = this.config.vision?.positions?.(input);
      for (const [a, axis] of axes.entries()) {
        for (let i = 0; i < length; i++) axis.push(own ? own[a][i] : i);
        // Each axis goes on from the last token, as in HF's `generate`. (Its `forward` with a cache goes on from the largest
        // position instead, which differs behind a long video.)
        if (cache) cache.shifts[a][b] = axis.at(-1)! + 1 - length;
      }
    }
    return axes;
  }

  /** Positions of `length` tokens of each sequence behind those in the cache. */
  #following(length: number, { batch, length: before, shifts }: KvCache): readonly ArrayLike<number>[] {
    return shifts.map((shift) =>
      Uint32Array.from(
        { length: batch * length },
        (_, row) => before + shift[Math.floor(row / length)] + (row % length),
      ),
    );
  }

  #decode(
    rec: Recorder,
    hooks: Hooks,
    x: Tensor,
    positions: readonly ArrayLike<number>[],
    cache: KvCache | undefined,
    extent: { layers: number; stopAtHeads: boolean },
  ): Tensor | undefined {
    const out = this.#decoder(rec, hooks, x, positions, cache, extent);
    this.#unembedWanted(rec, hooks, out);
    // Generation goes on from the last position, whatever the hooks ask for.
    const { decoder } = this.weights;
    return cache && unembed(rec, decoder, this.config.text, lastRows(rec, out!, hooks.batch), hooks.last);
  }

  #decoder(
    rec: Recorder,
    hooks: Hooks,
    x: Tensor,
    positions: readonly ArrayLike<number>[],
    cache: KvCache | undefined,
    extent: { layers: number; stopAtHeads: boolean },
  ): Tensor | undefined {
    const { text } = this.config;
    const table = ropeTable(this.#frequencies, positions, this.#axisOf);
    const rope = rec.input('rope', 'f32', [positions[0].length, text.dHead], table);
    return decoder(rec, this.weights.decoder, text, { x, batch: hooks.batch, rope, cache, hooks, ...extent });
  }

  #unembedWanted(rec: Recorder, hooks: Hooks, out: Tensor | undefined): void {
    if (hooks.wants('logits', 'ln_final.hook_normalized', 'ln_final.hook_scale'))
      unembed(rec, this.weights.decoder, this.config.text, hooks.narrow(out!), hooks.narrowed);
  }

  /** Which hooks are wanted and how far the run must go for them. */
  #extent({ namesFilter = [], stopAtLayer }: RunOptions, visuals: number, generating: boolean) {
    const { nLayers } = this.config.text;
    const seen = (p: HookPoint) => !/^(vision|projector)\./.test(p.name);
    const selected = selectHooks(this.hookPoints, namesFilter);
    const unseen = visuals ? undefined : selected.find((p) => !seen(p) && [namesFilter].flat().includes(p.name));
    if (unseen) throw new InputError(`${unseen.name} does not happen: the prompt has no images`);
    const wanted = visuals ? selected : selected.filter(seen);
    const last = generating ? nLayers : Math.max(-1, ...wanted.map((p) => p.layer));
    if (stopAtLayer !== undefined && !(Number.isInteger(stopAtLayer) && stopAtLayer >= 0 && stopAtLayer <= nLayers))
      throw new InputError(`stopAtLayer ${stopAtLayer}: this model has ${nLayers} layers`);
    const unreachable = wanted.find((p) => stopAtLayer !== undefined && p.layer >= stopAtLayer);
    if (unreachable) throw new InputError(`${unreachable.name} lies beyond stopAtLayer ${stopAtLayer}`);
    const layers = Math.min(last + 1, nLayers);
    const stopAtHeads = last < nLayers && wanted.filter((p) => p.layer === last).every((p) => headsAlone.test(p.name));
    return { names: new Set(wanted.map((p) => p.name)), layers, stopAtHeads };
  }

  #check({ inputIds, visuals }: ModelInput, length: number, cache: KvCache | undefined): void {
    const { text, vision } = this.config;
    if (!inputIds.length) throw new InputError('the input has no tokens');
    if (inputIds.length !== length)
      throw new InputError(`prompts of ${length} and ${inputIds.length} tokens cannot run as one batch`);
    const end = (cache?.length ?? 0) + length;
    if (cache && end > cache.capacity)
      throw new InputError(`${end} positions do not fit the cache of ${cache.capacity}`);
    if (end > text.maxPositions)
      throw new InputError(`${end} positions exceed this model's max_position_embeddings, ${text.maxPositions}`);
    if (visuals.length && !vision) throw new InputError('this model takes no images: it is a text-only decoder');
    const found = { image: 0, video: 0 };
    for (let i = 0; i < length; i++) {
      const id = inputIds[i];
      // A placeholder's own embedding is never read, and may lie past the table (the original LLaVA's does).
      if (id === vision?.imageTokenId) found.image++;
      else if (id === vision?.videoTokenId) found.video++;
      else if (!(Number.isInteger(id) && id >= 0 && id < text.vocabSize))
        throw new InputError(`token id ${id} at position ${i} is not in the vocabulary of ${text.vocabSize}`);
    }
    const tokens = visuals.map((visual) => ({ kind: visual.kind, count: vision!.tokens(visual) }));
    for (const kind of ['image', 'video'] as const) {
      const counts = tokens.filter((t) => t.kind === kind).map((t) => t.count);
      if (found[kind] !== counts.reduce((sum, n) => sum + n, 0))
        throw new InputError(
          `${found[kind]} ${kind} tokens in the prompt for ${counts.length} ${kind}s${counts.length ? ` of ${counts.join(', ')} tokens` : ''}`,
        );
    }
  }
}

/** What a run has brought home. */
export function activations(hooks: Hooks): ActivationCache {
  const found = new Map<string, Activation>();
  for (const [name, result] of hooks.results)
    if ('readback' in result) found.set(name, { data: result.readback.f32, shape: result.shape });
  return found;
}

function checkResultBytes({ resultBytes }: Recorder, { maxResultBytes: limit = 2 ** 30 }: RunOptions): void {
  if (resultBytes > limit)
    throw new InputError(
      `the activations asked for take ${resultBytes} bytes, more than ${limit}: ask for fewer names, give posSlice, or raise maxResultBytes`,
    );
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

/** `hook_z` of every layer at one position of `batch` prompts, as a [layers, nHeads, dHead] array for each prompt. */
export function splitHeadVectors(layers: ActivationCache, batch: number): Float32Array[] {
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

/** The order in which HF's models see them, and therefore the order of crops and patches in hooks of the tower. */
export function imagesFirst(visuals: readonly Visual[]): Visual[] {
  const of = (kind: Visual['kind']) => visuals.filter((visual) => visual.kind === kind);
  return [...of('image'), ...of('video')];
}

/** The last of `length` rows of each sequence. */
function lastRows(rec: Recorder, x: Tensor, batch: number): Tensor {
  const length = x.shape[0] / batch;
  if (batch === 1) return rows(x, length - 1, length);
  if (length === 1) return x;
  const last = Uint32Array.from({ length: batch }, (_, b) => (b + 1) * length - 1);
  return gatherRows(rec, { x, rows: rec.input('last rows', 'u32', [batch], last), label: 'last rows' });
}
