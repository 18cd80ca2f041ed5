// From examples to head vectors: one forward pass per example, and none for an example that the cache knows.
// This is the only file of src/sav that meets the model, and it meets it through HeadVectorSource alone.

import { fileSha256 } from '#platform';
import type { MadeWith } from '../checkpoint/made-with.ts';
import { sha256Hex } from '../checkpoint/sha256.ts';
import { InputError, NotFiniteError } from '../model/errors.ts';
import type { InputShape } from '../model/input.ts';
import type { VideoSource } from '../platform/types.ts';
import { decodeEntry, encodeEntry, type StoreOptions, throughStore } from './feature-cache.ts';
import { batchesOf, type InputSize, PrefixGroups, runBatches } from './feed.ts';

/** What SAVs need of a model: `hook_z` at the last prompt token, for one example. */
export interface HeadVectorSource {
  /** Hash of the config and the weights index: ties features and classifiers to the model that made them. */
  readonly modelId: string;
  /** Whatever else changes the numbers, such as how weights are stored (`q4`) and f16 arithmetic. Part of the cache key. */
  readonly precision?: string;
  /** The processor's files and the code that prepare and compute. Part of the cache key, and kept by classifiers. */
  readonly madeWith?: MadeWith;
  /** What only last bits depend on: adapter and decoder. Part of the cache key, not of classifiers, which may travel. */
  environment?(): Promise<string>;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dHead: number;
  /**
   * Head vectors [maxLayer + 1 (default nLayers), nHeads, dHead] of `images` (encoded files, in prompt order) and `videos`
   * followed by `prompt`, or where it marks them by `<image>` and `<video>`, wrapped in the checkpoint's chat template up to and including the generation prompt.
   */
  headVectors(example: ShownExample, options?: { maxLayer?: number; signal?: AbortSignal }): Promise<Float32Array>;
  /**
   * The same for several examples at once, where the model is faster that way.
   * @param examples or what `input` has made of each.
   */
  headVectorsOf?(
    examples: readonly unknown[],
    options?: { maxLayer?: number; signal?: AbortSignal },
  ): Promise<Float32Array[]>;
  /**
   * The same of examples that begin alike, such as many questions about one picture: what all of them begin with runs once.
   * Absent where the source cannot do that.
   * @throws where it could, but not as it is; of no examples too.
   */
  headVectorsSharingPrefix?(
    examples: readonly unknown[],
    options?: { maxLayer?: number; signal?: AbortSignal },
  ): Promise<Float32Array[]>;
  /**
   * What `headVectorsOf` takes in the place of an example, its pictures decoded: made while the model runs others.
   * @param shown what this gave of an example with the same pictures and videos, whose pixel values may be taken.
   */
  input?(example: ShownExample, shown?: unknown): Promise<unknown>;
  /**
   * How many tokens and pixel values that will have, known before: prompts of equally many tokens run together. Without it, or
   * where it is not known, examples run together as they stand in the list.
   */
  inputShape?(example: ShownExample): Promise<InputShape | undefined>;
}

/** What the model is shown of an example. */
export interface ShownExample {
  /** For errors. */
  source?: string;
  /** Encoded files, in the order of the prompt. */
  images: Uint8Array[];
  /** For errors. */
  imageNames?: readonly string[];
  videos?: VideoSource<Uint8Array>[];
  prompt: string;
}

/**
 * Examples to give to a model at once: 16 of a small one; of a large one, which has enough to do with one, no more, so that
 * progress and Ctrl-C wait for one alone. Not by the clock, since last bits may depend on it.
 */
export function examplesAtOnce({ nLayers, nHeads, dHead }: HeadVectorSource): number {
  const weights = 12 * nLayers * (nHeads * dHead) ** 2; // about those of the decoder's blocks
  return Math.min(16, Math.max(1, Math.floor(2 ** 26 / weights)));
}

/** One row of a task. Image bytes are read when asked for, so that listing a data set costs no file reads. */
export interface Example {
  /** Where the row comes from, for messages: `train.jsonl:12`. */
  readonly source: string;
  /** The text that follows the images. */
  readonly prompt: string;
  /** Its pictures, by path or URL as the data has them. */
  readonly images: readonly string[];
  /** Reads the pictures’ files. Throws for one that is not there. */
  loadImages(): Promise<Uint8Array[]>;
  /** Of rows that have videos. */
  loadVideos?(): Promise<VideoSource<Uint8Array>[]>;
  /** Absent only where the reader was told that labels are optional. */
  readonly label?: string;
  /** Labels that this row offers ("A, B, C or D"); the vote runs among them only. Absent: all labels. */
  readonly candidates?: readonly string[];
  /** What ties rows that are judged together (NaturalBench's question_id). */
  readonly group?: string;
}

