import { decodeImage } from '#platform';
import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { loadTensors } from '../checkpoint/load.ts';
import { type MadeWith, RecordingFolder } from '../checkpoint/made-with.ts';
import { modelId } from '../checkpoint/model-id.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Readback, Recorder } from '../gpu/recorder.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { checkKernelsUsed } from '../kernels/custom/kernels.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import type { Folder, ImageSource } from '../platform/types.ts';
import { requireJson } from './config/json.ts';
import { tokensPerCrop } from './config/vit.ts';
import { InputError } from './errors.ts';
import { type DualEncoderConfig, dualHookPoints, type ImageHead } from './families/dual.ts';
import { parseDualConfig } from './families/index.ts';
import type { Visual } from './input.ts';
import { type Edit, EditPlan } from './interventions/edits.ts';
import { withExtras } from './interventions/extra-hooks.ts';
import { type HookPoint, type NamesFilter, selectHooks } from './interventions/hook-points.ts';
import { Hooks } from './interventions/hooks.ts';
import { checkCrops, stackCrops } from './layers/crops.ts';
import { type TextTowerWeights, textTower, textTowerWeights } from './layers/text-tower.ts';
import { type ViTWeights, visionTower, vitWeights } from './layers/vision-tower.ts';
import type { Linear, WeightSource } from './layers/weights.ts';
import { type LoadModelOptions, specsOf } from './load-model.ts';
import { environmentOf, numericsVersion } from './numerics.ts';
import { DualProcessor } from './processor/dual-processor.ts';
import { indexOfNotFinite, notFinite } from './run/not-finite.ts';
import { type ActivationCache, activations, checkResultBytes, type RunOptions } from './run/run.ts';

/** What the towers run on: either may be empty. */
export interface DualInput {
  /** One crop each, [1, 3, imageSize, imageSize]. */
  readonly images?: readonly Visual[];
  /** Token ids with the tokenizer's own around them; in SigLIP padded to one length. */
  readonly texts?: readonly ArrayLike<number>[];
}

export interface DualOutput {
  /** One [embeddingSize] each, as the projections give them: not of unit length. */
  readonly imageEmbeddings: Float32Array[];
  readonly textEmbeddings: Float32Array[];
  readonly activations: ActivationCache;
}

export interface DualRunOptions extends Pick<RunOptions, 'kernels'> {
  /** Hook points of both towers to return, such as `text.blocks.*.attn.hook_z`. */
  readonly namesFilter?: NamesFilter;
  /**
   * Changes made on the way, in this order (edits.ts). Positions are rows, all images' or texts' after one another; of
   * `vision.head`, and in CLIP of `vision.ln_final`, an image is one row.
   */
  readonly edits?: readonly Edit[];
  /** Refuse a run whose results take more bytes than this; 1 GiB by default. */
  readonly maxResultBytes?: number;
}

export interface EmbedOptions extends Pick<RunOptions, 'kernels'> {
  readonly signal?: AbortSignal;
}

interface DualWeights {
  readonly vision: ViTWeights;
  readonly imageHead: ImageHead;
  readonly text: TextTowerWeights;
  readonly textHead: Linear;
  readonly logitScale: Tensor;
  readonly logitBias?: Tensor;
}

const dualWeights = (config: DualEncoderConfig, source: WeightSource): DualWeights => ({
  vision: vitWeights(config.vision, source),
  imageHead: config.family.imageHead(config, source),
  text: textTowerWeights(config.text, source),
  textHead: config.family.textHead(config, source),
  logitScale: source.vector('logit_scale', config.family.scaleShape),
  logitBias: config.family.hasLogitBias ? source.vector('logit_bias', [1]) : undefined,
});

/**
 * CLIP or SigLIP on the GPU: images and texts as vectors of one space. It is what the baselines of SAVs need of an encoder
 * (`EmbeddingSource`).
 *
 *     pixels -> image tower -> image head \
 *                                          embeddings -> logits
 *     tokens -> text tower  -> text head  /
 */
export class DualEncoder {
  readonly config: DualEncoderConfig;
  readonly processor: DualProcessor;
  readonly hookPoints: readonly HookPoint[];
  /** Ties embeddings to this checkpoint (src/checkpoint/model-id.ts). */
  readonly modelId: string;
  /** What embeddings depend on beside the weights: the processor's files, by name, and this code. */
  readonly madeWith: MadeWith;
  /** What a cosine is multiplied by in the logits, and what is added then (SigLIP; 0 in CLIP). */
  readonly logitScale: number;
  readonly logitBias: number;
  readonly #gpu: Gpu;
  readonly #weights: DualWeights;
  readonly #destroy: () => void;

