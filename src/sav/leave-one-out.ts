// The whole classifier judged by leave-one-out, honestly: heads are chosen again for each example that is left out.
//
// Ranking heads once and then leaving an example out would be optimistic, because the ranking has already seen whether
// each head gets that example right. Choosing again for each example sounds n times as dear; with the n x n dot
// products of a head's vectors at hand, taking one or two examples out of a sum is a few additions.
//
// What is left out is a group: the rows that show one picture (groups.ts); of a training set without repeats, one example.

import { greatest } from '../base/extremes.ts';
import type { InPieces } from '../base/pieces.ts';
import { type ClassIndex, indexClasses } from './class-index.ts';
import { type Compare, comparisons } from './comparisons.ts';
import { DataError } from './errors.ts';
import type { HeadFeatures } from './features.ts';
import { type Groups, groupExamples, type Share, sharesOf } from './groups.ts';
import { checkLabelCount, dot, gatherHead, MIN_NORM, orderHeads, type Scoring, scorings } from './scoring.ts';
import { reliabilities, reliability, rowMaxima, Tally, type Vote, voteRules } from './votes.ts';

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
  /** Examples that are left out together. Default: those that `groupExamples` finds. */
  groups?: Groups;
}

/** What leave-one-out says of one number of heads. */
export interface LeaveOneOutResult {
  readonly k: number;
  /** Of the examples that can be left out. */
  accuracy: number;
  /** Class that each example gets from a classifier fitted without it; -1 where that would leave a class empty. */
  readonly predicted: Int32Array;
  /** `Tally.lead` of each. */
  readonly lead: Float64Array;
}

/**
 * One result for each k: example i is classified by heads chosen, and centroids made, without it. A head is a piece.
 * @throws DataError where no example can be left out: every class is one example, or one picture.
 */
export function leaveOneOut(
  features: HeadFeatures,
  exampleLabels: readonly string[],
  options: LeaveOneOutOptions,
): InPieces<LeaveOneOutResult[]> {
  checkLabelCount(features, exampleLabels);
  return judgeWithout(features, indexClasses(exampleLabels), options);
}

/** The same, with the classes given. */
export function* judgeWithout(
  features: HeadFeatures,
  classes: ClassIndex,
  options: LeaveOneOutOptions,
): InPieces<LeaveOneOutResult[]> {
  const { ks, vote, compare, allowed, groups = groupExamples(features) } = options;
  const n = classes.classOf.length;
  const nClasses = classes.labels.length;
  const canLeave = canLeaveOut(groups, classes);
  if (!canLeave.includes(true))
    throw new DataError('leave-one-out: every label has one example, and none can be left out');
  const largest = greatest(ks);
  const chosen = options.heads
    ? new Array<ArrayLike<number>>(groups.members.length).fill(options.heads.slice(0, largest))
    : yield* chooseHeadsPerFold(features, classes, groups, canLeave, options, largest);

  const opinions = new Map<number, HeadOpinion>();
  const voters = new Set(chosen.flatMap((heads) => Array.from(heads)));
  for (const h of voters) {
    opinions.set(h, headOpinion(features, classes, groups, h, compare, vote));
    yield { part: 'voting without each example', done: opinions.size, total: voters.size };
  }
  const results = ks.map((k) => ({ k, accuracy: 0, predicted: new Int32Array(n).fill(-1), lead: new Float64Array(n) }));
  let judged = 0;
  for (let i = 0; i < n; i++) {
    const g = groups.of[i];
    if (!canLeave[g]) continue;
    judged++;
    const tally = new Tally(vote, nClasses, allowed?.[i]);
    let at = 0;
    for (let rank = 0; rank < largest; rank++) {
      const opinion = opinions.get(chosen[g][rank])!;
      tally.add(opinion.scores, i * nClasses, opinion.weights);
      if (rank + 1 !== ks[at]) continue;
      const result = results[at++];
      result.predicted[i] = tally.winner();
      result.lead[i] = tally.lead();
    }
  }
  for (const result of results) {
    const right = result.predicted.reduce((count, c, i) => count + (c === classes.classOf[i] ? 1 : 0), 0);
    result.accuracy = right / judged;
  }
  return results;
}

/** Whether each group can be left out: every class keeps an example. */
export function canLeaveOut(groups: Groups, { classOf, counts }: ClassIndex): boolean[] {
  return groups.members.map((members) => {
    const rest = new Map<number, number>();
    for (const i of members) rest.set(classOf[i], (rest.get(classOf[i]) ?? counts[classOf[i]]) - 1);
    return ![...rest.values()].includes(0);
  });
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
  groups: Groups,
  h: number,
  compare: Compare,
  vote: Vote,
): HeadOpinion {
  const { dHead, vectors } = features;
  const x = gatherHead(vectors, h, dHead);
  const scores = comparisons[compare].leaveOneOut(x, classes, groups, dHead);
  if (!voteRules[vote].isWeighted) return { scores };
  const nClasses = classes.labels.length;
  const weights = new Float64Array(vectors.length * nClasses);
  // Where folds know, the other examples are judged without i as well.
  const folds = comparisons[compare].isOfFolds ? new HeadFolds(x, classes, groups, dHead) : undefined;
  const votes = looVotes(scores, nClasses);
  for (const [g, members] of groups.members.entries()) {
    if (folds) folds.judge(g, 'leave-one-out', votes);
    const { right, said } = reliabilities(votes, classes.classOf, nClasses, members);
    for (const i of members)
      for (let c = 0; c < nClasses; c++) weights[i * nClasses + c] = reliability(right[c], said[c], nClasses);
  }
  return { scores, weights };
}

