// What a fitted classifier is, as plain data: what its file holds.
import type { Head } from '../base/heads.ts';
import type { MadeWith } from '../checkpoint/made-with.ts';
import type { Calibration } from './calibration.ts';
import type { Compare } from './comparisons.ts';
import type { Scoring } from './scoring.ts';
import type { Vote } from './votes.ts';

/** A head chosen for a task, with the figures that it was chosen by. */
export interface SelectedHead extends Head {
  /** Training examples it got right, of `nExamples`. */
  readonly correct: number;
  /** Mean leave-one-out margin. */
  readonly margin: number;
}

/** Everything a classifier is. Arrays over heads follow `heads`; arrays over classes follow `labels`. */
export interface ClassifierData {
  /** Hash of the model that it was fitted on. */
  readonly modelId: string;
  readonly precision?: string;
  /** The processor's files and the code that the training vectors were made with. */
  readonly madeWith?: MadeWith;
  /** Sizes of the model. */
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dHead: number;
  /** Name of the prompt set that the examples were written with. */
  readonly promptSet: string;
  /** The training prompt, where all examples had the same one. */
  readonly prompt?: string;
  /** Pictures of each training example, where all had as many and none a video. */
  readonly images?: number;
  readonly scoring: Scoring;
  readonly vote: Vote;
  readonly compare: Compare;
  /** Best head first. */
  readonly heads: readonly SelectedHead[];
  /** Training examples when the heads were chosen. */
  readonly nExamples: number;
  /** Examples added or removed since; the choice of heads does not know of them. */
  readonly changes: number;
  /** The classes. */
  readonly labels: readonly string[];
  /** Training examples of each class. */
  readonly counts: readonly number[];
  /** Sums of vectors, [heads, classes, dHead]. */
  readonly sums: Float64Array;
  /** Sums of outer products, [heads, dHead, dHead]; only to compare by Gaussian. */
  readonly products?: Float64Array;
  /** Leave-one-out votes for a class, and how many of them were right: [heads, classes]; only for weighted votes. */
  readonly said?: Int32Array;
  readonly right?: Int32Array;
  /** What turns a vote into a confidence; absent where there was no leave-one-out. */
  readonly calibration?: Calibration;
  /** Leave-one-out accuracy on the training examples, choice of heads and of their number included. */
  readonly leaveOneOutAccuracy?: number;
  /** When no label is given. Absent: every query gets one. */
  readonly refusal?: Refusal;
  /** The training examples; absent in classifiers of older files. */
  readonly examples?: KeptExamples;
}

/** When a query gets no label. */
export interface Refusal {
  /** Below this confidence. */
  readonly abstain?: number;
  /**
   * Where it lies farther from the class than all but this share of left-out examples ('none of these'): the share of pictures
   * of the classes that is falsely refused.
   */
  readonly noneOfThese?: number;
}

/** The training examples, as the chosen heads see them. */
export interface KeptExamples {
  /** One [heads, dHead] array an example. */
  readonly vectors: readonly Float32Array[];
  /** Class of each. */
  readonly classOf: Int32Array;
  /** Examples with equal numbers show the same, and are left out together. */
  readonly groups: Int32Array;
  /**
   * Whether each was classified rightly when the heads were chosen without it: 1 or 0; -1 where that was not judged, or the
   * heads were chosen before it came. The heads know the others, so a later leave-one-out alone would think too well of them.
   */
  readonly judged: Int32Array;
}
