// A fitted classifier: the selected heads and, for each, counts and sums of every class's vectors. Centroids follow
// from those, so examples and classes come and go without another look at the rest of the training set.
//
// A file of an older version holds those sums alone. Examples still come and go, but confidence is gone with the first
// change: it was measured on examples that are not there any more.

import { greatest } from '../base/extremes.ts';
import type { Head } from '../base/heads.ts';
import { atOnce } from '../base/pieces.ts';
import { InputError, NotFiniteError } from '../model/errors.ts';
import { confidenceOf, tailOf } from './calibration.ts';
import type { ClassifierData, KeptExamples, Refusal } from './classifier-data.ts';
import { comparisons, type HeadRule } from './comparisons.ts';
import { ClassifierError } from './errors.ts';
import { addOuter, gaussianRule, type LinearRule, outerProducts, squaredDistance } from './gaussian.ts';
import { classifierOf } from './kept-examples.ts';
import { sameVectors } from './same-vectors.ts';
import { gatherHead } from './scoring.ts';
import { reliability, Tally } from './votes.ts';

/** Among which labels a query is classified, and when it gets none. */
export interface ClassifyOptions {
  /** Labels among which the vote runs. Default: all. */
  candidates?: readonly string[];
  /** In place of the classifier's own; a field that is 0 switches that refusal off. */
  refusal?: Refusal;
}

export interface HeadVote extends Head {
  readonly label: string;
  /** Cosine similarity to each class's centroid, or log posterior of each class; in the order of the labels. */
  readonly scores: readonly number[];
}

/** What a classifier says of a query. */
export interface Prediction {
  /** The winner of the vote, or null where it is refused. */
  readonly label: string | null;
  /** Why there is no label: the picture is far from every class, or the confidence is too low. */
  readonly refused?: 'none of these' | 'unsure';
  /** The class that the vote gives, refused or not. */
  readonly winner: string;
  /** Probability of being right, by leave-one-out, in [0, 1]; absent where the classifier was not calibrated. */
  readonly confidence?: number;
  /** Probability that a picture of the classes lies as far from the winner as this one; absent where that was not measured. */
  readonly typicality?: number;
  /** Heads that vote for each label, in the order of the labels. */
  readonly votes: readonly number[];
  /** What decided: the votes themselves, summed scores, or summed weights. */
  readonly totals: readonly number[];
  /** Best head first. */
  readonly heads: readonly HeadVote[];
}

/** Classifies head vectors. Immutable: adding and removing examples returns another classifier. */
export class SavClassifier {
  /** All that it is, as plain data. */
  readonly data: ClassifierData;
  /** [heads, classes, dHead] */
  private readonly centroids: Float64Array;
  /** What each head compares queries by. */
  private readonly rules: readonly HeadRule[];
  /** To measure distances, of each head; absent where that is not to be done. */
  private readonly spreads: readonly LinearRule[] | undefined;
  private readonly weights: Float64Array | undefined;

  constructor(data: ClassifierData) {
    this.data = data;
    const { heads, labels, counts, sums, dHead, products, said, right, compare, examples } = data;
    const nClasses = labels.length;
    this.centroids = sums.map((value, i) => value / counts[Math.floor(i / dHead) % nClasses]);
    const square = dHead * dHead;
    const moments = heads.map((_, h) => ({
      counts,
      sums: sums.subarray(h * nClasses * dHead, (h + 1) * nClasses * dHead),
      products: products?.subarray(h * square, (h + 1) * square),
    }));
    this.rules = moments.map((own) => comparisons[compare].rule(own, dHead));
    if (data.calibration?.distance) {
      const spreads = this.rules.map(
        ({ spread }, h) =>
          spread ??
          (examples &&
            gaussianRule(
              { ...moments[h], products: outerProducts(gatherHead(examples.vectors, h, dHead), dHead) },
              dHead,
            )),
      );
      this.spreads = spreads.every((spread) => spread !== undefined) ? spreads : undefined;
    }
    if (said && right) this.weights = Float64Array.from(said, (n, i) => reliability(right[i], n, nClasses));
  }

  /** The deepest layer that a query needs. */
  get maxLayer(): number {
    return greatest(this.data.heads.map(({ layer }) => layer));
  }

