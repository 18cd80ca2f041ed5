// Scoring heads: how many training examples lie nearest to their own class's centroid (docs/method.md, steps 2 and 3).
//
// Scored on the training set itself ('train', the published way) an example is a part of the centroid that it is
// compared with, and in high dimensions even a head that is pure noise scores near 100 %. Leave-one-out takes the
// example out of its own centroid first: (n mu - x) / (n - 1), and with it its group, the rows that show the same picture
// (groups.ts). Sums are in float64.

import type { InPieces } from '../base/pieces.ts';
import { InputError } from '../model/errors.ts';
import { type ClassIndex, indexClasses } from './class-index.ts';
import { DataError } from './errors.ts';
import type { HeadFeatures } from './features.ts';
import { type Groups, groupExamples } from './groups.ts';

interface ScoringRule {
  /** For the help text of the command line. */
  readonly help: string;
  /** How heads were chosen, for the report: `20 heads, chosen ` and this. */
  readonly words: string;
  /** What the report's map of head scores adds to `on 40 training examples`. */
  readonly ofMap: string;
  /** Whether an example's group is out of the centroids that it is compared with. */
  readonly leavesOut: boolean;
}

/** How heads are judged: the choices of `fit --scoring`, what classifier files may hold, what the report says. */
export const scorings = {
  'leave-one-out': {
    help: 'leave-one-out',
    words: 'by leave-one-out on the training examples',
    ofMap: ', each left out in turn',
    leavesOut: true,
  },
  train: {
    help: 'train as published',
    words: 'on the training examples themselves',
    ofMap: '',
    leavesOut: false,
  },
} as const satisfies Record<string, ScoringRule>;

export type Scoring = keyof typeof scorings;

