// The whole classifier judged by leave-one-out, honestly: heads are chosen again for each example that is left out.
//
// Ranking heads once and then leaving an example out would be optimistic, because the ranking has already seen whether
// each head gets that example right. Choosing again for each example sounds n times as dear; with the n x n dot
// products of a head's vectors at hand, taking one or two examples out of a sum is a few additions.
import { type ClassIndex, indexClasses } from './class-index.ts';
import type { HeadFeatures } from './features.ts';
import { gaussianLeaveOneOut, outerProducts } from './gaussian.ts';
import {
  checkLabelCount,
  checkLeaveOneOut,
  classSums,
  dot,
  gatherHead,
  MIN_NORM,
  orderHeads,
  type Scoring,
  trainingSimilarities,
} from './scoring.ts';
import { reliabilities, reliability, rowMaxima, Tally, type Vote } from './votes.ts';

/** How a head's vector is compared with the classes. */
export type Compare = 'cosine' | 'gaussian';

export interface LeaveOneOutOptions {
  scoring: Scoring;
  vote: Vote;
  compare: Compare;
  /** Numbers of heads to try, ascending. */
  ks: readonly number[];
  /** Only these heads may be chosen (flat indices). Default: all. */
  pool?: readonly number[];
  /** Heads that are given (flat, best first): none are chosen. */
  heads?: readonly number[];
  /** Classes among which each example is classified. */
  allowed?: readonly (readonly number[] | undefined)[];
}

/** What leave-one-out says of one number of heads. */
export interface LeaveOneOutResult {
  readonly k: number;
  accuracy: number;
  /** Class that each example gets from a classifier fitted without it. */
  readonly predicted: Int32Array;
  /** `Tally.lead` of each. */
  readonly lead: Float64Array;
}

/** One result for each k: example i is classified by heads chosen, and centroids made, without it. */
export function leaveOneOut(
  features: HeadFeatures,
  exampleLabels: readonly string[],
  options: LeaveOneOutOptions,
): LeaveOneOutResult[] {
  checkLabelCount(features, exampleLabels);
  const classes = indexClasses(exampleLabels);
  checkLeaveOneOut(classes);
  const { ks, vote, compare, allowed } = options;
  const n = exampleLabels.length;
  const nClasses = classes.labels.length;
  const largest = Math.max(...ks);
  const chosen = options.heads
    ? new Array<ArrayLike<number>>(n).fill(options.heads.slice(0, largest))
    : chooseHeadsPerFold(features, classes, options, largest);

  const opinions = new Map<number, HeadOpinion>();
  for (const heads of new Set(chosen)) {
    for (let rank = 0; rank < heads.length; rank++) {
      const h = heads[rank];
      if (!opinions.has(h)) opinions.set(h, headOpinion(features, classes, h, compare, vote));
    }
  }
  const results = ks.map((k) => ({ k, accuracy: 0, predicted: new Int32Array(n), lead: new Float64Array(n) }));
  for (let i = 0; i < n; i++) {
    const tally = new Tally(vote, nClasses, allowed?.[i]);
    let at = 0;
    for (let rank = 0; rank < largest; rank++) {
      const opinion = opinions.get(chosen[i][rank])!;
      tally.add(opinion.scores, i * nClasses, opinion.weights);
      if (rank + 1 !== ks[at]) continue;
      const result = results[at++];
      result.predicted[i] = tally.winner();
      result.lead[i] = tally.lead();
    }
  }
  for (const result of results) {
    const right = result.predicted.reduce((count, c, i) => count + (c === classes.classOf[i] ? 1 : 0), 0);
    result.accuracy = right / n;
  }
  return results;
}

interface HeadOpinion {
  /** [n, nClasses], example i judged without i. */
  scores: Float64Array;
  /** [n, nClasses], made without example i. */
  weights?: Float64Array;
}

