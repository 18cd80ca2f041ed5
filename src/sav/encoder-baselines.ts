// CLIP and SigLIP as baselines: zero-shot by the similarity of image and label, few-shot by the nearest class centroid.
// They are met through EmbeddingSource alone; a row's embeddings are kept and compared as head vectors are.

import type { MadeWith } from '../checkpoint/made-with.ts';
import { NotFiniteError } from '../model/errors.ts';
import { nearestCentroid } from './baselines.ts';
import type { FeatureStore } from './feature-cache.ts';
import {
  type Example,
  type ExtractOptions,
  extractFeatures,
  type HeadFeatures,
  type HeadVectorSource,
} from './features.ts';

/** What these baselines need of a dual encoder. */
export interface EmbeddingSource {
  /** Ties embeddings to the checkpoint that made them. */
  readonly modelId: string;
  /** The processor's files and the code; part of the cache key. */
  readonly madeWith?: MadeWith;
  /** What only last bits depend on; part of the cache key. */
  environment?(): Promise<string>;
  /** Numbers of an embedding, the same for images and texts. */
  readonly embeddingSize: number;
  /** One for each encoded image file, or for what `image` has made of it. */
  imageEmbeddings(images: readonly unknown[], options?: { signal?: AbortSignal }): Promise<Float32Array[]>;
  /** Decodes and resizes an image file, while the encoder runs others. `name` is for errors. */
  image?(file: Uint8Array, name?: string): Promise<unknown>;
  /** One for each text. `onCut` allows a text that is too long to be cut, and is told by how many tokens. */
  textEmbeddings(
    texts: readonly string[],
    options?: { signal?: AbortSignal; onCut?: (tokens: number) => void },
  ): Promise<Float32Array[]>;
}

/** What an encoder says of a task's test rows. */
export interface EncoderPredictions {
  /** The encoder, as people call it. */
  readonly name: string;
  /** What the few-shot vectors are made of. */
  readonly features: 'image' | 'image and text';
  /** The text that stood for a label, with `{label}` in it. */
  readonly labelPrompt: string;
  /** A label for each test row, by the two methods. */
  readonly zeroShot: readonly string[];
  readonly nearestCentroid: readonly string[];
}

/** How an encoder is asked, and where its embeddings are kept. */
export interface EncoderOptions {
  readonly name: string;
  /** The text that stands for a label, with `{label}` in it. */
  readonly labelPrompt?: string;
  readonly store?: FeatureStore;
  readonly signal?: AbortSignal;
  /** Told after each embedding: how many are done, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Told what the user should see, such as texts that were cut. */
  readonly onNotice?: (message: string) => void;
}

export const defaultLabelPrompt = 'a photo of {label}';

/**
 * Fits nothing to the test labels: zero-shot compares each row's image with the labels' texts, few-shot with the classes' mean
 * vectors over the training rows. Where rows have several images or texts of their own, the few-shot vector is the image
 * embedding (of several images, their mean) beside the text's, each of length 1.
 */
export async function encoderBaselines(
  source: EmbeddingSource,
  { train, test }: { train: readonly Example[]; test: readonly Example[] },
  { name, labelPrompt = defaultLabelPrompt, store, signal, onProgress, onNotice }: EncoderOptions,
): Promise<EncoderPredictions> {
  let cut = 0;
  const onCut = () => {
    cut++;
  };
  const rows = [...train, ...test];
  const withText = isInterleaved(rows);
  const rowSource = rowEmbeddings(source, { withText, onCut });
  const options: ExtractOptions = { store, signal, onNotice, onProgress };
  const all = await extractFeatures(rowSource, rows, options);
  const part = (from: number, to: number): HeadFeatures => ({ ...all, vectors: all.vectors.slice(from, to) });
  const trainFeatures = part(0, train.length);
  const testFeatures = part(train.length, rows.length);

  const trainLabels = train.map(({ label }) => label!);
  const labels = [...new Set(trainLabels)];
  const texts = labels.map((label) => labelPrompt.replaceAll('{label}', () => label));
  const labelVectors = (await source.textEmbeddings(texts, { signal, onCut })).map(unit);
  if (cut) onNotice?.(`${name}: ${cut} text${cut === 1 ? '' : 's'} longer than it takes, cut to its length`);
  const candidates = test.map((example) => example.candidates);
  return {
    name,
    features: withText ? 'image and text' : 'image',
    labelPrompt,
    zeroShot: nearestLabel(testFeatures, labels, labelVectors, candidates),
    nearestCentroid: nearestCentroid(trainFeatures, trainLabels, testFeatures, 'all-heads', candidates),
  };
}

