import { argmax } from '../kernels/argmax/argmax.ts';
import { type Kernels, unusedKernels } from '../kernels/custom/kernels.ts';
import type { Dispatch } from '../kernels/dispatch.ts';
import { gatherRows } from '../kernels/elementwise/elementwise.ts';
import { embedding } from '../kernels/embedding/embedding.ts';
import type { Gpu } from '../kernels/gpu.ts';
import type { Profiler } from '../kernels/profiler.ts';
import type { Readback, Recorder } from '../kernels/recorder.ts';
import { keepText, splice } from '../kernels/splice/splice.ts';
import { rows, type Tensor } from '../kernels/tensor.ts';
import { decoder, unembed } from './decoder.ts';
import { InputError } from './errors.ts';
import { withExtras } from './extra-hooks.ts';
import type { Architecture, VisualEncoder, VisualRows } from './families/family.ts';
import { type HookPoint, hookPoints, type NamesFilter, selectHooks } from './hook-points.ts';
import { Hooks, type PosSlice, resolvePosSlice } from './hooks.ts';
import type { ModelInput, Visual } from './input.ts';
import type { KvCache } from './kv-cache.ts';
import { inverseFrequencies, mropeAxes, ropeTable } from './rope.ts';
import { type DecoderWeights, decoderWeights, type WeightSource } from './weights.ts';

export interface RunOptions {
  /** Hook points to return (DESIGN.md section 3): a glob, names, or a predicate. */
  readonly namesFilter?: NamesFilter;
  /** Positions of language-model hooks and logits to return: all by default, -1 the last. */
  readonly posSlice?: PosSlice;
  /** Run the decoder blocks before this one only. */
  readonly stopAtLayer?: number;
  readonly profiler?: Profiler;
  /** WGSL of your own in the place of ours, by operation (docs/kernels.md). Default: those that the GPU was opened with. */
  readonly kernels?: Kernels;
  /** Refuse a run whose results take more bytes than this; 1 GiB by default. */
  readonly maxResultBytes?: number;
}

export interface Activation {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export type ActivationCache = ReadonlyMap<string, Activation>;

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
    const [unused] = unusedKernels(options.kernels ?? {}, rec.recorded);
    if (unused)
      throw new InputError(
        `the kernel ${unused.name} took no place in this run: no dispatch has a label like ${unused.labels ?? '*'}`,
      );
    await rec.submit();
    return activations(hooks);
  }

  /** What `runWithCache` would run, without running it: each dispatch with its text, bindings, params and workgroups. */
  dispatches(input: ModelInput, options: RunOptions = {}): readonly Dispatch[] {
    const rec = this.gpu.record('forward', options);
    this.#record(rec, [input], options);
    return rec.recorded;
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
  async headVectors(inputs: readonly ModelInput[], maxLayer = this.config.text.nLayers - 1): Promise<Float32Array[]> {
    const { nLayers } = this.config.text;
    if (!(maxLayer >= 0 && maxLayer < nLayers))
      throw new InputError(`maxLayer ${maxLayer}: this model has layers 0 to ${nLayers - 1}`);
    const rec = this.gpu.record('head vectors');
    const namesFilter = Array.from({ length: maxLayer + 1 }, (_, l) => `blocks.${l}.attn.hook_z`);
    const { hooks } = this.#record(rec, inputs, { namesFilter, posSlice: -1 });
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
    const { cache } = options;
    const rec = this.gpu.record('decode', options);
    const hooks = new Hooks(rec, new Set(), 1, { start: 0, end: 1 }, cache.batch);
    const extent = { layers: this.config.text.nLayers, stopAtHeads: false };
    const logits = this.#decode(rec, hooks, this.#embed(rec, tokens), this.#following(1, cache), cache, extent);
    return this.#finishStep(rec, hooks, logits!, 1, options);
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
  ): { hooks: Hooks; logits?: Tensor } {
    const length = inputs[0]?.inputIds.length ?? 0;
    for (const input of inputs) this.#check(input, length, cache);
    if (cache && cache.batch !== inputs.length)
      throw new InputError(`${inputs.length} inputs for a cache of ${cache.batch} sequences`);
    const batch = inputs.length;
    const visuals = inputs.flatMap((input) => imagesFirst(input.visuals));
    const { names, layers, stopAtHeads } = this.#extent(options, visuals.length, cache !== undefined);
    const range = resolvePosSlice(options.posSlice, length);
    const hooks = new Hooks(rec, names, length, range, batch);

    const ids = new Uint32Array(batch * length);
    for (const [b, { inputIds }] of inputs.entries()) ids.set(Array.from(inputIds), b * length);
    let x = this.#embed(rec, rec.input('input_ids', 'u32', [ids.length], ids));
    hooks.emit('hook_embed', x);
    if (visuals.length) {
      const { features, newline, rows } = this.weights.encoder!(rec, visuals, hooks);
      const source = this.#places(inputs, rows);
      x = splice(rec, {
        text: x,
        features,
        extra: newline,
        source: rec.input('visual rows', 'u32', [source.length], source),
        label: 'merged',
      });
    }
    hooks.emit('hook_merged_embed', x);
    const positions = cache?.length ? this.#following(length, cache) : this.#positions(inputs, cache);
    const logits = this.#decode(rec, hooks, x, positions, cache, { layers, stopAtHeads });

    const limit = options.maxResultBytes ?? 2 ** 30;
    if (rec.resultBytes > limit)
      throw new InputError(
        `the activations asked for take ${rec.resultBytes} bytes, more than ${limit}: ask for fewer names, give posSlice, or raise maxResultBytes`,
      );
    return { hooks, logits };
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
    const { text } = this.config;
    const { batch } = hooks;
    const table = ropeTable(this.#frequencies, positions, this.#axisOf);
    const rope = rec.input('rope', 'f32', [positions[0].length, text.dHead], table);
    const out = decoder(rec, this.weights.decoder, text, { x, batch, rope, cache, hooks, ...extent });
    if (hooks.wants('logits', 'ln_final.hook_normalized', 'ln_final.hook_scale'))
      unembed(rec, this.weights.decoder, text, hooks.narrow(out!), hooks);
    // Generation goes on from the last position, whatever the hooks ask for.
    return cache ? unembed(rec, this.weights.decoder, text, lastRows(rec, out!, batch)) : undefined;
  }

  /** Which hooks are wanted and how far the run must go for them. */
  #extent({ namesFilter = [], stopAtLayer, kernels }: RunOptions, visuals: number, generating: boolean) {
    const { nLayers } = this.config.text;
    const seen = (p: HookPoint) => !/^(vision|projector)\./.test(p.name);
    const selected = selectHooks(withExtras(this.hookPoints, kernels ?? this.gpu.kernels), namesFilter);
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

function activations(hooks: Hooks): ActivationCache {
  return new Map([...hooks.results].map(([name, { readback, shape }]) => [name, { data: readback.f32, shape }]));
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
function imagesFirst(visuals: readonly Visual[]): Visual[] {
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
