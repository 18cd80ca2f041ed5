import { argmax } from '../kernels/argmax/argmax.ts';
import { gatherRows } from '../kernels/elementwise/elementwise.ts';
import { embedding } from '../kernels/embedding/embedding.ts';
import type { Gpu } from '../kernels/gpu.ts';
import type { Profiler } from '../kernels/profiler.ts';
import type { Readback, Recorder } from '../kernels/recorder.ts';
import { splice } from '../kernels/splice/splice.ts';
import { rows, type Tensor } from '../kernels/tensor.ts';
import type { LlavaConfig } from './config.ts';
import { decoder, unembed } from './decoder.ts';
import { InputError } from './errors.ts';
import { type HookPoint, hookPoints, type NamesFilter, selectHooks } from './hook-points.ts';
import { Hooks, type PosSlice, resolvePosSlice } from './hooks.ts';
import type { KvCache } from './kv-cache.ts';
import { projector } from './projector.ts';
import { inverseFrequencies, ropeTable } from './rope.ts';
import { visionTower } from './vision-tower.ts';
import type { LlavaWeights } from './weights.ts';

/** What a processor makes of a prompt and its images. */
export interface ModelInput {
  /** Token ids after image-token expansion. */
  readonly inputIds: ArrayLike<number>;
  /** One [3, imageSize, imageSize] array per image, normalised, in the order of the prompt. */
  readonly pixelValues: readonly Float32Array[];
}

export interface RunOptions {
  /** Hook points to return (DESIGN.md section 3): a glob, names, or a predicate. */
  readonly namesFilter?: NamesFilter;
  /** Positions of language-model hooks and logits to return: all by default, -1 the last. */
  readonly posSlice?: PosSlice;
  /** Run the decoder blocks before this one only. */
  readonly stopAtLayer?: number;
  readonly profiler?: Profiler;
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

/**
 * LLaVA-1.5 (HF `LlavaForConditionalGeneration`) on the GPU: image and token ids in, activations and logits out.
 *
 *     pixels -> vision tower -> projector -> merged embeddings -> decoder blocks -> head outputs | logits
 */
export class Llava {
  readonly gpu: Gpu;
  readonly config: LlavaConfig;
  readonly weights: LlavaWeights;
  readonly hookPoints: readonly HookPoint[];
  readonly #frequencies: Float32Array;

