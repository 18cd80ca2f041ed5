// Scoring heads: how many training examples lie nearest to their own class's centroid (SAV.md, steps 2 and 3).
//
// Scored on the training set itself ('train', the published way) an example is a part of the centroid that it is
// compared with, and in high dimensions even a head that is pure noise scores near 100 %. Leave-one-out takes the
// example out of its own centroid first: (n mu - x) / (n - 1). Sums are in float64.
import { type ClassIndex, indexClasses } from './class-index.ts';
import type { HeadFeatures } from './features.ts';

export type Scoring = 'train' | 'leave-one-out';

export interface Head {
  readonly layer: number;
  readonly head: number;
}

/** Scores of every head, and the order that they give. Flat arrays are [nLayers * nHeads], layer by layer. */
export interface HeadRanking {
  readonly scoring: Scoring;
  readonly nLayers: number;
  readonly nHeads: number;
  /** Training examples. */
  readonly nExamples: number;
  /** Score: training examples whose nearest centroid is their own class's. */
  readonly correct: Int32Array;
  /** Mean over examples of the leave-one-out margin: similarity to the own class less that to the best other. */
  readonly margin: Float64Array;
  /** Flat head indices, best first: by score, then margin, then layer, then head. */
  readonly order: Int32Array;
}

/** Norms below this count as this in a cosine, as in the authors' code. */
export const MIN_NORM = 1e-8;

/** Vectors of one head, gathered over examples: [nExamples, dHead] in float64. */
export function gatherHead(vectors: readonly Float32Array[], flatHead: number, dHead: number): Float64Array {
  const gathered = new Float64Array(vectors.length * dHead);
  const offset = flatHead * dHead;
  for (let i = 0; i < vectors.length; i++) {
    const source = vectors[i];
    for (let d = 0; d < dHead; d++) gathered[i * dHead + d] = source[offset + d];
  }
  return gathered;
}

/** Sums of each class's vectors, [nClasses, dHead]. */
export function classSums(x: Float64Array, classes: ClassIndex, dHead: number): Float64Array {
  const sums = new Float64Array(classes.labels.length * dHead);
  for (let i = 0; i < classes.classOf.length; i++) {
    const to = classes.classOf[i] * dHead;
    const from = i * dHead;
    for (let d = 0; d < dHead; d++) sums[to + d] += x[from + d];
  }
  return sums;
}

/**
 * Cosine similarities of every training example to every centroid, [nExamples, nClasses]. With `leaveOneOut`, an
 * example is taken out of its own class's centroid; where the class has no other example the entry is NaN.
 */
export function trainingSimilarities(
  x: Float64Array,
  sums: Float64Array,
  classes: ClassIndex,
  dHead: number,
  leaveOneOut: boolean,
): Float64Array {
  const { classOf, counts, labels } = classes;
  const nClasses = labels.length;
  const centroids = new Float64Array(sums.length);
  const norms = new Float64Array(nClasses);
  for (let c = 0; c < nClasses; c++) {
    for (let d = 0; d < dHead; d++) centroids[c * dHead + d] = sums[c * dHead + d] / counts[c];
    norms[c] = Math.max(Math.sqrt(dot(centroids, c * dHead, centroids, c * dHead, dHead)), MIN_NORM);
  }
  const rest = new Float64Array(dHead);
  const similarities = new Float64Array(classOf.length * nClasses);
  for (let i = 0; i < classOf.length; i++) {
    const from = i * dHead;
    const norm = Math.max(Math.sqrt(dot(x, from, x, from, dHead)), MIN_NORM);
    for (let c = 0; c < nClasses; c++) {
      let similarity: number;
      if (leaveOneOut && c === classOf[i]) {
        const others = counts[c] - 1;
        for (let d = 0; d < dHead; d++) rest[d] = (sums[c * dHead + d] - x[from + d]) / others;
        const restNorm = Math.max(Math.sqrt(dot(rest, 0, rest, 0, dHead)), MIN_NORM);
        similarity = others === 0 ? Number.NaN : dot(x, from, rest, 0, dHead) / (norm * restNorm);
      } else {
        similarity = dot(x, from, centroids, c * dHead, dHead) / (norm * norms[c]);
      }
      similarities[i * nClasses + c] = similarity;
    }
  }
  return similarities;
}

