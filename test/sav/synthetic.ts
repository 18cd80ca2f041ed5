// Head vectors with a known answer: noise, and class directions in the heads that are told to carry signal.
import { atOnce } from '../../src/base/pieces.ts';
import type { Example, HeadFeatures, HeadVectorSource } from '../../src/sav/features.ts';
import { fitting } from '../../src/sav/fit.ts';
import { leaveOneOut } from '../../src/sav/leave-one-out.ts';
import { rankHeads } from '../../src/sav/scoring.ts';

/** What comes in pieces, without pauses between them. */
export const fitNow = (...args: Parameters<typeof fitting>) => atOnce(fitting(...args));
export const rankNow = (...args: Parameters<typeof rankHeads>) => atOnce(rankHeads(...args));
export const leaveOneOutNow = (...args: Parameters<typeof leaveOneOut>) => atOnce(leaveOneOut(...args));

/** Seeded uniform numbers in [0, 1) (xorshift32). */
export function generator(seed: number): () => number {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state = (state ^ (state << 5)) >>> 0;
    return state / 4294967296;
  };
}

export function gaussianNumbers(seed: number): () => number {
  const random = generator(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

export interface SyntheticTask {
  nLayers?: number;
  nHeads?: number;
  dHead?: number;
  labels?: string[];
  perLabel: number;
  /** Distance of class means from the origin, by flat head; other heads are noise. */
  signal?: Record<number, number>;
  seed?: number;
  /** Seed of the class means: tasks that share it share the truth. */
  truth?: number;
}

/** Examples in the order a, b, …, a, b, … */
export function synthetic(task: SyntheticTask): { features: HeadFeatures; labels: string[] } {
  const { nLayers = 2, nHeads = 3, dHead = 8, labels = ['a', 'b'], perLabel, signal = {}, seed = 1, truth = 99 } = task;
  const mean = gaussianNumbers(truth);
  const means = labels.map(() => Float64Array.from({ length: nLayers * nHeads * dHead }, mean));
  const noise = gaussianNumbers(seed);
  const exampleLabels = Array.from({ length: perLabel * labels.length }, (_, i) => labels[i % labels.length]);
  const vectors = exampleLabels.map((label) =>
    Float32Array.from(
      means[labels.indexOf(label)],
      (value, i) => noise() + (signal[Math.floor(i / dHead)] ?? 0) * value,
    ),
  );
  return { features: { modelId: 'synthetic', nLayers, nHeads, dHead, vectors }, labels: exampleLabels };
}

/** Features of one head per layer, given directly. */
export function features(vectors: number[][], dHead: number, nHeads = 1): HeadFeatures {
  return {
    modelId: 'by hand',
    nLayers: vectors[0].length / (dHead * nHeads),
    nHeads,
    dHead,
    vectors: vectors.map((values) => Float32Array.from(values)),
  };
}

/** Those of the examples whose index passes. */
export function pick(all: HeadFeatures, keep: (i: number) => boolean): HeadFeatures {
  return { ...all, vectors: all.vectors.filter((_, i) => keep(i)) };
}

/** A model whose head vectors are a function of image bytes and prompt. Counts its forward passes. */
export class FakeModel implements HeadVectorSource {
  modelId = 'fake-model';
  precision = 'f32';
  nLayers = 2;
  nHeads = 2;
  dHead = 4;
  forwards = 0;

  async headVectors(
    { images, prompt }: { images: Uint8Array[]; prompt: string },
    { maxLayer = this.nLayers - 1 }: { maxLayer?: number } = {},
  ): Promise<Float32Array> {
    this.forwards++;
    const seed = images.flatMap((image) => [...image]).reduce((sum, byte) => sum + byte, prompt.length);
    return Float32Array.from({ length: (maxLayer + 1) * this.nHeads * this.dHead }, gaussianNumbers(seed));
  }
}

export function example(prompt: string, images: Record<string, Uint8Array>, label?: string): Example {
  const loadImages = async () => Object.values(images);
  return { source: `memory:${prompt}`, prompt, images: Object.keys(images), loadImages, label };
}