  /**
   * Classifies one example by its head vectors [layers, nHeads, dHead], where layers reach at least `maxLayer`.
   * @throws InputError for vectors of another shape; NotFiniteError for those that are not finite; ClassifierError where a
   *   refusal is asked for that nothing was measured for.
   */
  classify(vectors: Float32Array, options: ClassifyOptions = {}): Prediction {
    const { heads, labels, calibration, vote } = this.data;
    const nClasses = labels.length;
    const refusal = this.refusalFor(options.refusal);
    const scores = this.headScores(vectors);
    const tally = new Tally(vote, nClasses, options.candidates && this.classIndices(options.candidates));
    const headVotes = heads.map(({ layer, head }, h) => ({
      layer,
      head,
      label: labels[tally.add(scores, h * nClasses, this.weights)],
      scores: Array.from(scores.subarray(h * nClasses, (h + 1) * nClasses)),
    }));
    const winner = tally.winner();
    const typicality =
      this.spreads && calibration?.distance && tailOf(calibration.distance, this.meanDistance(vectors, winner));
    const confidence = calibration && confidenceOf(calibration, tally.lead(), typicality);
    const far = refusal.noneOfThese !== undefined && typicality! < refusal.noneOfThese;
    const unsure = refusal.abstain !== undefined && confidence! < refusal.abstain;
    const refused = far ? 'none of these' : unsure ? 'unsure' : undefined;
    return {
      label: refused ? null : labels[winner],
      refused,
      winner: labels[winner],
      confidence,
      typicality,
      votes: Array.from(tally.votes),
      totals: Array.from(tally.totals),
      heads: headVotes,
    };
  }

  /** Mean over heads of the squared Mahalanobis distance from a class's centroid, per dimension. */
  private meanDistance(vectors: Float32Array, winner: number): number {
    const { heads, labels, nHeads, dHead } = this.data;
    let total = 0;
    for (const [h, { layer, head }] of heads.entries()) {
      const from = (layer * nHeads + head) * dHead;
      const x = Float64Array.from(vectors.subarray(from, from + dHead));
      total += squaredDistance(this.spreads![h], x, this.centroids, (h * labels.length + winner) * dHead, dHead);
    }
    return total / (heads.length * dHead);
  }

  /**
   * Checks that queries can be refused as asked.
   * @throws InputError where a refusal is asked for that is no share; ClassifierError where nothing was measured for it.
   */
  checkRefusal(asked?: Refusal): void {
    this.refusalFor(asked);
  }

  private refusalFor(asked: Refusal | undefined): Refusal {
    const { calibration, refusal: own } = this.data;
    const pick = (field: keyof Refusal, known: boolean, needs: string) => {
      const value = asked?.[field] ?? own?.[field];
      if (value === undefined || value === 0) return undefined;
      if (!(value > 0 && value < 1)) throw new InputError(`${field}: expected a share between 0 and 1, got ${value}`);
      if (!known)
        throw new ClassifierError(
          `${field}: ${needs} was not measured for this classifier; fit it with two or more different pictures a label`,
        );
      return value;
    };
    return {
      abstain: pick('abstain', calibration !== undefined, 'confidence'),
      noneOfThese: pick('noneOfThese', this.spreads !== undefined, 'the distance of examples from their classes'),
    };
  }

  /** With one more example. A label that is new becomes the last class. */
  add(vectors: Float32Array, label: string): SavClassifier {
    this.checkVectors(vectors);
    const { labels, examples } = this.data;
    const index = labels.indexOf(label);
    if (!examples) {
      const grown = index < 0 ? withClass(this.data, label) : this.data;
      return new SavClassifier(this.changed(grown, vectors, index < 0 ? labels.length : index, 1));
    }
    const kept = this.ownVectors(vectors);
    const twin = examples.vectors.findIndex((other) => sameVectors(kept, other));
    const free = examples.groups.reduce((most, group) => Math.max(most, group), -1) + 1;
    return this.withExamples(index < 0 ? [...labels, label] : labels, 1, {
      vectors: [...examples.vectors, kept],
      classOf: Int32Array.of(...examples.classOf, index < 0 ? labels.length : index),
      groups: Int32Array.of(...examples.groups, twin < 0 ? free : examples.groups[twin]),
      judged: Int32Array.of(...examples.judged, -1),
    });
  }

  /**
   * Without an example that was fitted or added before, given by the same vectors and label. A class that loses its last
   * example goes.
   * @throws ClassifierError where no example of the label has these vectors (a classifier of an older file cannot tell).
   */
  remove(vectors: Float32Array, label: string): SavClassifier {
    this.checkVectors(vectors);
    const index = this.classIndices([label])[0];
    const last = this.data.counts[index] === 1;
    if (last) this.checkRemovable(label);
    const { examples } = this.data;
    if (!examples) {
      const data = this.changed(this.data, vectors, index, -1);
      return new SavClassifier(last ? withoutClass(data, index) : data);
    }
    const kept = this.ownVectors(vectors);
    const at = examples.vectors.findLastIndex((other, i) => examples.classOf[i] === index && sameVectors(kept, other));
    if (at < 0) throw new ClassifierError(`cannot remove an example of '${label}': none has these head vectors`);
    return this.without((i) => i === at, last ? index : undefined);
  }

  /** An example under another label, which may be new: removed and added. */
  relabel(vectors: Float32Array, from: string, to: string): SavClassifier {
    return this.add(vectors, to).remove(vectors, from);
  }