function headOpinion(
  features: HeadFeatures,
  classes: ClassIndex,
  h: number,
  compare: Compare,
  vote: Vote,
): HeadOpinion {
  const { dHead, vectors } = features;
  const x = gatherHead(vectors, h, dHead);
  const scores = leaveOneOutScores(x, classes, dHead, compare);
  if (vote !== 'weighted') return { scores };
  const nClasses = classes.labels.length;
  const n = vectors.length;
  const weights = new Float64Array(n * nClasses);
  // With cosine, the other examples are judged without i as well. A Gaussian would need a new inverse for each pair.
  const folds = compare === 'cosine' ? new HeadFolds(x, classes, dHead) : undefined;
  const votes = rowMaxima(scores, nClasses);
  for (let i = 0; i < n; i++) {
    if (folds) folds.judge(i, 'leave-one-out', votes);
    const { right, said } = reliabilities(votes, classes.classOf, nClasses, i);
    for (let c = 0; c < nClasses; c++) weights[i * nClasses + c] = reliability(right[c], said[c], nClasses);
  }
  return { scores, weights };
}

/** For each example, the best `largest` heads by the scores of the other examples. */
function chooseHeadsPerFold(
  features: HeadFeatures,
  classes: ClassIndex,
  options: LeaveOneOutOptions,
  largest: number,
): Int32Array[] {
  const { dHead, vectors, nLayers, nHeads } = features;
  const pool = options.pool ?? Array.from({ length: nLayers * nHeads }, (_, h) => h);
  const n = vectors.length;
  const correct = Array.from({ length: n }, () => new Int32Array(pool.length));
  const margin = Array.from({ length: n }, () => new Float64Array(pool.length));
  const votes = new Int32Array(n);
  for (const [p, h] of pool.entries()) {
    const folds = new HeadFolds(gatherHead(vectors, h, dHead), classes, dHead);
    for (let i = 0; i < n; i++) {
      margin[i][p] = folds.judge(i, options.scoring, votes);
      let right = 0;
      for (let j = 0; j < n; j++) if (votes[j] === classes.classOf[j]) right++;
      correct[i][p] = right;
    }
  }
  return correct.map((scores, i) =>
    orderHeads(scores, margin[i])
      .subarray(0, largest)
      .map((p) => pool[p]),
  );
}

/** One head's votes on all other examples when one is left out. */
class HeadFolds {
  private readonly classes: ClassIndex;
  private readonly n: number;
  /** Dot products of examples, [n, n]. */
  private readonly gram: Float64Array;
  /** Dot products of examples with class sums, [n, nClasses]. */
  private readonly toSum: Float64Array;
  /** Squared norms of class sums. */
  private readonly sumSquares: Float64Array;
  private readonly norms: Float64Array;
  /** Per example: similarity to its own class without itself, and to the best two other classes. */
  private readonly own: Record<Scoring, Float64Array>;
  private readonly best: { value: Float64Array; index: Int32Array }[];

