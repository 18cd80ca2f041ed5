// How the selected heads' opinions become one label.
import { firstMaximum } from './scoring.ts';

/**
 * - `majority`: one head, one vote for its best class (the published rule).
 * - `soft`: the heads' class scores are summed.
 * - `weighted`: a head's vote for a class counts as much as the head was right, leave-one-out, when it said that class
 *   (class-by-head weights, the idea of CALM, arXiv 2602.07077; the weights are ours, see `reliability`).
 */
export type Vote = 'majority' | 'soft' | 'weighted';

/** The count of one query's votes. Heads are added in rank order; the winner can be asked for after each. */
export class Tally {
  /** What decides: votes, summed scores or summed weights, per class. */
  readonly totals: Float64Array;
  /** Heads whose best class this is, per class. */
  readonly votes: Int32Array;
  private readonly rule: Vote;
  private readonly allowed: readonly number[];
  private readonly firstVote: Float64Array;
  private heads = 0;

  /** `allowed`: the classes that may win, in class order. */
  constructor(rule: Vote, nClasses: number, allowed?: readonly number[]) {
    this.rule = rule;
    this.allowed = allowed ?? Array.from({ length: nClasses }, (_, c) => c);
    this.totals = new Float64Array(nClasses);
    this.votes = new Int32Array(nClasses);
    this.firstVote = new Float64Array(nClasses).fill(Number.POSITIVE_INFINITY);
  }

  /**
   * Adds one head, whose class scores start at `start` in `scores` (and in `weights`, for weighted votes).
   * @returns the class it votes for; the first of equals.
   */
  add(scores: Float64Array, start: number, weights?: Float64Array): number {
    const vote = this.bestAllowed((c) => scores[start + c]);
    this.votes[vote]++;
    if (this.firstVote[vote] > this.heads) this.firstVote[vote] = this.heads;
    this.heads++;
    if (this.rule === 'majority') this.totals[vote]++;
    else if (this.rule === 'weighted') this.totals[vote] += weights![start + vote];
    else for (const c of this.allowed) this.totals[c] += scores[start + c];
    return vote;
  }

  /** The class with the largest total; of equals, the one that was voted for first in head order. */
  winner(): number {
    let best = this.allowed[0];
    for (const c of this.allowed) {
      const gap = this.totals[c] - this.totals[best];
      if (gap > 0 || (gap === 0 && this.firstVote[c] < this.firstVote[best])) best = c;
    }
    return best;
  }

  /** How clear the result is: the winner's total less the runner-up's, per head. 0 with a single allowed class. */
  lead(): number {
    const winner = this.winner();
    let second = Number.NEGATIVE_INFINITY;
    for (const c of this.allowed) if (c !== winner && this.totals[c] > second) second = this.totals[c];
    return second === Number.NEGATIVE_INFINITY ? 0 : (this.totals[winner] - second) / this.heads;
  }

  private bestAllowed(score: (c: number) => number): number {
    let best = this.allowed[0];
    for (const c of this.allowed) if (score(c) > score(best)) best = c;
    return best;
  }
}

/**
 * How far a head is to be believed when it says a class: of the examples that it gave that class, the share that is
 * right, drawn towards chance by two imaginary examples (so that one lucky vote is not certainty).
 */
export function reliability(right: number, said: number, nClasses: number): number {
  const imaginary = 2;
  return (right + imaginary / nClasses) / (said + imaginary);
}

/** How often one head said each class, and was right, by its leave-one-out votes (-1: none); those of `skip` do not count. */
export function reliabilities(
  votes: ArrayLike<number>,
  classOf: ArrayLike<number>,
  nClasses: number,
  skip: readonly number[] = [],
): { right: Int32Array; said: Int32Array } {
  const right = new Int32Array(nClasses);
  const said = new Int32Array(nClasses);
  for (let j = 0; j < votes.length; j++) {
    if (votes[j] < 0 || skip.includes(j)) continue;
    said[votes[j]]++;
    if (votes[j] === classOf[j]) right[votes[j]]++;
  }
  return { right, said };
}

/** Each row's best class in [rows, nClasses]. */
export function rowMaxima(scores: Float64Array, nClasses: number): Int32Array {
  return Int32Array.from({ length: scores.length / nClasses }, (_, i) => firstMaximum(scores, i * nClasses, nClasses));
}
