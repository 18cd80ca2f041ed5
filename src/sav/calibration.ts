// Confidence: how likely a vote as clear as this one is right, times how usual the query's distance from the class is.
//
//   1 / (1 + exp(-(slope * lead + intercept))), at most `ceiling`, times min(1, p / usualFrom)
//
// The first says nothing of a picture that is like no class: a vote among classes is always clear somewhere. The second
// does: p is the probability that an example of the training set, left out, lies as far from the class that it is given.
import { studentTail } from './student.ts';

/** What turns the lead of a vote into a confidence. */
export interface Calibration {
  readonly slope: number;
  readonly intercept: number;
  /** No vote is believed more: (right + 1) / (right + 2), by leave-one-out. Absent in classifiers of older files. */
  readonly ceiling?: number;
  /** Distances of left-out examples from the class they are given. Absent where none could be measured. */
  readonly distance?: DistanceModel;
}

/** Logarithms of distances as a normal distribution of unknown mean and variance. */
export interface DistanceModel {
  readonly mean: number;
  readonly deviation: number;
  /** Examples (groups of equal ones count once) behind the two. */
  readonly examples: number;
}

/** A distance is usual, and costs no confidence, while as many left-out examples as this lie farther. */
const usualFrom = 0.05;

/** Distances below this are the same as none. */
const leastDistance = 1e-9;

/** Relative accuracy, at best, to which examples can tell how far is far. */
const leastDeviation = 0.05;

/**
 * Platt scaling (Platt 1999) of `lead` on whether the leave-one-out prediction was right, with his smoothed targets, so
 * that a training set without a mistake does not promise certainty, and with one imaginary example: a vote without any
 * lead is right as often as chance. Without it a training set without a mistake would say that all leads are as good.
 * Where a clearer vote is not more often right, the slope is 0 and every confidence is the leave-one-out accuracy.
 */
export function fitCalibration(lead: ArrayLike<number>, right: readonly boolean[], nClasses: number): Calibration {
  const n = right.length;
  const rights = right.filter(Boolean).length;
  const high = (rights + 1) / (rights + 2);
  const low = 1 / (n - rights + 2);
  const base = (rights * high + (n - rights) * low) / n;
  const constant = { slope: 0, intercept: Math.log(base / (1 - base)), ceiling: high };
  const leads = [...Array.from(lead), 0];
  const targets = [...right.map((value) => (value ? high : low)), 1 / nClasses];

  const mean = leads.reduce((a, b) => a + b, 0) / leads.length;
  const spread = Math.sqrt(leads.reduce((sum, value) => sum + (value - mean) ** 2, 0) / leads.length);
  if (!(spread > 1e-12)) return constant;

  // Newton's method on a convex loss in two unknowns; z is the standardised lead, the ridge keeps the step bounded.
  let slope = 0;
  let intercept = constant.intercept;
  const ridge = 1e-3;
  for (let step = 0; step < 50; step++) {
    let [ga, gb, haa, hab, hbb] = [ridge * slope, 0, ridge, 0, 1e-12];
    for (const [i, target] of targets.entries()) {
      const z = (leads[i] - mean) / spread;
      const p = logistic(slope * z + intercept);
      const w = p * (1 - p);
      ga += (p - target) * z;
      gb += p - target;
      haa += w * z * z;
      hab += w * z;
      hbb += w;
    }
    const determinant = haa * hbb - hab * hab;
    const da = (hbb * ga - hab * gb) / determinant;
    const db = (haa * gb - hab * ga) / determinant;
    slope -= da;
    intercept -= db;
    if (Math.abs(da) + Math.abs(db) < 1e-9) break;
  }
  if (!(slope > 0) || !Number.isFinite(intercept)) return constant;
  return { slope: slope / spread, intercept: intercept - (slope * mean) / spread, ceiling: high };
}

/**
 * @param distances of left-out examples from the class they are given
 * @param independent how many of them are of different pictures
 * @returns nothing for fewer than two: there is no spread to measure
 */
export function fitDistances(distances: readonly number[], independent: number): DistanceModel | undefined {
  if (independent < 2) return undefined;
  const logs = distances.map((distance) => Math.log(Math.max(distance, leastDistance)));
  const mean = logs.reduce((a, b) => a + b, 0) / logs.length;
  const variance = logs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (logs.length - 1);
  return { mean, deviation: Math.max(Math.sqrt(variance), leastDeviation), examples: independent };
}

/** The probability that another example of the classes lies at this distance or farther (predictive Student's t). */
export function tailOf({ mean, deviation, examples }: DistanceModel, distance: number): number {
  const z = (Math.log(Math.max(distance, leastDistance)) - mean) / (deviation * Math.sqrt(1 + 1 / examples));
  return studentTail(z, examples - 1);
}

/**
 * @param lead how clear the vote was (`Tally.lead`)
 * @param tail probability of such a distance (`tailOf`), where it is known
 */
export function confidenceOf({ slope, intercept, ceiling = 1 }: Calibration, lead: number, tail = 1): number {
  return Math.min(logistic(slope * lead + intercept), ceiling) * Math.min(1, tail / usualFrom);
}

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));