/** Head vectors of a list of examples, from one model. */
export interface HeadFeatures {
  readonly modelId: string;
  readonly precision?: string;
  readonly madeWith?: MadeWith;
  /** Layers held: the model's, or maxLayer + 1. */
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dHead: number;
  /** One [nLayers, nHeads, dHead] array per example. */
  readonly vectors: readonly Float32Array[];
  /**
   * Per example, what its pictures and videos are (or its text, where it has none): a hash of their bytes. Examples that are
   * equal here are left out together by leave-one-out. Absent: only equal vectors are known to be equal.
   */
  readonly contents?: readonly string[];
}

/** How deep the model runs, and where vectors are kept. */
export interface ExtractOptions extends StoreOptions {
  /** Run only layers 0 … maxLayer. */
  maxLayer?: number;
  /**
   * Run once what examples with the same pictures begin with (ADR 19). Vectors differ by rounding from those of whole runs, so
   * a store keeps them apart. Default: false.
   */
  sharePrefix?: boolean;
}

/** What of the options the values depend on. */
type HowComputed = Pick<ExtractOptions, 'maxLayer' | 'sharePrefix'>;

/** Hashes that an example is known by, once it has been read. */
interface Identity {
  readonly input: string;
  readonly content: string;
}

const identities = new WeakMap<Example, Identity>();

/**
 * SHA-256 of what the model is shown: the prompt and the bytes of each image and video, not the file names. Two rows with one
 * fingerprint are the same input.
 */
export const fingerprint = async (example: Example): Promise<string> => (await identify(example)).input;

/** The same of the pictures and videos alone; of the prompt, where there are none. */
export const contentOf = async (example: Example): Promise<string> => (await identify(example)).content;

/** Bytes of files that wait for their turn at most, after their keys are known; others are read once more. */
const maxHeldBytes = 2 ** 26;

/**
 * The files of a list of examples, read no oftener than memory allows: for the key that their bytes are a part of, for the size
 * of what the model is to be shown, and for that itself. One that has been looked at before (`findUnreadable`) is known by its
 * bytes: where a store has its value, it is not read again.
 */
export class ExampleFiles {
  readonly #source: HeadVectorSource;
  readonly #examples: readonly Example[];
  readonly #options: HowComputed;
  readonly #groups = new PrefixGroups();
  /** Read, and not shown to the model yet. */
  readonly #held = new Map<number, ShownExample>();
  readonly #sizes = new Map<number, InputSize>();
  #heldBytes = 0;
  /** What the source made of an example, for others that show the same. */
  #last: { readonly content: string; readonly input: Promise<unknown> } | undefined;

  constructor(source: HeadVectorSource, examples: readonly Example[], options: HowComputed = {}) {
    this.#source = source;
    this.#examples = examples;
    this.#options = options;
  }

