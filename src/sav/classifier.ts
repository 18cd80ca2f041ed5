// A fitted classifier: the selected heads and, for each, counts and sums of every class's vectors. Centroids follow
// from those, so examples and classes come and go without another look at the rest of the training set.
import type { MadeWith } from '../checkpoint/made-with.ts';
import { type Calibration, confidenceOf } from './calibration.ts';
import { addOuter, gaussianRule, type LinearRule, logPosteriors } from './gaussian.ts';
import type { Compare } from './leave-one-out.ts';
import { dot, type Head, MIN_NORM, type Scoring } from './scoring.ts';
import { reliability, Tally, type Vote } from './votes.ts';

/** A head chosen for a task, with the figures that it was chosen by. */
export interface SelectedHead extends Head {
  /** Training examples it got right, of `nExamples`. */
  readonly correct: number;
  /** Mean leave-one-out margin. */
  readonly margin: number;
}

/** Everything a classifier is. Arrays over heads follow `heads`; arrays over classes follow `labels`. */
export interface ClassifierData {
  readonly modelId: string;
  readonly precision?: string;
  /** The processor's files and the code that the training vectors were made with. */
  readonly madeWith?: MadeWith;
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
  readonly heads: readonly SelectedHead[];
  /** Training examples when the heads were chosen. */
  readonly nExamples: number;
  /** Examples added or removed since; scores, weights and calibration do not know of them. */
  readonly changes: number;
  readonly labels: readonly string[];
  readonly counts: readonly number[];
  /** Sums of vectors, [heads, classes, dHead]. */
  readonly sums: Float64Array;
  /** Sums of outer products, [heads, dHead, dHead]; only to compare by Gaussian. */
  readonly products?: Float64Array;
  /** Leave-one-out votes for a class, and how many of them were right: [heads, classes]; only for weighted votes. */
  readonly said?: Int32Array;
  readonly right?: Int32Array;
  readonly calibration?: Calibration;
  /** Leave-one-out accuracy on the training examples, choice of heads and of their number included. */
  readonly leaveOneOutAccuracy?: number;
}

export interface HeadVote extends Head {
  readonly label: string;
  /** Cosine similarity to each class's centroid, or log posterior of each class; in the order of the labels. */
  readonly scores: readonly number[];
}

export interface Prediction {
  readonly label: string;
  /** Probability of being right, by leave-one-out; absent where the classifier was not calibrated. */
  readonly confidence?: number;
  /** Heads that vote for each label, in the order of the labels. */
  readonly votes: readonly number[];
  /** What decided: the votes themselves, summed scores, or summed weights. */
  readonly totals: readonly number[];
  /** Best head first. */
  readonly heads: readonly HeadVote[];
}

/** Classifies head vectors. Immutable: adding and removing examples returns another classifier. */
export class SavClassifier {
  readonly data: ClassifierData;
  /** Centroids [heads, classes, dHead] with their norms [heads, classes], or Gaussian rules. */
  private readonly centroids: Float64Array;
  private readonly norms: Float64Array;
  private readonly rules: LinearRule[] | undefined;
  private readonly weights: Float64Array | undefined;

  constructor(data: ClassifierData) {
    this.data = data;
    const { heads, labels, counts, sums, dHead, products, said, right } = data;
    const nClasses = labels.length;
    this.centroids = sums.map((value, i) => value / counts[Math.floor(i / dHead) % nClasses]);
    this.norms = Float64Array.from({ length: heads.length * nClasses }, (_, i) =>
      Math.max(Math.sqrt(dot(this.centroids, i * dHead, this.centroids, i * dHead, dHead)), MIN_NORM),
    );
    if (products) {
      const square = dHead * dHead;
      this.rules = heads.map((_, h) =>
        gaussianRule(
          {
            counts,
            sums: sums.subarray(h * nClasses * dHead, (h + 1) * nClasses * dHead),
            products: products.subarray(h * square, (h + 1) * square),
          },
          dHead,
        ),
      );
    }
    if (said && right) this.weights = Float64Array.from(said, (n, i) => reliability(right[i], n, nClasses));
  }

  /** The deepest layer that a query needs. */
  get maxLayer(): number {
    return Math.max(...this.data.heads.map(({ layer }) => layer));
  }

  /**
   * Classifies one example by its head vectors [layers, nHeads, dHead], where layers reach at least `maxLayer`.
   * `candidates` limits the vote to these labels.
   */
  classify(vectors: Float32Array, options: { candidates?: readonly string[] } = {}): Prediction {
    const { heads, labels, calibration, vote } = this.data;
    const nClasses = labels.length;
    const scores = this.headScores(vectors);
    const tally = new Tally(vote, nClasses, options.candidates && this.classIndices(options.candidates));
    const headVotes = heads.map(({ layer, head }, h) => ({
      layer,
      head,
      label: labels[tally.add(scores, h * nClasses, this.weights)],
      scores: Array.from(scores.subarray(h * nClasses, (h + 1) * nClasses)),
    }));
    return {
      label: labels[tally.winner()],
      confidence: calibration && confidenceOf(calibration, tally.lead()),
      votes: Array.from(tally.votes),
      totals: Array.from(tally.totals),
      heads: headVotes,
    };
  }

  /** With one more example. A label that is new becomes the last class. */
  add(vectors: Float32Array, label: string): SavClassifier {
    const index = this.data.labels.indexOf(label);
    const grown = index < 0 ? withClass(this.data, label) : this.data;
    return new SavClassifier(this.changed(grown, vectors, index < 0 ? this.data.labels.length : index, 1));
  }