  private constructor(
    gpu: Gpu,
    config: DualEncoderConfig,
    processor: DualProcessor,
    weights: DualWeights,
    rest: { modelId: string; madeWith: MadeWith; logitScale: number; logitBias: number; destroy: () => void },
  ) {
    this.#gpu = gpu;
    this.config = config;
    this.processor = processor;
    this.#weights = weights;
    this.hookPoints = dualHookPoints(config);
    this.modelId = rest.modelId;
    this.madeWith = rest.madeWith;
    this.logitScale = rest.logitScale;
    this.logitBias = rest.logitBias;
    this.#destroy = rest.destroy;
  }

  /**
   * Loads the folder of a CLIP or SigLIP with both towers as it is on the Hugging Face hub.
   * @throws ConfigError for another architecture or an unsupported setting; CheckpointError for bad or missing tensors.
   */
  static async load(folder: Folder, { gpu, onProgress, signal }: LoadModelOptions): Promise<DualEncoder> {
    const json = await requireJson(folder, 'config.json');
    const config = parseDualConfig(json, `${folder.location}/config.json`);
    const recording = new RecordingFolder(folder);
    const processor = await DualProcessor.load(recording, config);
    const checkpoint = await openCheckpoint(folder);
    const specs = specsOf((source) => dualWeights(config, source));
    const loaded = await loadTensors(gpu, checkpoint, specs, {
      visionLayers: config.vision.nLayers,
      onProgress: (progress) => onProgress?.(progress.loaded, progress.total),
      signal,
    });
    try {
      const weights = dualWeights(config, loaded);
      const rec = gpu.record('logit scale');
      const scale = rec.read(weights.logitScale);
      const bias = weights.logitBias && rec.read(weights.logitBias);
      await rec.submit();
      return new DualEncoder(gpu, config, processor, weights, {
        modelId: await modelId(json, checkpoint, gpu.kernels),
        madeWith: { numerics: numericsVersion, files: recording.files },
        logitScale: Math.exp(scale.f32[0]),
        logitBias: bias ? bias.f32[0] : 0,
        destroy: () => loaded.destroy(),
      });
    } catch (e) {
      loaded.destroy();
      throw e;
    }
  }