/** Each example's best class by leave-one-out scores; -1 for one that cannot be left out. */
export function looVotes(scores: Float64Array, nClasses: number): Int32Array {
  const votes = rowMaxima(scores, nClasses);
  for (let i = 0; i < votes.length; i++)
    if (scores.subarray(i * nClasses, (i + 1) * nClasses).some(Number.isNaN)) votes[i] = -1;
  return votes;
}

/** For each group, the best `largest` heads by the scores of the other examples; none for a group that cannot be left out. */
function* chooseHeadsPerFold(
  features: HeadFeatures,
  classes: ClassIndex,
  groups: Groups,
  canLeave: readonly boolean[],
  options: LeaveOneOutOptions,
  largest: number,
): InPieces<Int32Array[]> {
  const { dHead, vectors, nLayers, nHeads } = features;
  const pool = options.pool ?? Array.from({ length: nLayers * nHeads }, (_, h) => h);
  const n = vectors.length;
  const correct = groups.members.map(() => new Int32Array(pool.length));
  const margin = groups.members.map(() => new Float64Array(pool.length));
  const votes = new Int32Array(n);
  for (const [p, h] of pool.entries()) {
    const folds = new HeadFolds(gatherHead(vectors, h, dHead), classes, groups, dHead);
    for (const [g, possible] of canLeave.entries()) {
      if (!possible) continue;
      margin[g][p] = folds.judge(g, options.scoring, votes);
      let right = 0;
      for (let j = 0; j < n; j++) if (votes[j] === classes.classOf[j]) right++;
      correct[g][p] = right;
    }
    yield { part: 'choosing heads without each example', done: p + 1, total: pool.length };
  }
  const chosen: Int32Array[] = [];
  for (const [g, possible] of canLeave.entries()) {
    const order = possible ? orderHeads(correct[g], margin[g]).subarray(0, largest) : new Int32Array();
    chosen.push(order.map((p) => pool[p]));
    yield { part: 'ordering heads without each example', done: g + 1, total: canLeave.length };
  }
  return chosen;
}

/** One head's votes on all other examples when a group is left out. */
class HeadFolds {
  private readonly classes: ClassIndex;
  private readonly groups: Groups;
  /** What a group has in one class, and which of those each group has. */
  private readonly shares: readonly Share[];
  private readonly ofGroup: readonly (readonly number[])[];
  /** Dot products of examples with sums of shares, [n, shares]; of those with one another; with class sums. */
  private readonly toShare: Float64Array;
  private readonly shareToShare: Float64Array;
  private readonly shareToSum: Float64Array;
  /** Dot products of examples with class sums, [n, nClasses]. */
  private readonly toSum: Float64Array;
  /** Squared norms of class sums. */
  private readonly sumSquares: Float64Array;
  private readonly norms: Float64Array;
  /** Per example: similarity to its own class, with itself and without its group. */
  private readonly own: { readonly whole: Float64Array; readonly leftOut: Float64Array };
  /** Per example: the other classes that are most similar, best first; one more than two groups can touch. */
  private readonly others: { class: number; similarity: number }[][];

