import { decodeImage } from '#platform';
import type { MadeWith } from '../checkpoint/made-with.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Readback } from '../gpu/readback.ts';
import type { Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { checkKernelsUsed } from '../kernels/custom/kernels.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import type { Folder, ImageSource } from '../platform/types.ts';
import { tokensPerCrop } from './config/vit.ts';
import { InputError } from './errors.ts';
import type { DualEncoderConfig } from './families/dual.ts';
import type { Visual } from './input.ts';
import { type HookPoint, type NamesFilter, selectHooks } from './interventions/hook-points.ts';
import type { Hooks } from './interventions/hooks.ts';
import { checkCrops, stackCrops } from './layers/crops.ts';
import { textTower } from './layers/text-tower.ts';
import { visionTower } from './layers/vision-tower.ts';
import type { EncoderParts } from './load-encoder.ts';
import type { LoadModelOptions } from './load-model.ts';
import { environmentOf } from './numerics.ts';
import { checkOptions } from './options.ts';
import type { DualProcessor } from './processor/dual-processor.ts';
import type { ActivationCache } from './run/activations.ts';
import { type Bound, type BoundOptions, bind, boundId, throwIfAborted, unbound } from './run/bound.ts';
import { indexOfNotFinite, notFinite } from './run/not-finite.ts';
import { Pass } from './run/pass.ts';

/** What the towers run on: either may be empty. */
export interface DualInput {
  /** One crop each, [1, 3, imageSize, imageSize]. */
  readonly images?: readonly Visual[];
  /** Token ids with the tokenizer's own around them; in SigLIP padded to one length. */
  readonly texts?: readonly ArrayLike<number>[];
}

/** What a run of both towers gives. */
export interface DualOutput {
  /** One [embeddingSize] each, as the projections give them: not of unit length. */
  readonly imageEmbeddings: Float32Array[];
  readonly textEmbeddings: Float32Array[];
  /** Those that were asked for, by name. */
  readonly activations: ActivationCache;
}

/** Which activations a run returns. */
export interface DualRunOptions {
  /** Hook points of both towers to return, such as `text.blocks.*.attn.hook_z`. */
  readonly namesFilter?: NamesFilter;
}

/** How a call that embeds is ended. */
export interface EmbedOptions {
  /** One more signal that ends it, beside those that the encoder is bound to. */
  readonly signal?: AbortSignal;
}

/**
 * CLIP or SigLIP on the GPU: images and texts as vectors of one space. It is what the baselines of SAVs need of an encoder
 * (`EmbeddingSource`).
 *
 *     pixels -> image tower -> image head \
 *                                          embeddings -> logits
 *     tokens -> text tower  -> text head  /
 */
export class DualEncoder {
  readonly gpu: Gpu;
  readonly config: DualEncoderConfig;
  /** Images and texts to what the towers run on. */
  readonly processor: DualProcessor;
  /** What its runs are bound to (`with`). */
  readonly bound: Bound;
  /** Ties embeddings to this checkpoint (src/checkpoint/model-id.ts) and to what the encoder is bound to. */
  readonly modelId: string;
  /** What embeddings depend on beside the weights: the processor's files, by name, and this code. */
  readonly madeWith: MadeWith;
  /** What a cosine is multiplied by in the logits, and what is added then (SigLIP; 0 in CLIP). */
  readonly logitScale: number;
  readonly logitBias: number;
  readonly #parts: EncoderParts;

  private constructor(parts: EncoderParts, bound = unbound(parts.hookPoints)) {
    this.#parts = parts;
    this.gpu = parts.gpu;
    this.config = parts.config;
    this.processor = parts.processor;
    this.bound = bound;
    this.modelId = boundId(parts.modelId, bound);
    this.madeWith = parts.madeWith;
    this.logitScale = parts.logitScale;
    this.logitBias = parts.logitBias;
  }

  /**
   * Loads the folder of a CLIP or SigLIP with both towers as it is on the Hugging Face hub.
   * @throws ConfigError for another architecture or an unsupported setting; CheckpointError for bad or missing tensors.
   */
  static async load(folder: Folder, options: LoadModelOptions): Promise<DualEncoder> {
    const { loadEncoder } = await import('./load-encoder.ts');
    return new DualEncoder(await loadEncoder(folder, options));
  }

  /**
   * This encoder bound to edits, custom kernels, a limit of results or a signal, as `Model.with`. Positions of edits are rows,
   * all images' or texts' after one another; of `vision.head`, and in CLIP of `vision.ln_final`, an image is one row.
   */
  with(options: BoundOptions): DualEncoder {
    return new DualEncoder(this.#parts, bind(this.#parts.hookPoints, this.bound, options));
  }

  /** Every hook point of both towers; those that custom kernels add are among them. */
  get hookPoints(): readonly HookPoint[] {
    return this.bound.hookPoints;
  }

  /** What last bits depend on: this adapter's kernels and the decoder of pictures. */
  environment(): Promise<string> {
    return environmentOf(this.gpu);
  }

  /** Numbers of an embedding. */
  get embeddingSize(): number {
    return this.config.embeddingSize;
  }

  /** An image in any form as the image tower takes it: decoded, resized, cropped, normalised. `name` is for errors. */
  async image(source: ImageSource, name?: string): Promise<Visual> {
    const signal = AbortSignal.any([...this.bound.signals]);
    return this.processor.image(await decodeImage(source, name, { signal }));
  }

  /**
   * Embeddings of images in any form (files' bytes, Blobs, paths, URLs, pixels, or what `image` has made of them), in as few
   * runs as this adapter can bind.
   * @returns [embeddingSize] for each (HF `get_image_features`).
   */
  async imageEmbeddings(files: readonly (ImageSource | Visual)[], options: EmbedOptions = {}): Promise<Float32Array[]> {
    const encoder = this.#embedder(options, [], 'imageEmbeddings');
    const { vision } = this.config;
    const widest = Math.max(vision.dMlp, vision.dModel, 3 * vision.patchSize ** 2);
    return encoder.#inRuns(files, tokensPerCrop(vision) * widest, async (batch, first) => {
      const images: Visual[] = [];
      for (const [i, source] of batch.entries())
        images.push(isVisual(source) ? source : await this.image(source, `image ${first + i + 1}`));
      return (await encoder.run({ images })).imageEmbeddings;
    });
  }

  /**
   * Embeds texts (HF `get_text_features`).
   * @returns [embeddingSize] for each, not of unit length.
   * @throws InputError for one too long, without `onCut`.
   */
  async textEmbeddings(
    texts: readonly string[],
    options: EmbedOptions & { onCut?: (tokens: number) => void } = {},
  ): Promise<Float32Array[]> {
    const { onCut } = options;
    const encoder = this.#embedder(options, ['onCut'], 'textEmbeddings');
    const { maxPositions, dMlp, dModel } = this.config.text;
    return encoder.#inRuns(texts, maxPositions * Math.max(dMlp, dModel), async (batch) => {
      const tokenized = batch.map((text) => this.processor.text(text, onCut !== undefined));
      for (const { cut } of tokenized) if (cut) onCut?.(cut);
      return (await encoder.run({ texts: tokenized.map(({ ids }) => ids) })).textEmbeddings;
    });
  }

  /** Scaled cosines, [images][texts] (HF `logits_per_image`): the softmax of a row in CLIP, the sigmoid of each in SigLIP. */
  logits(images: readonly Float32Array[], texts: readonly Float32Array[]): Float32Array[] {
    const [a, b] = [images.map(unit), texts.map(unit)];
    const cosine = (x: Float64Array, y: Float64Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
    return a.map((x) => Float32Array.from(b, (y) => this.logitScale * cosine(x, y) + this.logitBias));
  }

  /** See `run`. */
  async runWithCache(input: DualInput, options: DualRunOptions): Promise<ActivationCache> {
    return (await this.run(input, options)).activations;
  }

  /**
   * All images and texts in one submission.
   * @throws InputError for inputs that do not fit, names or edits of what does not happen, or results above `maxResultBytes`;
   *   KernelError for a custom kernel that does not compile or takes no place in the run; NotFiniteError.
   */
  async run(input: DualInput, options: DualRunOptions = {}): Promise<DualOutput> {
    checkOptions(options, ['namesFilter'], 'run');
    const found = await this.#run(input, options.namesFilter ?? []);
    const bad = [...found.imageEmbeddings, ...found.textEmbeddings].some((row) => indexOfNotFinite(row) >= 0);
    if (bad) throw await this.#notFinite(input);
    return found;
  }

  async #run(input: DualInput, namesFilter: NamesFilter): Promise<DualOutput> {
    const { images = [], texts = [] } = input;
    this.#check(images, texts);
    const pass = new Pass(this, 'embeddings');
    const { rec } = pass;
    const hooks = pass.hooks({ names: this.#wanted(input, namesFilter), length: 1, range: { start: 0, end: 1 } });
    const imageRows = images.length ? rec.read(this.#images(rec, images, hooks)) : undefined;
    const textRows = texts.length ? rec.read(this.#texts(rec, texts, hooks)) : undefined;
    pass.checkResultBytes('run fewer images or texts at once');
    checkKernelsUsed(this.bound.kernels, rec.recorded);
    const activations = await pass.submit();
    const split = (rows: Readback | undefined) => {
      const size = this.embeddingSize;
      const data = rows?.f32 ?? new Float32Array(0);
      return Array.from({ length: data.length / size }, (_, i) => data.slice(i * size, (i + 1) * size));
    };
    return { imageEmbeddings: split(imageRows), textEmbeddings: split(textRows), activations };
  }

  /** Frees the weights: of this encoder, and of all that `with` has made of it. */
  destroy(): void {
    this.#parts.destroy();
  }

  #notFinite(input: DualInput): Promise<Error> {
    const { images = [], texts = [] } = input;
    const points = this.#parts.hookPoints.filter(({ name }) => (name.startsWith('text.') ? texts : images).length > 0);
    const unlimited = this.with({ maxResultBytes: Number.POSITIVE_INFINITY });
    return notFinite(
      'the embeddings',
      points,
      async (namesFilter) => (await unlimited.#run(input, namesFilter)).activations,
    );
  }

  /** This encoder for a call with such options. */
  #embedder({ signal, ...others }: EmbedOptions, known: readonly string[], where: string): DualEncoder {
    checkOptions(others, known, where);
    return signal ? this.with({ signal }) : this;
  }

  /** @param elements that one item has in the widest of its activations: what an adapter must bind for a batch. */
  async #inRuns<T>(
    items: readonly T[],
    elements: number,
    run: (batch: readonly T[], first: number) => Promise<Float32Array[]>,
  ): Promise<Float32Array[]> {
    const size = Math.max(1, Math.floor(this.gpu.capabilities.maxStorageBufferBindingSize / 4 / elements));
    const found: Float32Array[] = [];
    for (let first = 0; first < items.length; first += size) {
      throwIfAborted(this.bound);
      for (const one of await run(items.slice(first, first + size), first)) found.push(one);
    }
    return found;
  }

  #images(rec: Recorder, images: readonly Visual[], hooks: Hooks): Tensor {
    const { vision } = this.config;
    const pixels = rec.input('pixel_values', 'f32', ...stackCrops(images));
    const states = visionTower(rec, this.#parts.weights.vision, vision, pixels, [vision.nLayers], hooks);
    return this.#parts.weights.imageHead(rec, states.get(vision.nLayers)!, images.length, hooks);
  }

  #texts(rec: Recorder, texts: readonly ArrayLike<number>[], hooks: Hooks): Tensor {
    const { family, text } = this.config;
    const x = textTower(rec, this.#parts.weights.text, text, family.arrange(texts, text), family.textMask, hooks);
    return matmul(rec, { x, ...this.#parts.weights.textHead, label: 'text head' });
  }

  /** @throws InputError for names asked for or edited that do not happen. */
  #wanted({ images = [], texts = [] }: DualInput, namesFilter: NamesFilter): Set<string> {
    const happens = ({ name }: HookPoint) => (name.startsWith('text.') ? texts : images).length > 0;
    const selected = selectHooks(this.hookPoints, namesFilter);
    const edited = this.bound.edits.map(({ at }) => selectHooks(this.hookPoints, at));
    const never =
      selected.find((p) => !happens(p) && [namesFilter].flat().includes(p.name)) ??
      edited.find((points) => !points.some(happens))?.[0];
    if (never) throw new InputError(`${never.name} does not happen: there are no ${/^\w+/.exec(never.name)} inputs`);
    return new Set(selected.filter(happens).map((p) => p.name));
  }

  #check(images: readonly Visual[], texts: readonly ArrayLike<number>[]): void {
    const { text, vision } = this.config;
    for (const image of images) {
      checkCrops(image, vision.imageSize);
      if (image.shape[0] !== 1)
        throw new InputError(`an image of ${image.shape[0]} crops: a dual encoder sees one crop of each`);
    }
    for (const ids of texts) {
      if (!(ids.length >= 1 && ids.length <= text.maxPositions))
        throw new InputError(`a text of ${ids.length} tokens: from 1 to ${text.maxPositions} fit this text tower`);
      const bad = Array.from(ids).find((id) => !(Number.isInteger(id) && id >= 0 && id < text.vocabSize));
      if (bad !== undefined)
        throw new InputError(`token id ${bad} is not in the text tower's vocabulary of ${text.vocabSize}`);
    }
  }
}

const isVisual = (image: ImageSource | Visual): image is Visual =>
  Object(image) === image && 'kind' in (image as object);

function unit(vector: Float32Array): Float64Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return Float64Array.from(vector, (value) => value / norm);
}