  /** What last bits depend on: this adapter's kernels and the decoder of pictures. */
  environment(): Promise<string> {
    return environmentOf(this.#gpu);
  }

  /** Numbers of an embedding. */
  get embeddingSize(): number {
    return this.config.embeddingSize;
  }

  /**
   * Embeddings of images in any form (files' bytes, Blobs, paths, URLs, pixels), in as few runs as this adapter can bind.
   * @returns [embeddingSize] for each (HF `get_image_features`).
   */
  async imageEmbeddings(
    files: readonly ImageSource[],
    { signal, kernels }: EmbedOptions = {},
  ): Promise<Float32Array[]> {
    const { vision } = this.config;
    const widest = Math.max(vision.dMlp, vision.dModel, 3 * vision.patchSize ** 2);
    return this.#inRuns(files, tokensPerCrop(vision) * widest, signal, async (batch, first) => {
      const images: Visual[] = [];
      for (const [i, source] of batch.entries())
        images.push(this.processor.image(await decodeImage(source, `image ${first + i + 1}`)));
      return (await this.run({ images }, { kernels })).imageEmbeddings;
    });
  }

  /** @returns [embeddingSize] for each text (HF `get_text_features`). @throws InputError for one too long, without `onCut`. */
  async textEmbeddings(
    texts: readonly string[],
    { signal, kernels, onCut }: EmbedOptions & { onCut?: (tokens: number) => void } = {},
  ): Promise<Float32Array[]> {
    const { maxPositions, dMlp, dModel } = this.config.text;
    return this.#inRuns(texts, maxPositions * Math.max(dMlp, dModel), signal, async (batch) => {
      const tokenized = batch.map((text) => this.processor.text(text, onCut !== undefined));
      for (const { cut } of tokenized) if (cut) onCut?.(cut);
      return (await this.run({ texts: tokenized.map(({ ids }) => ids) }, { kernels })).textEmbeddings;
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
   * @throws InputError for inputs that do not fit, names of what does not happen, edits that mean nothing, or results above
   * `maxResultBytes`; KernelError for a kernel of the options that does not compile or takes no place in the run.
   */
  async run(input: DualInput, options: DualRunOptions = {}): Promise<DualOutput> {
    return this.#run(input, options, false);
  }

  /** @param locating what is not finite is looked for, and no error */
  async #run(
    input: DualInput,
    { namesFilter = [], edits = [], maxResultBytes, kernels }: DualRunOptions,
    locating: boolean,
  ): Promise<DualOutput> {
    const { images = [], texts = [] } = input;
    this.#check(images, texts);
    const plan = new EditPlan(this.hookPoints, edits);
    const rec = this.#gpu.record('embeddings', { kernels });
    const names = this.#wanted(input, { namesFilter, edits, kernels });
    const hooks = new Hooks(rec, { names, length: 1, range: { start: 0, end: 1 }, edits: plan });
    const imageRows = images.length ? rec.read(this.#images(rec, images, hooks)) : undefined;
    const textRows = texts.length ? rec.read(this.#texts(rec, texts, hooks)) : undefined;
    checkResultBytes(rec, { maxResultBytes }, 'run fewer images or texts at once');
    checkKernelsUsed(kernels, rec.recorded);
    await rec.submit();
    for (const rows of [imageRows, textRows])
      if (rows && indexOfNotFinite(rows.f32) >= 0 && !locating) throw await this.#notFinite(input, { edits, kernels });
    const split = (rows: Readback | undefined) => {
      const size = this.embeddingSize;
      const data = rows?.f32 ?? new Float32Array(0);
      return Array.from({ length: data.length / size }, (_, i) => data.slice(i * size, (i + 1) * size));
    };
    return {
      imageEmbeddings: split(imageRows),
      textEmbeddings: split(textRows),
      activations: activations(hooks),
    };
  }

  /** Frees the weights. */
  destroy(): void {
    this.#destroy();
  }

  #notFinite(input: DualInput, { edits, kernels }: DualRunOptions): Promise<Error> {
    const { images = [], texts = [] } = input;
    const points = this.hookPoints.filter(({ name }) => (name.startsWith('text.') ? texts : images).length > 0);
    return notFinite('the embeddings', points, async (namesFilter) => {
      const found = await this.#run(input, { namesFilter, edits, kernels, maxResultBytes: Infinity }, true);
      return found.activations;
    });
  }

  /** @param numbers that one item has in the widest of its activations: what an adapter must bind for a batch. */
  async #inRuns<T>(
    items: readonly T[],
    numbers: number,
    signal: AbortSignal | undefined,
    run: (batch: readonly T[], first: number) => Promise<Float32Array[]>,
  ): Promise<Float32Array[]> {
    const size = Math.max(1, Math.floor(this.#gpu.capabilities.maxStorageBufferBindingSize / 4 / numbers));
    const found: Float32Array[] = [];
    for (let first = 0; first < items.length; first += size) {
      signal?.throwIfAborted();
      for (const one of await run(items.slice(first, first + size), first)) found.push(one);
    }
    return found;
  }

  #images(rec: Recorder, images: readonly Visual[], hooks: Hooks): Tensor {
    const { vision } = this.config;
    const pixels = rec.input('pixel_values', 'f32', ...stackCrops(images));
    const states = visionTower(rec, this.#weights.vision, vision, pixels, [vision.nLayers], hooks);
    return this.#weights.imageHead(rec, states.get(vision.nLayers)!, images.length, hooks);
  }

  #texts(rec: Recorder, texts: readonly ArrayLike<number>[], hooks: Hooks): Tensor {
    const { family, text } = this.config;
    const x = textTower(rec, this.#weights.text, text, family.arrange(texts, text), family.textMask, hooks);
    return matmul(rec, { x, ...this.#weights.textHead, label: 'text head' });
  }

  /** @throws InputError for names asked for or edited that do not happen. */
  #wanted(
    input: DualInput,
    { namesFilter = [], edits = [], kernels = this.#gpu.kernels }: DualRunOptions,
  ): Set<string> {
    const { images = [], texts = [] } = input;
    const happens = ({ name }: HookPoint) => (name.startsWith('text.') ? texts : images).length > 0;
    const selected = selectHooks(withExtras(this.hookPoints, kernels), namesFilter);
    const edited = edits.map(({ at }) => selectHooks(this.hookPoints, at));
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

function unit(vector: Float32Array): Float64Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return Float64Array.from(vector, (value) => value / norm);
}