/** Scores of every head, and the order that they give. Flat arrays are [nLayers * nHeads], layer by layer. */
export interface HeadRanking {
  readonly scoring: Scoring;
  readonly nLayers: number;
  readonly nHeads: number;
  /** Training examples. */
  readonly nExamples: number;
  /** Score: training examples whose nearest centroid is their own class's. */
  readonly correct: Int32Array;
  /**
   * Mean over examples of the leave-one-out margin: similarity to the own class less that to the best other. Where no example
   * can be left out, the margin in the training set.
   */
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
 * Cosine similarities of every training example to every centroid, [nExamples, nClasses]. With `leftOut`, an example's
 * group is taken out of the centroids first; where that leaves a class empty the entry is NaN.
 */
export function trainingSimilarities(
  x: Float64Array,
  sums: Float64Array,
  classes: ClassIndex,
  dHead: number,
  leftOut?: Groups,
): Float64Array {
  const { classOf, counts, labels } = classes;
  const nClasses = labels.length;
  const centroids = new Float64Array(sums.length);
  const norms = new Float64Array(nClasses);
  const setCentroid = (c: number, count: number, from: Float64Array) => {
    const at = c * dHead;
    for (let d = 0; d < dHead; d++) centroids[at + d] = from[at + d] / count;
    norms[c] = Math.max(Math.sqrt(dot(centroids, at, centroids, at, dHead)), MIN_NORM);
  };
  for (let c = 0; c < nClasses; c++) setCentroid(c, counts[c], sums);
  const similarities = new Float64Array(classOf.length * nClasses);
  const judge = (i: number) => {
    const norm = Math.max(Math.sqrt(dot(x, i * dHead, x, i * dHead, dHead)), MIN_NORM);
    for (let c = 0; c < nClasses; c++) {
      similarities[i * nClasses + c] = dot(x, i * dHead, centroids, c * dHead, dHead) / (norm * norms[c]);
    }
  };
  if (!leftOut) {
    for (let i = 0; i < classOf.length; i++) judge(i);
    return similarities;
  }
  const rest = sums.slice();
  const restCounts = [...counts];
  for (const members of leftOut.members) {
    for (const i of members) {
      restCounts[classOf[i]]--;
      for (let d = 0; d < dHead; d++) rest[classOf[i] * dHead + d] -= x[i * dHead + d];
    }
    // An empty class's centroid is 0 / 0: NaN.
    const touched = new Set(members.map((i) => classOf[i]));
    for (const c of touched) setCentroid(c, restCounts[c] || Number.NaN, rest);
    for (const i of members) judge(i);
    for (const c of touched) {
      restCounts[c] = counts[c];
      for (let d = c * dHead; d < (c + 1) * dHead; d++) rest[d] = sums[d];
      setCentroid(c, counts[c], sums);
    }
  }
  return similarities;
}

/**
 * Scores and ranks every head; a head is a piece.
 * @param groups examples that are left out together; default: those that `groupExamples` finds
 * @param partial by leave-one-out, judge what can be left out where a class has one example (or one picture)
 * @throws DataError without `partial`, where leave-one-out scoring meets such a class.
 */
export function* rankHeads(
  features: HeadFeatures,
  exampleLabels: readonly string[],
  scoring: Scoring = 'leave-one-out',
  groups: Groups = groupExamples(features),
  partial = false,
): InPieces<HeadRanking> {
  checkLabelCount(features, exampleLabels);
  const classes = indexClasses(exampleLabels);
  const { leavesOut } = scorings[scoring];
  if (leavesOut && !partial) checkLeaveOneOut(classes, groups);
  const { nLayers, nHeads, dHead, vectors } = features;
  const { classOf, labels } = classes;
  const total = nLayers * nHeads;
  const correct = new Int32Array(total);
  const margin = new Float64Array(total);
  for (let h = 0; h < total; h++) {
    const x = gatherHead(vectors, h, dHead);
    const sums = classSums(x, classes, dHead);
    const leftOut = trainingSimilarities(x, sums, classes, dHead, groups);
    const scored = leavesOut ? leftOut : trainingSimilarities(x, sums, classes, dHead);
    // An example whose absence would leave a class empty is not judged by leave-one-out. Where that is true of all, what
    // is left to tell heads apart is how far they hold the classes from each other.
    const judged = Array.from(classOf.keys()).filter((i) => rowIsWhole(leftOut, i * labels.length, labels.length));
    const counted = leavesOut ? judged : classOf.keys();
    for (const i of counted) if (firstMaximum(scored, i * labels.length, labels.length) === classOf[i]) correct[h]++;
    const [from, rows] = judged.length > 0 ? [leftOut, judged] : [scored, Array.from(classOf.keys())];
    for (const i of rows) margin[h] += marginOf(from, i * labels.length, labels.length, classOf[i]) / rows.length;
    yield { part: 'scoring heads', done: h + 1, total };
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

function rowIsWhole(values: Float64Array, start: number, length: number): boolean {
  for (let i = start; i < start + length; i++) if (Number.isNaN(values[i])) return false;
  return true;
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
  for (const [i, label] of (exampleLabels ?? []).entries())
    if (typeof label !== 'string') throw new InputError(`expected a text as label of example ${i + 1}, got ${label}`);
  if (features.vectors.length !== exampleLabels?.length) {
    throw new InputError(
      `expected one label per example: ${features.vectors.length} examples, ${exampleLabels?.length ?? 'no'} labels`,
    );
  }
}

/** Classes that lose every example when a group of theirs is left out: a single example, or one picture repeated. */
export function inseparableClasses({ labels, classOf, counts }: ClassIndex, groups: Groups): string[] {
  const kept = labels.map(() => new Set<number>());
  for (const [i, c] of classOf.entries()) kept[c].add(groups.of[i]);
  return labels
    .filter((_, c) => kept[c].size < 2)
    .map((label) => (counts[labels.indexOf(label)] > 1 ? `'${label}' (one picture, repeated)` : `'${label}'`));
}

/** As many names as a line holds. */
export const someOf = (names: readonly string[]): string =>
  names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');

/** @throws DataError naming the classes with a single example, or a single picture. */
export function checkLeaveOneOut(classes: ClassIndex, groups: Groups): void {
  const single = inseparableClasses(classes, groups);
  if (single.length > 0) {
    throw new DataError(
      `leave-one-out needs two examples of each label that differ, ${someOf(single)} ${single.length === 1 ? 'has' : 'have'} one: add another, or fit with scoring 'train' and a number of heads`,
    );
  }
}
