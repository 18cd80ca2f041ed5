import { decodeImage, decodeVideo, imageSize, openSource } from '#platform';
import { greatest } from '../base/extremes.ts';
import type { MadeWith } from '../checkpoint/made-with.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { FolderSource, ImageSource, PixelSize, RgbImage, Video, VideoSource } from '../platform/types.ts';
import { InputError } from './errors.ts';
import type { GenerateOptions, PromptRun } from './generation/generate.ts';
import type { GenerationConfig } from './generation/generation-config.ts';
import type { GenerationSettings } from './generation/generation-settings.ts';
import { checkIsInput, type InputShape, imagesFirst, type ModelInput, type Visual } from './input.ts';
import type { CheckpointParts } from './load-checkpoint.ts';
import type { LoadModelOptions } from './load-model.ts';
import { Model } from './model.ts';
import { environmentOf } from './numerics.ts';
import { checkOptions } from './options.ts';
import { contentParts } from './processor/content-parts.ts';
import type { PrepareOptions, Processor } from './processor/processor.ts';
import { Activation } from './run/activations.ts';
import { type Bound, boundId, throwIfAborted } from './run/bound.ts';
import { splitHeadVectors } from './run/run.ts';
import type { WarmUpOptions } from './run/warm-up.ts';

/** What a prompt is made of before the processor has seen it. */
export interface Prompt {
  /** Images in any form (files' bytes, Blobs, paths, URLs, pixels), in the order of the prompt. */
  readonly images?: readonly ImageSource[];
  /** Where it stands, for errors: `train.jsonl:12`. */
  readonly source?: string;
  /** File names of the images, for errors. */
  readonly imageNames?: readonly string[];
  /** Of models that take videos. */
  readonly videos?: readonly VideoSource[];
  /**
   * The text. `<image>` and `<video>` in it say where the pictures belong; without such marks they come first. The
   * checkpoint's chat template wraps it.
   */
  readonly prompt: string;
  /** The prompt is the whole text, template and all, with the checkpoint's own placeholders in it. */
  readonly raw?: boolean;
}

/** A model's own view of an example, without having been shown any other. */
export interface Answer {
  /** What it says. */
  readonly text: string;
  /** Mean log probability of each label's tokens as the answer, in the order of the labels. */
  readonly labelScores: readonly number[];
  /** [nLayers, nHeads, dHead] */
  readonly headVectors: Float32Array;
}

/** How deep the model runs, and how a call is ended. */
export interface HeadVectorOptions {
  /** The last layer to run; all by default. */
  readonly maxLayer?: number;
  /** One more signal that ends it, beside those that the model is bound to. */
  readonly signal?: AbortSignal;
}

/** Settings in the place of those that the checkpoint's generation_config.json has, by transformers' names; null takes one out. */
interface GenerationChanges {
  readonly generationConfig?: Readonly<Record<string, unknown>>;
}

/** What the model is asked for beside its head vectors. */
export interface AnswerOptions extends GenerationChanges {
  /** Tokens of the answer at most. */
  readonly maxNewTokens: number;
  /** Texts whose likelihood as the answer is measured. */
  readonly labels: readonly string[];
  /** Run once what the examples begin with, such as a picture that all of them show (ADR 19). Equal up to rounding. Default: false. */
  readonly sharePrefix?: boolean;
}

/** How much text is generated, and how its tokens are chosen. */
export interface TextOptions
  extends Omit<GenerateOptions, 'endTokens' | 'maxNewTokens' | 'settings'>,
    GenerationChanges {
  /**
   * At most this many. By default generation_config.json's `max_new_tokens`, or else 256 and no more than its `max_length`
   * allows; either is cut to the positions that the model has left.
   */
  readonly maxNewTokens?: number;
  /** Receives each token id as it is chosen. */
  readonly onToken?: (id: number) => void;
}

const defaultNewTokens = 256;

/** Answers that go on from one prefix together: a label's logits come for each of its tokens, as wide as the vocabulary. */
const mostAnswers = 16;

const textOptions = [
  ...['maxNewTokens', 'temperature', 'topP', 'topK', 'seed', 'generationConfig', 'onToken'],
  ...['namesFilter', 'onActivations', 'posSlice'],
];

const promptFields = ['prompt', 'images', 'videos', 'source', 'imageNames', 'raw'];

const kindOf = (value: unknown): string =>
  value === null || Object(value) !== value
    ? typeof value
    : (Object.getPrototypeOf(value)?.constructor?.name ?? 'object');

