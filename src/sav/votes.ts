// How the selected heads' opinions become one label.
import { firstMaximum } from './scoring.ts';

interface VoteRule {
  /** For the help text of the command line. */
  readonly help: string;
  /** How the heads decide, for the report: `20 heads, chosen …, compare …; ` and this. */
  readonly words: string;
  /** Whether heads bring weights: `said` and `right` are then counted when a classifier is made, and kept with it. */
  readonly isWeighted: boolean;
  /** Adds one head's opinion to the totals of the classes. */
  readonly add: (totals: Float64Array, opinion: Opinion) => void;
}

interface Opinion {
  /** The head's best class among those that may win. */
  readonly vote: number;
  readonly allowed: readonly number[];
  /** The head's score of class c is `scores[start + c]`, its weight `weights[start + c]`. */
  readonly scores: Float64Array;
  readonly start: number;
  /** Of a weighted rule only. */
  readonly weights?: Float64Array;
}

/** The rules by which heads vote: the choices of `fit --vote`, what classifier files may hold, what the report says. */
export const voteRules = {
  /** The published rule: one head, one vote for its best class. */
  majority: {
    help: 'majority',
    words: 'one head, one vote',
    isWeighted: false,
    add: (totals, { vote }) => {
      totals[vote]++;
    },
  },
  /** The heads' class scores are summed. */
  soft: {
    help: 'soft (summed similarities)',
    words: 'their scores are summed, so that a sure head counts for more than its one vote',
    isWeighted: false,
    add: (totals, { allowed, scores, start }) => {
      for (const c of allowed) totals[c] += scores[start + c];
    },
  },
  /**
   * A head's vote for a class counts as much as the head was right, leave-one-out, when it said that class (class-by-head
   * weights, the idea of CALM, arXiv 2602.07077; the weights are ours, see `reliability`).
   */
  weighted: {
    help: 'weighted (by leave-one-out reliability)',
    words: 'a vote counts as much as the head was right when it gave that label',
    isWeighted: true,
    add: (totals, { vote, start, weights }) => {
      totals[vote] += weights![start + vote];
    },
  },
} as const satisfies Record<string, VoteRule>;

export type Vote = keyof typeof voteRules;

/** The count of one query's votes. Heads are added in rank order; the winner can be asked for after each. */
export class Tally {
  /** What decides: votes, summed scores or summed weights, per class. */
  readonly totals: Float64Array;
  /** Heads whose best class this is, per class. */
  readonly votes: Int32Array;
  private readonly rule: VoteRule;
  private readonly allowed: readonly number[];
  private readonly firstVote: Float64Array;
  private heads = 0;

  /** `allowed`: the classes that may win, in class order. */
  constructor(rule: Vote, nClasses: number, allowed?: readonly number[]) {
    this.rule = voteRules[rule];
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
    this.rule.add(this.totals, { vote, allowed: this.allowed, scores, start, weights });
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
