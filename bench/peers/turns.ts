// What is measured end to end. Apart from model.ts, which loads ONNX Runtime.
import { median } from '../../src/verify/benchmark.ts';

/** Of one round, in milliseconds. */
export interface Turn {
  /** To the first token. */
  readonly first: number;
  /** Of each token after it. */
  readonly later: number;
  /** Of one prompt's forward: ours gives the head vectors of a batch, theirs the logits of one prompt. */
  readonly forward: number;
}

export interface ModelRow {
  readonly peer: string;
  /** Largest difference of the last position's logits, as a part of the largest logit. */
  readonly worst: number;
  readonly sameTokens: boolean;
  readonly ours: readonly Turn[];
  readonly theirs: readonly Turn[];
}

/** Logits may differ by so much of the largest: both compute in f32. */
export const logitTolerance = 1e-4;

/** The median over the rounds of ours over theirs. */
export const turnRatio = ({ ours, theirs }: ModelRow, of: keyof Turn): number =>
  median(ours.map((turn, i) => turn[of] / theirs[i][of]));