  /** `x`: the head's vectors, [n, dHead]. */
  constructor(x: Float64Array, classes: ClassIndex, groups: Groups, dHead: number) {
    const { classOf, counts } = classes;
    const n = classOf.length;
    const nClasses = counts.length;
    this.classes = classes;
    this.groups = groups;
    const { shares, ofGroup } = sharesOf(groups, classes);
    this.shares = shares;
    this.ofGroup = ofGroup;
    const gram = new Float64Array(n * n);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j <= i; j++) gram[i * n + j] = gram[j * n + i] = dot(x, i * dHead, x, j * dHead, dHead);
    }
    // Without repeats share u is example u. Groups that cross classes may have as many shares as examples, in another order.
    const plain = shares.every(({ members }, u) => members.length === 1 && members[0] === u);
    this.toShare = plain ? gram : transposed(sumRows(gram, n, shares), shares.length, n);
    this.shareToShare = plain ? gram : sumRows(this.toShare, shares.length, shares);
    this.toSum = new Float64Array(n * nClasses);
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) this.toSum[i * nClasses + classOf[j]] += gram[i * n + j];
    }
    this.shareToSum = sumRows(this.toSum, nClasses, shares);
    this.sumSquares = new Float64Array(nClasses);
    for (let i = 0; i < n; i++) this.sumSquares[classOf[i]] += this.toSum[i * nClasses + classOf[i]];
    this.norms = Float64Array.from({ length: n }, (_, i) => Math.max(Math.sqrt(gram[i * n + i]), MIN_NORM));
    this.own = {
      whole: Float64Array.from(classOf, (c, j) => this.similarity(j, c)),
      leftOut: Float64Array.from(classOf, (c, j) => this.similarity(j, c, groups.of[j])),
    };
    const touched = greatest(ofGroup.map((own) => own.length));
    this.others = Array.from({ length: n }, (_, j) => {
      const best: { class: number; similarity: number }[] = [];
      for (let c = 0; c < nClasses; c++) {
        if (c === classOf[j]) continue;
        const similarity = this.similarity(j, c);
        // Classes come in order, so the first of equals stays first.
        let at = best.length;
        while (at > 0 && similarity > best[at - 1].similarity) at--;
        if (at < 2 * touched) best.splice(at, 0, { class: c, similarity });
        if (best.length > 2 * touched) best.pop();
      }
      return best;
    });
  }

  /**
   * Votes of the head on every example outside group `a`, in a training set without it, are written to `votes` (-1 for
   * the group's own, and for an example that cannot then be left out while scoring is leave-one-out).
   * @returns the mean leave-one-out margin.
   */
  judge(a: number, scoring: Scoring, votes: Int32Array): number {
    const { classOf } = this.classes;
    let marginSum = 0;
    let judged = 0;
    for (let j = 0; j < classOf.length; j++) {
      votes[j] = -1;
      const b = this.groups.of[j];
      if (b === a) continue;
      const mine = classOf[j];
      const touched = this.shareIn(a, mine) >= 0;
      const leftOut = touched ? this.similarity(j, mine, a, b) : this.own.leftOut[j];
      let other = this.bestOther(j, a, b);
      if (!Number.isNaN(leftOut) && !Number.isNaN(other.similarity)) {
        marginSum += leftOut - other.similarity;
        judged++;
      }
      let own = leftOut;
      if (!scorings[scoring].leavesOut) {
        own = touched ? this.similarity(j, mine, a) : this.own.whole[j];
        if (this.ofGroup[b].length > 1) other = this.bestOther(j, a);
      }
      if (Number.isNaN(own) || Number.isNaN(other.similarity)) continue;
      votes[j] = own > other.similarity || (own === other.similarity && mine < other.class) ? mine : other.class;
    }
    return judged === 0 ? 0 : marginSum / judged;
  }

  /** The most similar class but example j's own, without groups a and b; NaN where one of them leaves a class empty. */
  private bestOther(j: number, a: number, b = a): { class: number; similarity: number } {
    const mine = this.classes.classOf[j];
    let best = this.others[j].find((other) => this.shareIn(a, other.class) < 0 && this.shareIn(b, other.class) < 0) ?? {
      class: this.classes.counts.length,
      similarity: Number.NEGATIVE_INFINITY,
    };
    for (const group of a === b ? [a] : [a, b]) {
      for (const u of this.ofGroup[group]) {
        const c = this.shares[u].class;
        if (c === mine) continue;
        const similarity = this.similarity(j, c, a, b);
        if (Number.isNaN(similarity)) return { class: c, similarity };
        if (similarity > best.similarity || (similarity === best.similarity && c < best.class))
          best = { class: c, similarity };
      }
    }
    return best;
  }

  /** Cosine of example j to the centroid of class c without groups a and b. NaN for an empty class. */
  private similarity(j: number, c: number, a = -1, b = a): number {
    const [nClasses, nShares] = [this.classes.counts.length, this.shares.length];
    let toSum = this.toSum[j * nClasses + c];
    let square = this.sumSquares[c];
    let count = this.classes.counts[c];
    const ua = a < 0 ? -1 : this.shareIn(a, c);
    const ub = b < 0 || b === a ? -1 : this.shareIn(b, c);
    for (const u of [ua, ub]) {
      if (u < 0) continue;
      toSum -= this.toShare[j * nShares + u];
      square += this.shareToShare[u * nShares + u] - 2 * this.shareToSum[u * nClasses + c];
      count -= this.shares[u].members.length;
    }
    if (ua >= 0 && ub >= 0) square += 2 * this.shareToShare[ua * nShares + ub];
    if (count === 0) return Number.NaN;
    const norm = Math.max(Math.sqrt(Math.max(square, 0)) / count, MIN_NORM);
    return toSum / count / (this.norms[j] * norm);
  }

  /** The share that a group has in a class, or -1. */
  private shareIn(group: number, c: number): number {
    for (const u of this.ofGroup[group]) if (this.shares[u].class === c) return u;
    return -1;
  }
}

/** Sums of each share's rows of [n, width]: [shares, width]. */
function sumRows(rows: Float64Array, width: number, shares: readonly Share[]): Float64Array {
  const sums = new Float64Array(shares.length * width);
  for (const [u, { members }] of shares.entries())
    for (const i of members) for (let c = 0; c < width; c++) sums[u * width + c] += rows[i * width + c];
  return sums;
}

function transposed(values: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}