  /** Without a class. A Gaussian classifier of an older file must be emptied by `remove`: it has one scatter for all classes. */
  removeClass(label: string): SavClassifier {
    const index = this.classIndices([label])[0];
    this.checkRemovable(label);
    const { counts, products, changes, examples } = this.data;
    if (examples) return this.without((i) => examples.classOf[i] === index, index);
    if (products)
      throw new ClassifierError(
        `cannot take '${label}' from a Gaussian classifier at once: remove its examples one by one`,
      );
    return new SavClassifier(withoutClass({ ...this.data, changes: changes + counts[index], ...uncalibrated }, index));
  }

  private checkRemovable(label: string): void {
    if (this.data.labels.length <= 2)
      throw new ClassifierError(`cannot remove '${label}': a classifier needs at least two labels`);
  }

  /** Without some of the examples, and without a class that this empties. */
  private without(gone: (i: number) => boolean, emptied: number | undefined): SavClassifier {
    const examples = this.data.examples!;
    const stays = (_: unknown, i: number) => !gone(i);
    const classOf = examples.classOf.filter(stays);
    return this.withExamples(
      this.data.labels.filter((_, c) => c !== emptied),
      examples.vectors.length - classOf.length,
      {
        vectors: examples.vectors.filter(stays),
        classOf: emptied === undefined ? classOf : classOf.map((c) => (c > emptied ? c - 1 : c)),
        groups: examples.groups.filter(stays),
        judged: examples.judged.filter(stays),
      },
    );
  }

  private withExamples(labels: readonly string[], changes: number, examples: KeptExamples): SavClassifier {
    const { counts, sums, products, said, right, calibration, leaveOneOutAccuracy, ...settings } = this.data;
    return new SavClassifier(
      atOnce(classifierOf({ ...settings, labels, changes: settings.changes + changes }, examples)),
    );
  }

  /** The selected heads' vectors, [heads, dHead]. */
  private ownVectors(vectors: Float32Array): Float32Array {
    return selectedVectors(vectors, this.data.heads, this.data);
  }

  private changed(data: ClassifierData, vectors: Float32Array, classIndex: number, sign: 1 | -1): ClassifierData {
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
    return { ...data, sums, products, counts, changes: data.changes + 1, ...uncalibrated };
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
      this.rules[h].score(x, scores, h * nClasses);
    }
    return scores;
  }

  private classIndices(wanted: readonly string[]): number[] {
    const { labels } = this.data;
    const unknown = wanted.filter((label) => !labels.includes(label));
    if (unknown.length > 0 || wanted.length === 0) {
      throw new InputError(
        `expected some of the classifier's labels (${labels.join(', ')}), got ${unknown.map((label) => `'${label}'`).join(', ') || 'none'}`,
      );
    }
    return [...new Set(wanted.map((label) => labels.indexOf(label)))].sort((a, b) => a - b);
  }

  private checkVectors(vectors: Float32Array): void {
    const { nHeads, dHead } = this.data;
    if (!(vectors instanceof Float32Array))
      throw new InputError('expected head vectors: the Float32Array that model.headVectors gives');
    const layers = vectors.length / (nHeads * dHead);
    if (!Number.isInteger(layers) || layers <= this.maxLayer) {
      throw new InputError(
        `expected head vectors [${this.maxLayer + 1} or more, ${nHeads}, ${dHead}], got ${vectors.length} values`,
      );
    }
    checkFinite(vectors, this.data.heads, this.data, 'the query');
  }
}

/** What a change leaves behind where the examples are not there to measure anew. */
const uncalibrated = { calibration: undefined, leaveOneOutAccuracy: undefined };

type HeadSize = { readonly nHeads: number; readonly dHead: number };

/** The vectors of some heads, [heads, dHead], of those of all, [layers, nHeads, dHead]. */
export function selectedVectors(vectors: Float32Array, heads: readonly Head[], { nHeads, dHead }: HeadSize) {
  const selected = new Float32Array(heads.length * dHead);
  for (const [h, { layer, head }] of heads.entries()) {
    const from = (layer * nHeads + head) * dHead;
    selected.set(vectors.subarray(from, from + dHead), h * dHead);
  }
  return selected;
}

/** @throws NotFiniteError naming the first of the heads whose vector holds a value that is not finite. */
export function checkFinite(vectors: Float32Array, heads: readonly Head[], { nHeads, dHead }: HeadSize, whose: string) {
  for (const { layer, head } of heads) {
    const from = (layer * nHeads + head) * dHead;
    if (!vectors.subarray(from, from + dHead).every(Number.isFinite))
      throw new NotFiniteError(
        `head ${layer}.${head} of ${whose} is not finite: the forward pass overflowed, or its input was damaged`,
      );
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