  /** `x`: the head's vectors, [n, dHead]. */
  constructor(x: Float64Array, classes: ClassIndex, dHead: number) {
    const { classOf, counts } = classes;
    const n = classOf.length;
    const nClasses = counts.length;
    this.classes = classes;
    this.n = n;
    this.gram = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) {
        this.gram[i * n + j] = this.gram[j * n + i] = dot(x, i * dHead, x, j * dHead, dHead);
      }
    }
    this.toSum = new Float64Array(n * nClasses);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) this.toSum[i * nClasses + classOf[j]] += this.gram[i * n + j];
    }
    this.sumSquares = new Float64Array(nClasses);
    for (let i = 0; i < n; i++) this.sumSquares[classOf[i]] += this.toSum[i * nClasses + classOf[i]];
    this.norms = Float64Array.from({ length: n }, (_, i) => Math.max(Math.sqrt(this.gram[i * n + i]), MIN_NORM));
    this.own = { train: new Float64Array(n), 'leave-one-out': new Float64Array(n) };
    this.best = [0, 1].map(() => ({
      value: new Float64Array(n).fill(Number.NEGATIVE_INFINITY),
      index: new Int32Array(n).fill(nClasses),
    }));
    for (let j = 0; j < n; j++) {
      for (let c = 0; c < nClasses; c++) {
        const toSum = this.toSum[j * nClasses + c];
        const all = this.similarity(j, toSum, this.sumSquares[c], counts[c]);
        if (c !== classOf[j]) {
          this.offer(j, all, c);
          continue;
        }
        const square = this.gram[j * n + j];
        this.own.train[j] = all;
        this.own['leave-one-out'][j] = this.similarity(
          j,
          toSum - square,
          this.sumSquares[c] - 2 * toSum + square,
          counts[c] - 1,
        );
      }
    }
  }

  /**
   * Votes of the head on every example but `i`, in a training set without `i`, are written to `votes` (-1 for `i`, and
   * for an example that would then be alone in its class while scoring is leave-one-out).
   * @returns the mean leave-one-out margin.
   */
  judge(i: number, scoring: Scoring, votes: Int32Array): number {
    const { classes, gram, n, toSum, sumSquares } = this;
    const { classOf, counts } = classes;
    const nClasses = counts.length;
    const lost = classOf[i];
    const lostCount = counts[lost] - 1;
    const lostSquare = sumSquares[lost] - 2 * toSum[i * nClasses + lost] + gram[i * n + i];
    const [first, second] = this.best;
    let marginSum = 0;
    let judged = 0;
    for (let j = 0; j < n; j++) {
      votes[j] = -1;
      if (j === i) continue;
      const mine = classOf[j];
      let other = first.value[j];
      let otherClass = first.index[j];
      const toLost = toSum[j * nClasses + lost] - gram[i * n + j];
      let trained: number;
      let leftOut: number;
      if (mine === lost) {
        const square = gram[j * n + j];
        trained = this.similarity(j, toLost, lostSquare, lostCount);
        leftOut = this.similarity(j, toLost - square, lostSquare - 2 * toLost + square, lostCount - 1);
      } else {
        trained = this.own.train[j];
        leftOut = this.own['leave-one-out'][j];
        if (otherClass === lost) {
          other = second.value[j];
          otherClass = second.index[j];
        }
        const similarity = this.similarity(j, toLost, lostSquare, lostCount);
        if (similarity > other || (similarity === other && lost < otherClass)) {
          other = similarity;
          otherClass = lost;
        }
      }
      if (!Number.isNaN(leftOut)) {
        marginSum += leftOut - other;
        judged++;
      }
      const own = scoring === 'train' ? trained : leftOut;
      if (Number.isNaN(own)) continue;
      votes[j] = own > other || (own === other && mine < otherClass) ? mine : otherClass;
    }
    return judged === 0 ? 0 : marginSum / judged;
  }

  /** Cosine of example j to a sum of `count` vectors, by dot product and squared norm. NaN for an empty sum. */
  private similarity(j: number, toSum: number, sumSquare: number, count: number): number {
    if (count === 0) return Number.NaN;
    const norm = Math.max(Math.sqrt(Math.max(sumSquare, 0)) / count, MIN_NORM);
    return toSum / count / (this.norms[j] * norm);
  }

  /** Keeps the best two other classes of example j; classes are offered in order, so the first of equals stays. */
  private offer(j: number, value: number, c: number): void {
    const [first, second] = this.best;
    if (value > first.value[j]) {
      second.value[j] = first.value[j];
      second.index[j] = first.index[j];
      first.value[j] = value;
      first.index[j] = c;
    } else if (value > second.value[j]) {
      second.value[j] = value;
      second.index[j] = c;
    }
  }
}

/** Class scores of one head for each of its training vectors x [n, dHead], the example left out: [n, nClasses]. */
export function leaveOneOutScores(x: Float64Array, classes: ClassIndex, dHead: number, compare: Compare): Float64Array {
  const sums = classSums(x, classes, dHead);
  if (compare === 'cosine') return trainingSimilarities(x, sums, classes, dHead, true);
  const moments = { counts: classes.counts, sums, products: outerProducts(x, dHead) };
  return gaussianLeaveOneOut(x, classes.classOf, moments, dHead);
}
