// From examples to head vectors: one forward pass per example, and none for an example that the cache knows.
// This is the only file of src/sav that meets the model, and it meets it through HeadVectorSource alone.

import { fileSha256 } from '#platform';
import type { MadeWith } from '../checkpoint/made-with.ts';
import { sha256Hex } from '../checkpoint/sha256.ts';
import { InputError, NotFiniteError } from '../model/errors.ts';
import type { VideoSource } from '../platform/types.ts';
import { decodeEntry, encodeEntry, type StoreOptions, throughStore } from './feature-cache.ts';

/** What SAVs need of a model: `hook_z` at the last prompt token, for one example. */
export interface HeadVectorSource {
  /** Hash of the config and the weights index: ties features and classifiers to the model that made them. */
  readonly modelId: string;
  /** Whatever else changes the numbers, such as how weights are stored (`f16`, `q4`). Part of the cache key. */
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
  /** The same for several examples at once, where the model is faster that way. */
  headVectorsOf?(
    examples: readonly ShownExample[],
    options?: { maxLayer?: number; signal?: AbortSignal },
  ): Promise<Float32Array[]>;
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
}

const identities = new WeakMap<Example, Promise<{ input: string; content: string }>>();

/**
 * SHA-256 of what the model is shown: the prompt and the bytes of each image and video, not the file names. Two rows with one
 * fingerprint are the same input.
 */
export const fingerprint = async (example: Example): Promise<string> => (await identify(example)).input;

/** The same of the pictures and videos alone; of the prompt, where there are none. */
export const contentOf = async (example: Example): Promise<string> => (await identify(example)).content;

/**
 * Examples whose files are read once for a store: for the key that their bytes are a part of, and, where the store has no value
 * under it, for the value that is computed from the same bytes.
 */
export class ExamplesOnce {
  readonly #examples: readonly Example[];
  /** Read for the key, and not computed yet. */
  readonly #read = new Map<number, ShownExample>();

  constructor(examples: readonly Example[]) {
    this.#examples = examples;
  }

  /** `featureKey` of an example. */
  async key(source: HeadVectorSource, index: number, maxLayer?: number): Promise<string> {
    const example = this.#examples[index];
    if (!identities.has(example)) this.#read.set(index, await this.#show(example));
    return featureKey(source, example, maxLayer);
  }

  /** What the model is shown of an example, once. */
  async take(index: number): Promise<ShownExample> {
    const shown = this.#read.get(index) ?? (await this.#show(this.#examples[index]));
    this.#read.delete(index);
    return shown;
  }

  /** Forgets the bytes of an example that is not computed. */
  drop(index: number): void {
    this.#read.delete(index);
  }

  /** After which the example is known by these bytes: its files need not be read again for `fingerprint`. */
  async #show(example: Example): Promise<ShownExample> {
    const shown = await show(example);
    await identify(example, () => shown);
    return shown;
  }
}

function identify(
  example: Example,
  read: () => ShownExample | Promise<ShownExample> = () => show(example),
): Promise<{ input: string; content: string }> {
  let known = identities.get(example);
  if (!known) {
    known = Promise.resolve(read()).then(async ({ images, videos }) => {
      const hash = (files: readonly (string | Uint8Array)[]) =>
        Promise.all(files.map((file) => (typeof file === 'string' ? fileSha256(file) : sha256Hex(file))));
      const clip = async (video: VideoSource<Uint8Array>) =>
        'file' in video ? hash([video.file]) : { frames: await hash(video.frames), fps: video.fps };
      const clips = await Promise.all((videos ?? []).map(clip));
      const seen = [await hash(images), ...(clips.length ? [clips] : [])];
      const input = await sha256Hex(JSON.stringify([example.prompt, ...seen]));
      return { input, content: images.length + clips.length ? await sha256Hex(JSON.stringify(seen)) : input };
    });
    identities.set(example, known);
  }
  return known;
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
export async function featureKey(source: HeadVectorSource, example: Example, maxLayer?: number): Promise<string> {
  const nLayers = layerCount(source, maxLayer);
  const shape = [nLayers, source.nHeads, source.dHead];
  const { modelId, precision, madeWith } = source;
  const made = [modelId, precision ?? '', madeWith ?? '', (await source.environment?.()) ?? ''];
  return sha256Hex(JSON.stringify([...made, shape, await fingerprint(example)]));
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
  const { maxLayer, signal } = options;
  const nLayers = layerCount(source, maxLayer);
  const shape = { nLayers, nHeads: source.nHeads, dHead: source.dHead };
  const once = new ExamplesOnce(examples);
  const compute = async (indices: readonly number[]) => {
    const shown = await Promise.all(indices.map((index) => once.take(index)));
    const computed = source.headVectorsOf
      ? await source.headVectorsOf(shown, { maxLayer, signal })
      : [await source.headVectors(shown[0], { maxLayer, signal })];
    for (const [i, index] of indices.entries()) checkVectors(computed[i], shape, examples[index].source);
    return computed.map((values) => ({ values }));
  };
  const found = await throughStore(
    examples.length,
    {
      atOnce: source.headVectorsOf ? examplesAtOnce(source) : 1,
      key: (index) => once.key(source, index, maxLayer),
      drop: (index) => once.drop(index),
      decode: (bytes) => decodeEntry(bytes, shape),
      encode: ({ values }) => encodeEntry(values, shape),
      compute,
      again: (index) => `${examples[index].source} is computed again`,
    },
    options,
  );
  const vectors = found.map(({ values }) => values);
  const contents: string[] = [];
  for (const example of examples) contents.push(await contentOf(example));
  const { modelId, precision, madeWith } = source;
  return { modelId, precision, madeWith, ...shape, vectors, contents };
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