  /**
   * Without an example that was fitted or added before, given by the same vectors and label (nothing can tell a vector
   * that never was in the sums). A class that loses its last example goes.
   */
  remove(vectors: Float32Array, label: string): SavClassifier {
    const index = this.classIndices([label])[0];
    const last = this.data.counts[index] === 1;
    if (last) this.checkRemovable(label);
    const data = this.changed(this.data, vectors, index, -1);
    return new SavClassifier(last ? withoutClass(data, index) : data);
  }

  /** Without a class. A Gaussian classifier's must be emptied by `remove`: its scatter is kept for all classes at once. */
  removeClass(label: string): SavClassifier {
    const index = this.classIndices([label])[0];
    this.checkRemovable(label);
    const { counts, products, changes } = this.data;
    if (products)
      throw new Error(`cannot take '${label}' from a Gaussian classifier at once: remove its examples one by one`);
    return new SavClassifier(withoutClass({ ...this.data, changes: changes + counts[index] }, index));
  }

  private checkRemovable(label: string): void {
    if (this.data.labels.length <= 2)
      throw new Error(`cannot remove '${label}': a classifier needs at least two labels`);
  }

  private changed(data: ClassifierData, vectors: Float32Array, classIndex: number, sign: 1 | -1): ClassifierData {
    this.checkVectors(vectors);
    const { heads, dHead, nHeads, labels } = data;
    const sums = data.sums.slice();
    const products = data.products?.slice();
    for (const [h, { layer, head }] of heads.entries()) {
      const from = (layer * nHeads + head) * dHead;
      const to = (h * labels.length + classIndex) * dHead;
      for (let d = 0; d < dHead; d++) sums[to + d] += sign * vectors[from + d];
      if (products) addOuter(products.subarray(h * dHead * dHead, (h + 1) * dHead * dHead), vectors, from, dHead, sign);
    }
    const counts = data.counts.map((count, c) => count + (c === classIndex ? sign : 0));
    return { ...data, sums, products, counts, changes: data.changes + 1 };
  }

  /** Class scores of each head, [heads, classes]. */
  private headScores(vectors: Float32Array): Float64Array {
    this.checkVectors(vectors);
    const { heads, labels, nHeads, dHead } = this.data;
    const nClasses = labels.length;
    const scores = new Float64Array(heads.length * nClasses);
    for (const [h, { layer, head }] of heads.entries()) {
      const from = (layer * nHeads + head) * dHead;
      const x = Float64Array.from(vectors.subarray(from, from + dHead));
      if (this.rules) {
        logPosteriors(this.rules[h], x, 0, scores, h * nClasses);
        continue;
      }
      const norm = Math.max(Math.sqrt(dot(x, 0, x, 0, dHead)), MIN_NORM);
      for (let i = h * nClasses; i < (h + 1) * nClasses; i++) {
        scores[i] = dot(x, 0, this.centroids, i * dHead, dHead) / (norm * this.norms[i]);
      }
    }
    return scores;
  }

  private classIndices(wanted: readonly string[]): number[] {
    const { labels } = this.data;
    const unknown = wanted.filter((label) => !labels.includes(label));
    if (unknown.length > 0 || wanted.length === 0) {
      throw new Error(
        `expected some of the classifier's labels (${labels.join(', ')}), got ${unknown.map((label) => `'${label}'`).join(', ') || 'none'}`,
      );
    }
    return [...new Set(wanted.map((label) => labels.indexOf(label)))].sort((a, b) => a - b);
  }

  private checkVectors(vectors: Float32Array): void {
    const { nHeads, dHead } = this.data;
    const layers = vectors.length / (nHeads * dHead);
    if (!Number.isInteger(layers) || layers <= this.maxLayer) {
      throw new Error(
        `expected head vectors [${this.maxLayer + 1} or more, ${nHeads}, ${dHead}], got ${vectors.length} values`,
      );
    }
  }
}

function withClass(data: ClassifierData, label: string): ClassifierData {
  const nClasses = data.labels.length;
  return {
    ...data,
    labels: [...data.labels, label],
    counts: [...data.counts, 0],
    sums: regroup(data.sums, nClasses * data.dHead, (row) => Float64Array.of(...row, ...new Float64Array(data.dHead))),
    said: data.said && Int32Array.from(regroup(data.said, nClasses, (row) => Float64Array.of(...row, 0))),
    right: data.right && Int32Array.from(regroup(data.right, nClasses, (row) => Float64Array.of(...row, 0))),
  };
}

function withoutClass(data: ClassifierData, index: number): ClassifierData {
  const nClasses = data.labels.length;
  const drop = (row: ArrayLike<number>, size: number) =>
    Float64Array.from(Array.from(row).filter((_, i) => Math.floor(i / size) !== index));
  return {
    ...data,
    labels: data.labels.filter((_, c) => c !== index),
    counts: data.counts.filter((_, c) => c !== index),
    sums: regroup(data.sums, nClasses * data.dHead, (row) => drop(row, data.dHead)),
    said: data.said && Int32Array.from(regroup(data.said, nClasses, (row) => drop(row, 1))),
    right: data.right && Int32Array.from(regroup(data.right, nClasses, (row) => drop(row, 1))),
  };
}

/** Applies `change` to each row of `size` values and joins the results. */
function regroup(
  values: Float64Array | Int32Array,
  size: number,
  change: (row: ArrayLike<number> & Iterable<number>) => Float64Array,
): Float64Array {
  const rows: Float64Array[] = [];
  for (let start = 0; start < values.length; start += size) rows.push(change(values.subarray(start, start + size)));
  const joined = new Float64Array(rows.reduce((total, row) => total + row.length, 0));
  let at = 0;
  for (const row of rows) {
    joined.set(row, at);
    at += row.length;
  }
  return joined;
}