  constructor(gpu: Gpu, config: LlavaConfig, weights: LlavaWeights) {
    this.gpu = gpu;
    this.config = config;
    this.weights = weights;
    this.hookPoints = hookPoints(config);
    this.#frequencies = inverseFrequencies(config.text.rope, config.text.dHead);
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

  /** Images one after the other, as the tower is shown them: [images, 3, imageSize, imageSize]. */
  pixelValues(images: readonly Float32Array[]): { data: Float32Array<ArrayBuffer>; shape: readonly number[] } {
    const size = this.config.vision.imageSize;
    const data = new Float32Array(images.length * 3 * size * size);
    for (const [i, image] of images.entries()) data.set(image, i * 3 * size * size);
    return { data, shape: [images.length, 3, size, size] };
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
    const { nLayers } = this.config.text;
    const logits = this.#decode(rec, hooks, this.#embed(rec, tokens), 1, cache.batch, cache, nLayers, false);
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
    const { imageTokenId } = this.config;
    const length = inputs[0]?.inputIds.length ?? 0;
    for (const input of inputs) this.#check(input, length, cache);
    if (cache && cache.batch !== inputs.length)
      throw new InputError(`${inputs.length} inputs for a cache of ${cache.batch} sequences`);
    const batch = inputs.length;
    const pixels = inputs.flatMap((input) => input.pixelValues);
    const { names, layers, stopAtHeads } = this.#extent(options, pixels.length, cache !== undefined);
    const range = resolvePosSlice(options.posSlice, length);
    const hooks = new Hooks(rec, names, length, range, batch);

    const ids = new Uint32Array(batch * length);
    for (const [b, { inputIds }] of inputs.entries()) ids.set(Array.from(inputIds), b * length);
    let x = this.#embed(rec, rec.input('input_ids', 'u32', [ids.length], ids));
    hooks.emit('hook_embed', x);
    if (pixels.length) {
      const features = this.#imageFeatures(rec, pixels, hooks);
      let next = 0;
      const source = ids.map((id) => (id === imageTokenId ? next++ : 0xffffffff));
      x = splice(rec, {
        text: x,
        features,
        source: rec.input('image rows', 'u32', [source.length], source),
        label: 'merged',
      });
    }
    hooks.emit('hook_merged_embed', x);
    const logits = this.#decode(rec, hooks, x, length, batch, cache, layers, stopAtHeads);

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

  #imageFeatures(rec: Recorder, images: readonly Float32Array[], hooks: Hooks): Tensor {
    const { data, shape } = this.pixelValues(images);
    const pixels = rec.input('pixel_values', 'f32', shape, data);
    const features = visionTower(rec, this.weights.vision, this.config, pixels, hooks);
    return projector(rec, this.weights.projector, this.config, features, hooks);
  }

  #decode(
    rec: Recorder,
    hooks: Hooks,
    x: Tensor,
    length: number,
    batch: number,
    cache: KvCache | undefined,
    layers: number,
    stopAtHeads: boolean,
  ): Tensor | undefined {
    const { text } = this.config;
    const start = cache?.length ?? 0;
    const positions = Uint32Array.from({ length: batch * length }, (_, row) => start + (row % length));
    const rope = rec.input('rope', 'f32', [positions.length, text.dHead], ropeTable(this.#frequencies, positions));
    const out = decoder(rec, this.weights.decoder, text, { x, batch, rope, cache, hooks, layers, stopAtHeads });
    if (hooks.wants('logits', 'ln_final.hook_normalized', 'ln_final.hook_scale'))
      unembed(rec, this.weights.decoder, text, hooks.narrow(out!), hooks);
    // Generation goes on from the last position, whatever the hooks ask for.
    return cache ? unembed(rec, this.weights.decoder, text, lastRows(rec, out!, batch)) : undefined;
  }

  /** Which hooks are wanted and how far the run must go for them. */
  #extent({ namesFilter = [], stopAtLayer }: RunOptions, images: number, generating: boolean) {
    const { nLayers } = this.config.text;
    const wanted = selectHooks(this.hookPoints, namesFilter).filter(
      (p) => images > 0 || !/^(vision|projector)\./.test(p.name),
    );
    const last = generating ? nLayers : Math.max(-1, ...wanted.map((p) => p.layer));
    if (stopAtLayer !== undefined && !(Number.isInteger(stopAtLayer) && stopAtLayer >= 0 && stopAtLayer <= nLayers))
      throw new InputError(`stopAtLayer ${stopAtLayer}: this model has ${nLayers} layers`);
    const unreachable = wanted.find((p) => stopAtLayer !== undefined && p.layer >= stopAtLayer);
    if (unreachable) throw new InputError(`${unreachable.name} lies beyond stopAtLayer ${stopAtLayer}`);
    const layers = Math.min(last + 1, nLayers);
    const stopAtHeads = last < nLayers && wanted.filter((p) => p.layer === last).every((p) => headsAlone.test(p.name));
    return { names: new Set(wanted.map((p) => p.name)), layers, stopAtHeads };
  }

  #check({ inputIds, pixelValues }: ModelInput, length: number, cache: KvCache | undefined): void {
    const { text, vision, imageTokens, imageTokenId } = this.config;
    if (!inputIds.length) throw new InputError('the input has no tokens');
    if (inputIds.length !== length)
      throw new InputError(`prompts of ${length} and ${inputIds.length} tokens cannot run as one batch`);
    const end = (cache?.length ?? 0) + length;
    if (cache && end > cache.capacity)
      throw new InputError(`${end} positions do not fit the cache of ${cache.capacity}`);
    if (end > text.maxPositions)
      throw new InputError(`${end} positions exceed this model's max_position_embeddings, ${text.maxPositions}`);
    let placeholders = 0;
    for (let i = 0; i < length; i++) {
      const id = inputIds[i];
      if (!(Number.isInteger(id) && id >= 0 && id < text.vocabSize))
        throw new InputError(`token id ${id} at position ${i} is not in the vocabulary of ${text.vocabSize}`);
      if (id === imageTokenId) placeholders++;
    }
    if (placeholders !== pixelValues.length * imageTokens)
      throw new InputError(
        `${placeholders} image tokens in the prompt for ${pixelValues.length} images of ${imageTokens} tokens each`,
      );
    for (const pixels of pixelValues)
      if (pixels.length !== 3 * vision.imageSize ** 2)
        throw new InputError(
          `pixel values: ${pixels.length} numbers, expected [3, ${vision.imageSize}, ${vision.imageSize}]`,
        );
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

/** The last of `length` rows of each sequence. */
function lastRows(rec: Recorder, x: Tensor, batch: number): Tensor {
  const length = x.shape[0] / batch;
  if (batch === 1) return rows(x, length - 1, length);
  if (length === 1) return x;
  const last = Uint32Array.from({ length: batch }, (_, b) => (b + 1) * length - 1);
  return gatherRows(rec, { x, rows: rec.input('last rows', 'u32', [batch], last), label: 'last rows' });
}