/** Whether an image alone does not say what is asked of a row. */
export function isInterleaved(rows: readonly Example[]): boolean {
  return rows.some(({ images, prompt }) => images.length !== 1 || prompt !== rows[0].prompt);
}

/**
 * A row's embeddings as head vectors of one layer: head 0 is the mean of its images' (of length 1, zeros without an image),
 * head 1 its text's. So they are cached, checked and compared by what does that for head vectors.
 */
export function rowEmbeddings(
  source: EmbeddingSource,
  { withText, onCut }: { withText: boolean; onCut?: (tokens: number) => void },
): HeadVectorSource {
  const { modelId, madeWith, embeddingSize } = source;
  const of = async (given: readonly unknown[], { signal }: { signal?: AbortSignal } = {}) => {
    const examples = given as readonly RowInput[];
    const shown = examples.flatMap(({ images }) => images);
    const images = (shown.length ? await source.imageEmbeddings(shown, { signal }) : []).map(unit).values();
    const prompts = examples.map(({ prompt }) => prompt);
    const texts = withText ? (await source.textEmbeddings(prompts, { signal, onCut })).map(unit) : [];
    return examples.map((example, i) => {
      const row = new Float32Array(embeddingSize * (withText ? 2 : 1));
      const sum = new Float32Array(embeddingSize);
      for (const _ of example.images) {
        const image = images.next().value!;
        for (let d = 0; d < sum.length; d++) sum[d] += image[d];
      }
      if (example.images.length) row.set(unit(sum));
      if (withText) row.set(texts[i], embeddingSize);
      return row;
    });
  };
  return {
    modelId,
    madeWith,
    precision: 'embeddings',
    environment: async () => (await source.environment?.()) ?? '',
    nLayers: 1,
    nHeads: withText ? 2 : 1,
    dHead: embeddingSize,
    headVectors: async (example, options) => (await of([example], options))[0],
    headVectorsOf: of,
    async input({ prompt, images, imageNames }): Promise<RowInput> {
      if (!source.image) return { prompt, images };
      const shown: unknown[] = [];
      for (const [i, file] of images.entries()) shown.push(await source.image(file, imageNames?.[i]));
      return { prompt, images: shown };
    },
  };
}

/** A row, its images as `imageEmbeddings` takes them. */
interface RowInput {
  readonly prompt: string;
  readonly images: readonly unknown[];
}

/** The label whose text is nearest to the row's image, or to its own text where it has no image. */
function nearestLabel(
  { vectors, dHead }: HeadFeatures,
  labels: readonly string[],
  labelVectors: readonly Float32Array[],
  candidates: readonly (readonly string[] | undefined)[],
): string[] {
  return vectors.map((row, i) => {
    const image = row.subarray(0, dHead);
    const query = image.some((value) => value !== 0) ? image : row.subarray(dHead);
    const score = (label: string) => {
      const vector = labelVectors[labels.indexOf(label)];
      return query.reduce((sum, value, d) => sum + value * vector[d], 0);
    };
    const offered = labels.filter((label) => candidates[i]?.includes(label) ?? true);
    return (offered.length ? offered : labels).reduce((best, label) => (score(label) > score(best) ? label : best));
  });
}

function unit(vector: Float32Array): Float32Array {
  const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (!Number.isFinite(norm)) throw new NotFiniteError('an embedding is not finite: the forward pass overflowed');
  return norm === 0 ? vector : vector.map((value) => value / norm);
}