  /** `featureKey` of an example. */
  async key(index: number): Promise<string> {
    const example = this.#examples[index];
    if (!identities.has(example)) await this.#read(index);
    return featureKey(this.#source, example, this.#options);
  }

  /** Measures an example that is to be computed, and keeps its bytes where there is room; forgets those of another. */
  async plan(index: number, missing: boolean): Promise<void> {
    if (missing && this.#source.inputShape) {
      const shown = this.#held.get(index) ?? (await this.#read(index));
      const shape = await this.#source.inputShape(shown);
      const group = this.#options.sharePrefix ? await this.#group(index, shape) : undefined;
      if (shape) this.#sizes.set(index, { ...sizeOf(shape), group });
      else if (group !== undefined) this.#sizes.set(index, { bytes: 0, group });
    }
    if (!missing || this.#heldBytes > maxHeldBytes) this.#release(index);
  }

  /** Of examples with videos tokens are not known before: those of the same videos are a group, whatever their texts. */
  async #group(index: number, shape: InputShape | undefined): Promise<number> {
    const { inputIds, visuals } = shape ?? { inputIds: [], visuals: undefined };
    const showsNothing = visuals?.length === 0;
    return this.#groups.add(showsNothing ? '' : await contentOf(this.#examples[index]), inputIds);
  }

  /** Whether the examples of a batch are together because they begin alike. */
  beginAlike(batch: readonly number[]): boolean {
    const [first, second] = batch.map((index) => this.#sizes.get(index)?.group);
    return first !== undefined && first === second;
  }

  /**
   * Batches of what was planned.
   * @param atOnce examples of one batch at most.
   */
  batches(indices: readonly number[], atOnce: number): number[][] {
    return batchesOf(indices, (index) => this.#sizes.get(index), atOnce);
  }

  /**
   * What the model is shown of an example, decoded where the source does that apart, and not once more where the example before it
   * shows the same. Once: the files are forgotten then.
   */
  async prepare(index: number): Promise<unknown> {
    const shown = this.#held.get(index) ?? (await this.#read(index));
    this.#release(index);
    if (!this.#source.input) return shown;
    const content = await contentOf(this.#examples[index]);
    if (this.#last?.content === content) return this.#source.input(shown, await this.#last.input);
    const input = this.#source.input(shown);
    this.#last = { content, input };
    return input;
  }

  async #read(index: number): Promise<ShownExample> {
    const shown = await showKnown(this.#examples[index]);
    this.#held.set(index, shown);
    this.#heldBytes += bytesOf(shown);
    return shown;
  }

  #release(index: number): void {
    const shown = this.#held.get(index);
    if (!shown) return;
    this.#held.delete(index);
    this.#heldBytes -= bytesOf(shown);
  }
}

const sizeOf = ({ inputIds, visuals }: InputShape): InputSize => ({
  tokens: inputIds.length,
  bytes: visuals.reduce((sum, visual) => sum + 4 * visual.shape.reduce((n, size) => n * size, 1), 0),
});

/** Of the files of an example that are in memory. */
function bytesOf({ images, videos = [] }: ShownExample): number {
  const clips = videos.flatMap((video): readonly (string | Uint8Array)[] =>
    'file' in video ? [video.file] : video.frames,
  );
  return [...images, ...clips].reduce((sum, file) => sum + (typeof file === 'string' ? 0 : file.length), 0);
}

/**
 * What the model is shown of an example, read; after which the example is known by these bytes, and not read for its key.
 * @throws InputError where it is known by other bytes: a value computed from these would be kept as that of those.
 */
export async function showKnown(example: Example): Promise<ShownExample> {
  const shown = await show(example);
  const own = await identityOf(example, shown);
  const known = identities.get(example);
  if (known && known.input !== own.input)
    throw new InputError(`${example.source}: its files have changed since they were read first; read the data again`);
  identities.set(example, own);
  return shown;
}

async function identify(example: Example): Promise<Identity> {
  if (!identities.has(example)) await showKnown(example);
  return identities.get(example)!;
}

async function identityOf({ prompt }: Example, { images, videos = [] }: ShownExample): Promise<Identity> {
  const hash = (files: readonly (string | Uint8Array)[]) =>
    Promise.all(files.map((file) => (typeof file === 'string' ? fileSha256(file) : sha256Hex(file))));
  const clip = async (video: VideoSource<Uint8Array>) =>
    'file' in video ? hash([video.file]) : { frames: await hash(video.frames), fps: video.fps };
  const clips = await Promise.all(videos.map(clip));
  const seen = [await hash(images), ...(clips.length ? [clips] : [])];
  const input = await sha256Hex(JSON.stringify([prompt, ...seen]));
  return { input, content: images.length + clips.length ? await sha256Hex(JSON.stringify(seen)) : input };
}

/** An example whose source is its only picture needs no other name. */
const isPicture = ({ source, images }: Example): boolean => images.length === 1 && source.endsWith(images[0]);

/** What an example is called: its pictures, as its file names them; else where it comes from. */
export const exampleName = (example: Example): string =>
  isPicture(example) ? example.source : example.images.join(', ') || example.source;

/** What the model is shown of an example, read. */
export async function show(example: Example): Promise<ShownExample> {
  const { source, prompt, images, loadImages, loadVideos } = example;
  if (typeof loadImages !== 'function')
    throw new InputError('expected examples as readExamples gives them: { source, prompt, images, loadImages }');
  const named = isPicture(example); // a picture's error says its name, once is enough
  return {
    source: named ? undefined : source,
    prompt,
    images: await loadImages(),
    imageNames: named ? [source] : images,
    videos: await loadVideos?.(),
  };
}

/** Cache key of one example's head vectors: everything that their values depend on. */
export async function featureKey(
  source: HeadVectorSource,
  example: Example,
  { maxLayer, sharePrefix }: HowComputed = {},
): Promise<string> {
  const nLayers = layerCount(source, maxLayer);
  const shape = [nLayers, source.nHeads, source.dHead];
  const { modelId, precision, madeWith } = source;
  const made = [modelId, precision ?? '', madeWith ?? '', (await source.environment?.()) ?? ''];
  const parts = [...made, shape, await fingerprint(example)];
  if (sharePrefix) parts.push('shared prefix'); // keys of whole runs stay what they were
  return sha256Hex(JSON.stringify(parts));
}

/**
 * Head vectors of every example, in order.
 * @throws InputError naming the example, where the model returns a wrong number of values; NotFiniteError where one is not finite.
 */
export async function extractFeatures(
  source: HeadVectorSource,
  examples: readonly Example[],
  options: ExtractOptions = {},
): Promise<HeadFeatures> {
  const { nHeads, dHead, modelId, precision, madeWith } = source;
  const nLayers = layerCount(source, options.maxLayer);
  const vectors: Float32Array[] = [];
  for await (const [index, values] of eachFeature(source, examples, options)) vectors[index] = values;
  const contents: string[] = [];
  for (const example of examples) contents.push(await contentOf(example));
  return { modelId, precision, madeWith, nLayers, nHeads, dHead, vectors, contents };
}

/**
 * The same, an example at a time, as soon as it is there: what the store has, then what is computed, in batches of prompts of
 * one length over the whole list.
 * @throws as `extractFeatures`
 */
export async function* eachFeature(
  source: HeadVectorSource,
  examples: readonly Example[],
  options: ExtractOptions = {},
): AsyncGenerator<readonly [index: number, values: Float32Array]> {
  const { maxLayer, signal, sharePrefix } = options;
  if (sharePrefix) await checkSharesPrefix(source);
  const shape = { nLayers: layerCount(source, maxLayer), nHeads: source.nHeads, dHead: source.dHead };
  const files = new ExampleFiles(source, examples, { maxLayer, sharePrefix });
  const name = (index: number) => examples[index].source;
  const found = throughStore(
    examples.length,
    {
      key: (index) => files.key(index),
      plan: (index, missing) => files.plan(index, missing),
      decode: (bytes) => decodeEntry(bytes, shape),
      encode: ({ values }) => encodeEntry(values, shape),
      compute: (missing) =>
        runBatches(files.batches(missing, source.headVectorsOf ? examplesAtOnce(source) : 1), {
          prepare: (index) => files.prepare(index),
          run: async (inputs, batch) => {
            const vectors = await vectorsOf(source, inputs, files.beginAlike(batch), { maxLayer, signal });
            return vectors.map((values) => ({ values }));
          },
          check: (index, { values }) => checkVectors(values, shape, name(index)),
          ...{ name, signal },
        }),
      again: (index) => `${name(index)} is computed again`,
    },
    options,
  );
  for await (const [index, { values }] of found) yield [index, values];
}

/** @throws InputError for a source that cannot share prefixes: before anything runs, whether or not there are any. */
export async function checkSharesPrefix(source: HeadVectorSource): Promise<void> {
  if (!source.headVectorsSharingPrefix || !source.inputShape)
    throw new InputError(
      'sharePrefix: this source of head vectors has no decoder whose prefix could be shared (CLIP and SigLIP see each picture and each text whole); leave it out',
    );
  await source.headVectorsSharingPrefix([]);
}

async function vectorsOf(
  source: HeadVectorSource,
  inputs: readonly unknown[],
  beginAlike: boolean,
  options: { maxLayer?: number; signal?: AbortSignal },
): Promise<Float32Array[]> {
  if (beginAlike) return source.headVectorsSharingPrefix!(inputs, options);
  if (source.headVectorsOf) return source.headVectorsOf(inputs, options);
  return [await source.headVectors(inputs[0] as ShownExample, options)];
}

function layerCount(source: HeadVectorSource, maxLayer: number | undefined): number {
  if (maxLayer === undefined) return source.nLayers;
  if (!Number.isInteger(maxLayer) || maxLayer < 0 || maxLayer >= source.nLayers) {
    throw new InputError(`maxLayer: expected a layer from 0 to ${source.nLayers - 1}, got ${maxLayer}`);
  }
  return maxLayer + 1;
}

function checkVectors(
  values: Float32Array,
  shape: { nLayers: number; nHeads: number; dHead: number },
  source: string,
): void {
  const { nLayers, nHeads, dHead } = shape;
  if (values.length !== nLayers * nHeads * dHead) {
    throw new InputError(
      `${source}: expected head vectors [${nLayers}, ${nHeads}, ${dHead}], the model returned ${values.length} values`,
    );
  }
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    const layer = Math.floor(bad / (nHeads * dHead));
    const head = Math.floor(bad / dHead) % nHeads;
    throw new NotFiniteError(
      `${source}: blocks.${layer}.attn.hook_z, head ${head}, holds ${values[bad]}: the forward pass overflowed`,
    );
  }
}