/** What types say, for callers without any: an `image` in the place of `images` would not be seen. @throws InputError */
function checkPrompt(prompt: Prompt): void {
  if (Object(prompt) !== prompt)
    throw new InputError(`a prompt is an object, { prompt, images }, not ${kindOf(prompt)}`);
  checkOptions(prompt, promptFields, 'prompt');
  if (typeof prompt.prompt !== 'string') throw new InputError(`prompt: expected text, got ${kindOf(prompt.prompt)}`);
  for (const name of ['images', 'videos'] as const)
    if (prompt[name] !== undefined && !Array.isArray(prompt[name]))
      throw new InputError(`${name}: expected a list, [${name.slice(0, -1)}], got ${kindOf(prompt[name])}`);
}

/**
 * A checkpoint ready to use: image files and text in; text, activations or head vectors out.
 * It is what SAVs need of a model (`HeadVectorSource`).
 */
export class VisionLanguageModel extends Model {
  /** Prompts and pictures to what the model runs on. */
  readonly processor: Processor;
  /** The formats of the weights, where they are not as they are stored, and f16 arithmetic (`HeadVectorSource`). */
  readonly precision: string | undefined;
  /** What head vectors depend on beside the weights: the processor's files, by name, and this code. */
  readonly madeWith: MadeWith;
  /** How the checkpoint wants its texts to be generated. */
  readonly generationConfig: GenerationConfig;
  readonly #checkpointId: string;
  #modelId: string | undefined;
  readonly #destroy: () => void;

  protected constructor(parts: CheckpointParts, bound?: Bound) {
    super(parts, bound);
    this.processor = parts.processor;
    this.#checkpointId = parts.modelId;
    this.precision = parts.precision;
    this.madeWith = parts.madeWith;
    this.generationConfig = parts.generationConfig;
    this.#destroy = parts.destroy;
  }

  /**
   * Loads a checkpoint folder as it is on the Hugging Face hub.
   * @param source its path or URL, `tiny-llava` for the one that comes with the package, its File objects, or a folder.
   * @param options.gpu opened where none is given, and then freed by `destroy`.
   * @throws FileError where there is no such folder; ConfigError for an architecture or setting that is not supported; CheckpointError for bad or missing tensors.
   */
  static async load(
    source: FolderSource,
    options: Omit<LoadModelOptions, 'gpu'> & { readonly gpu?: Gpu } = {},
  ): Promise<VisionLanguageModel> {
    checkOptions(options, ['gpu', 'weights', 'kvCache', 'onProgress', 'onWarning', 'signal'], 'load');
    // With tokenizers and templates it is a third of the code, which a page needs no sooner.
    const { loadCheckpoint } = await import('./load-checkpoint.ts');
    return new VisionLanguageModel(await loadCheckpoint(await openSource(source), options));
  }

  /** Ties features and classifiers to this checkpoint (src/checkpoint/model-id.ts) and to what the model is bound to. */
  get modelId(): string {
    this.#modelId ??= boundId(this.#checkpointId, this.bound);
    return this.#modelId;
  }

  /** What last bits depend on: this adapter's kernels and the decoder of pictures (`HeadVectorSource`). */
  environment(): Promise<string> {
    return environmentOf(this.gpu);
  }

  /** Ids that end a text. */
  get endTokens(): ReadonlySet<number> {
    return this.generationConfig.endTokens;
  }

  /** Decoder blocks. */
  get nLayers(): number {
    return this.config.text.nLayers;
  }

  /** Query heads of a decoder block. */
  get nHeads(): number {
    return this.config.text.nHeads;
  }

  /** Width of one head’s output. */
  get dHead(): number {
    return this.config.text.dHead;
  }