/**
 * Scores and ranks every head.
 * @throws {Error} where leave-one-out scoring meets a class with a single example.
 */
export function rankHeads(
  features: HeadFeatures,
  exampleLabels: readonly string[],
  scoring: Scoring = 'leave-one-out',
): HeadRanking {
  checkLabelCount(features, exampleLabels);
  const classes = indexClasses(exampleLabels);
  if (scoring === 'leave-one-out') checkLeaveOneOut(classes);
  const { nLayers, nHeads, dHead, vectors } = features;
  const { classOf, labels } = classes;
  const total = nLayers * nHeads;
  const correct = new Int32Array(total);
  const margin = new Float64Array(total);
  for (let h = 0; h < total; h++) {
    const x = gatherHead(vectors, h, dHead);
    const sums = classSums(x, classes, dHead);
    const leftOut = trainingSimilarities(x, sums, classes, dHead, true);
    const scored = scoring === 'train' ? trainingSimilarities(x, sums, classes, dHead, false) : leftOut;
    let marginSum = 0;
    let judged = 0;
    for (let i = 0; i < classOf.length; i++) {
      if (firstMaximum(scored, i * labels.length, labels.length) === classOf[i]) correct[h]++;
      const gap = marginOf(leftOut, i * labels.length, labels.length, classOf[i]);
      if (Number.isNaN(gap)) continue;
      marginSum += gap;
      judged++;
    }
    margin[h] = judged === 0 ? 0 : marginSum / judged;
  }
  return { scoring, nLayers, nHeads, nExamples: vectors.length, correct, margin, order: orderHeads(correct, margin) };
}

/** Flat head indices by score, then margin, then index. */
export function orderHeads(correct: ArrayLike<number>, margin: ArrayLike<number>): Int32Array {
  const order = Int32Array.from({ length: correct.length }, (_, i) => i);
  return order.sort((a, b) => correct[b] - correct[a] || margin[b] - margin[a] || a - b);
}

/** Index, counted from `start`, of the largest of `length` values; the first of several. */
export function firstMaximum(values: ArrayLike<number>, start: number, length: number): number {
  let best = 0;
  for (let i = 1; i < length; i++) if (values[start + i] > values[start + best]) best = i;
  return best;
}

/** The own class's similarity less the best other's. */
function marginOf(similarities: Float64Array, start: number, nClasses: number, own: number): number {
  let other = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < nClasses; c++) if (c !== own && similarities[start + c] > other) other = similarities[start + c];
  return similarities[start + own] - other;
}

/** Dot product of `length` values of a (from `i`) and b (from `j`). */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, length: number): number {
  let even = 0;
  let odd = 0;
  let d = 0;
  for (; d + 1 < length; d += 2) {
    even += a[i + d] * b[j + d];
    odd += a[i + d + 1] * b[j + d + 1];
  }
  if (d < length) even += a[i + d] * b[j + d];
  return even + odd;
}

export function checkLabelCount(features: HeadFeatures, exampleLabels: readonly string[]): void {
  if (features.vectors.length !== exampleLabels.length) {
    throw new Error(
      `expected one label per example: ${features.vectors.length} examples, ${exampleLabels.length} labels`,
    );
  }
}

/** @throws {Error} naming the classes with a single example. */
export function checkLeaveOneOut(classes: ClassIndex): void {
  const single = classes.labels.filter((_, c) => classes.counts[c] < 2);
  if (single.length > 0) {
    throw new Error(
      `leave-one-out needs two examples of each label, ${single.map((label) => `'${label}'`).join(', ')} has one: add another, score on the training set ('train'), or name the heads`,
    );
  }
}