  /**
   * Decodes the pictures, wraps and tokenises the prompt. Throws where pictures and their marks do not match.
   * @param shown what `input` gave of a prompt with the same images and videos: its pixel values are taken, and nothing is decoded.
   */
  async input(prompt: Prompt, shown?: ModelInput): Promise<ModelInput> {
    checkPrompt(prompt);
    return named(prompt, this.bound, async () => {
      const { images = [], videos = [] } = prompt;
      if (shown) {
        const of = (kind: Visual['kind']) => shown.visuals.filter((visual) => visual.kind === kind);
        return this.processor.prepare({ ...this.#text(prompt), images: of('image'), videos: of('video') });
      }
      // One after the other: decoded, a picture may take 192 MiB, of which little is left when the processor has seen it.
      const pictures: { images: Visual[]; videos: Video[] } = { images: [], videos: [] };
      for (const [i, source] of images.entries()) {
        const image = await decodeImage(source, nameOfImage(prompt, i), this.#reading);
        pictures.images.push(this.processor.show(image, images.length));
      }
      for (const [i, video] of videos.entries()) pictures.videos.push(await this.#decodeVideo(video, `video ${i + 1}`));
      return this.processor.prepare({ ...this.#text(prompt), ...pictures });
    });
  }

  /**
   * What `input` gives, without the pixels: of the pictures, headers are read, and nothing is decoded. So the tokens that a
   * prompt takes are known before.
   * @returns undefined for a prompt with videos, whose frames are not known before.
   */
  async inputShape(prompt: Prompt): Promise<InputShape | undefined> {
    checkPrompt(prompt);
    if (prompt.videos?.length) return undefined;
    return named(prompt, this.bound, async () => {
      const images: PixelSize[] = [];
      for (const [i, source] of (prompt.images ?? []).entries())
        images.push(await imageSize(source, nameOfImage(prompt, i), this.#reading));
      return this.processor.shape({ ...this.#text(prompt), images });
    });
  }

  /** How pictures are read: a request of one ends with the signals that the model is bound to. */
  get #reading() {
    return { signal: AbortSignal.any([...this.bound.signals]) };
  }

  /** A raw prompt is tokenised as HF's `processor(text=…)` does it, which always adds the tokenizer's own tokens. */
  #text({ prompt, raw, images = [], videos = [] }: Prompt): Pick<PrepareOptions, 'prompt' | 'addSpecialTokens'> {
    if (raw) return { prompt, addSpecialTokens: true };
    return { prompt: this.processor.chat(contentParts(prompt, images.length, videos.length)) };
  }

  async #decodeVideo(video: VideoSource, numbered: string): Promise<Video> {
    if (Object(video) !== video || !('file' in video || Array.isArray(video.frames)))
      throw new InputError(`${numbered}: give { file } or { frames: [images] }, not ${kindOf(video)}`);
    const name = video.name ?? numbered;
    if ('file' in video) {
      const label = typeof video.file === 'string' ? video.file : name;
      return decodeVideo(video.file, { label, sample: (info) => this.processor.sampleFrames(info) });
    }
    const { frames, fps } = video;
    const decoded: RgbImage[] = [];
    let size = 0;
    for (const [i, source] of frames.entries()) {
      const frame = await decodeImage(source, `${name}, frame ${i + 1}`, this.#reading);
      size += frame.data.length;
      if (size > maxFrameBytes)
        throw new InputError(
          `${name}: ${frames.length} frames take more than ${maxFrameBytes} bytes; give fewer or smaller ones`,
        );
      decoded.push(frame);
    }
    return { frames: decoded, fps };
  }

  /**
   * What the tower is shown, as `capture` writes it: the crops or patches of all images, then of all videos, one after the
   * other, as in hooks of the tower.
   * @throws InputError for a prompt without any.
   */
  pixelValues({ visuals }: ModelInput): Activation {
    if (!visuals.length) throw new InputError('pixel_values does not happen: the prompt has no images');
    const data = new Float32Array(visuals.reduce((sum, { pixels }) => sum + pixels.length, 0));
    let at = 0;
    for (const { pixels } of imagesFirst(visuals)) {
      data.set(pixels, at);
      at += pixels.length;
    }
    const count = visuals.reduce((sum, { shape }) => sum + shape[0], 0);
    return new Activation(data, [count, ...visuals[0].shape.slice(1)]);
  }

  /**
   * Streams the answer's text, piece by piece, as transformers' `generate` would with this checkpoint's generation_config.json:
   * greedy, or sampled where that says `do_sample`; options of the same meaning go before it.
   * @throws ConfigError for settings that are not known, or not supported where they would change the text; InputError when
   * prompt and new tokens exceed the model's positions.
   */
  async *generate(input: ModelInput, options: TextOptions = {}): AsyncGenerator<string> {
    checkIsInput(input);
    checkOptions(options, textOptions, 'generate');
    const { generationConfig: changes, maxNewTokens, onToken, ...rest } = options;
    const { endTokens, settings, file } = this.#generation(changes);
    const decoder = this.processor.tokenizer.streamDecoder();
    const { generate } = await import('./generation/generate.ts');
    const ids = generate(this, input, {
      ...rest,
      maxNewTokens: maxNewTokens ?? this.#newTokens(input, settings, file),
      endTokens,
      settings,
    });
    for await (const id of ids) {
      onToken?.(id);
      const piece = decoder.push(id);
      if (piece) yield piece;
    }
    const last = decoder.end();
    if (last) yield last;
  }

  #generation(changes?: Readonly<Record<string, unknown>>) {
    const config = changes ? this.generationConfig.with(changes) : this.generationConfig;
    return { endTokens: config.endTokens, settings: config.settings(), file: config.file };
  }

  /** How many tokens are generated where nobody says it. */
  #newTokens({ inputIds }: ModelInput, { max_new_tokens, max_length }: GenerationSettings, file: string): number {
    if (max_new_tokens === undefined && max_length !== undefined && max_length <= inputIds.length)
      throw new InputError(
        `${file}: max_length ${max_length}, and the prompt alone has ${inputIds.length} tokens: give maxNewTokens (--max-new-tokens)`,
      );
    const left = Math.max(1, this.config.text.maxPositions - inputIds.length + 1);
    const wanted =
      max_new_tokens ?? Math.min(defaultNewTokens, (max_length ?? Number.POSITIVE_INFINITY) - inputIds.length);
    return Math.min(wanted, left);
  }

  /**
   * Compiles the kernels of `headVectors` and runs nothing, so that the first question does not wait for them. Which kernels run
   * depends on how long prompts are, and how large pictures.
   * @param prompt one like those that will come. Default: a grey picture, where the model takes any, and a word.
   * @throws the signal's reason; KernelError for a custom kernel that does not compile.
   */
  async warmUp(prompt: Prompt | ModelInput = this.#anyPrompt, options: WarmUpOptions = {}): Promise<void> {
    checkOptions(options, ['signal', 'onProgress'], 'warmUp');
    const [input] = await this.#inputs([prompt]);
    const names = Array.from({ length: this.nLayers }, (_, layer) => `blocks.${layer}.attn.hook_z`);
    const { recorded } = this.recorded([input], { namesFilter: names, posSlice: -1 });
    const { compileKernels } = await import('./run/warm-up.ts');
    await compileKernels(this.gpu, recorded, options);
  }

  get #anyPrompt(): Prompt {
    const side = 448;
    const grey = { width: side, height: side, data: new Uint8Array(3 * side ** 2).fill(128) };
    return { prompt: 'x', images: this.config.vision && [grey] };
  }

  /** `hook_z` at the last prompt token, [layers, nHeads, dHead] (`HeadVectorSource`). */
  async headVectors(example: Prompt | ModelInput, options: HeadVectorOptions = {}): Promise<Float32Array> {
    return (await this.headVectorsOf([example], options))[0];
  }

  /**
   * The same for several examples; those whose prompts have the same number of tokens run together.
   * @param examples or what `input` has made of them.
   */
  async headVectorsOf(
    examples: readonly (Prompt | ModelInput)[],
    { signal, ...options }: HeadVectorOptions = {},
  ): Promise<Float32Array[]> {
    checkOptions(options, ['maxLayer'], 'headVectors');
    const model = signal ? this.with({ signal }) : this;
    return this.#byLength(examples, (inputs) => model.headVectorsAtEnd(inputs, options.maxLayer));
  }

  /**
   * The same, up to rounding, for examples that begin alike, such as many questions about one picture: the tokens and pictures
   * that all of them begin with run once (ADR 19). Of examples that begin otherwise nothing is shared.
   * @param examples or what `input` has made of them.
   * @throws InputError for a model that is bound to edits or custom kernels.
   */
  async headVectorsSharingPrefix(
    examples: readonly (Prompt | ModelInput)[],
    { signal, ...options }: HeadVectorOptions = {},
  ): Promise<Float32Array[]> {
    checkOptions(options, ['maxLayer'], 'headVectorsSharingPrefix');
    const model = signal ? this.with({ signal }) : this;
    return model.headVectorsAfterPrefix(await this.#inputs(examples), options.maxLayer);
  }

  /**
   * What the model itself makes of examples, from one pass over each prompt: the greedy answer, how likely it finds each
   * of some labels as an answer, and the head vectors. The answer is greedy also where generation_config.json samples, so
   * that it is the same each time; what else that asks for holds. Likelihoods are the model's own, whatever it asks for.
   * @param examples or what `input` has made of them.
   * @throws ConfigError as `generate`; InputError with `sharePrefix` for a model that is bound to edits or custom kernels.
   */
  async answers(
    examples: readonly (Prompt | ModelInput)[],
    { maxNewTokens, labels, generationConfig, sharePrefix, ...others }: AnswerOptions,
  ): Promise<Answer[]> {
    checkOptions(others, [], 'answers');
    const { tokenizer } = this.processor;
    const { endTokens, settings } = this.#generation(generationConfig);
    const continuations = labels.map((label) => tokenizer.encode(label, { addSpecialTokens: false }));
    const room =
      greatest(
        continuations.map((ids) => ids.length),
        maxNewTokens,
      ) - 1;
    const options = { room, logits: true, namesFilter: 'blocks.*.attn.hook_z', posSlice: -1 };
    const { PromptRun } = await import('./generation/generate.ts');
    const answersOf = async (run: PromptRun): Promise<Answer[]> => {
      try {
        const scores: number[][] = Array.from({ length: run.batch }, () => []); // [example][label]
        for (const ids of continuations) {
          for (const [b, each] of (await run.logProbabilities(ids)).entries())
            scores[b].push(each.reduce((sum, x) => sum + x, 0) / each.length);
        }
        const texts: number[][] = scores.map(() => []);
        for await (const ids of run.generate({ maxNewTokens, endTokens, settings, temperature: 0 }))
          for (const [b, id] of ids.entries()) if (id !== undefined) texts[b].push(id);
        const headVectors = splitHeadVectors(run.activations, run.batch);
        return scores.map((labelScores, b) => ({
          text: tokenizer.decode(texts[b]).trim(),
          labelScores,
          headVectors: headVectors[b],
        }));
      } finally {
        run.destroy();
      }
    };
    if (!sharePrefix)
      return this.#byLength(examples, async (inputs) => answersOf(await PromptRun.start(this, inputs, options)));
    const { sharingPrefix } = await import('./run/shared-prefix.ts');
    const how = { layers: this.nLayers, room, most: mostAnswers };
    return sharingPrefix(this, await this.#inputs(examples), how, async (suffixes, inputs) =>
      answersOf(await PromptRun.afterPrefix(this, inputs, suffixes, options)),
    );
  }

  async #inputs(examples: readonly (Prompt | ModelInput)[]): Promise<ModelInput[]> {
    const inputs: ModelInput[] = [];
    for (const example of examples) inputs.push(isInput(example) ? example : await this.input(example));
    return inputs;
  }

  /**
   * Runs examples whose prompts have the same number of tokens together, as many as the adapter can bind, and returns the
   * results in order.
   */
  async #byLength<T>(
    examples: readonly (Prompt | ModelInput)[],
    run: (inputs: readonly ModelInput[]) => Promise<readonly T[]>,
  ): Promise<T[]> {
    const results: T[] = [];
    let groups = new Map<number, { i: number; input: ModelInput }[]>();
    let waiting = 0;
    for (const [i, example] of examples.entries()) {
      const input = isInput(example) ? example : await this.input(example);
      const { length } = input.inputIds;
      groups.set(length, [...(groups.get(length) ?? []), { i, input }]);
      waiting += input.visuals.reduce((sum, { pixels }) => sum + pixels.byteLength, 0);
      if (waiting < maxWaitingBytes && i < examples.length - 1) continue;
      for (const group of groups.values()) {
        const found: T[] = [];
        for (const batch of this.batches(group.map((each) => each.input)))
          for (const one of await run(batch)) found.push(one);
        for (const [j, each] of group.entries()) results[each.i] = found[j];
      }
      groups = new Map();
      waiting = 0;
    }
    return results;
  }

  /** Frees the weights: of this model, and of all that `with` has made of it. */
  destroy(): void {
    this.#destroy();
  }
}

/** Decoded frames of one video, as of a file (`DecodeVideoOptions.maxBytes`). */
const maxFrameBytes = 2 ** 30;

const isInput = (example: Prompt | ModelInput): example is ModelInput =>
  Object(example) === example && 'inputIds' in example;

/** What a picture is called in errors: undefined where it has a name of its own. */
function nameOfImage({ images = [], imageNames }: Prompt, i: number): string | undefined {
  const source = images[i];
  const hasName = typeof source === 'string' || source instanceof URL || source instanceof File;
  return imageNames?.[i] ?? (hasName ? undefined : `image ${i + 1}`);
}

/** An error says where the prompt stands. */
async function named<T>({ source }: Prompt, bound: Bound, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (e) {
    throwIfAborted(bound);
    if (source === undefined) throw e;
    throw new InputError(`${source}: ${(e as Error).message}`, { cause: e });
  }
}

/** Pixel values that wait for their run at most: examples beyond them are decoded when these have run. */
const maxWaitingBytes = 2 ** 29;
