// What the selected heads are measured against, on the same head vectors. "All heads vote" and "random heads" are
// ordinary fits with given heads; the others look at all heads' vectors at once.
import { allHeads, type Head } from '../base/heads.ts';
import { mulberry32 } from '../base/random.ts';
import { InputError } from '../model/errors.ts';
import { indexClasses } from './class-index.ts';
import type { HeadFeatures } from './features.ts';
import { cholesky, solveCholesky } from './gaussian.ts';
import { firstMaximum } from './scoring.ts';

type Shape = Pick<HeadFeatures, 'nLayers' | 'nHeads'>;

/** `count` different heads, the same for the same seed. */
export function randomHeads(shape: Shape, count: number, seed: number): Head[] {
  const heads = allHeads(shape);
  if (count > heads.length) throw new InputError(`expected at most ${heads.length} heads, got ${count}`);
  const random = mulberry32(seed);
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(random() * (heads.length - i));
    [heads[i], heads[j]] = [heads[j], heads[i]];
  }
  return heads.slice(0, count);
}

/** Which vectors a baseline sees as one long vector: every head's, or the last layer's. */
export type Concatenation = 'all-heads' | 'last-layer';

/**
 * Nearest class centroid by cosine over the concatenated vectors.
 * @param candidates of each test row, the labels that it offers; absent: all.
 */
export function nearestCentroid(
  train: HeadFeatures,
  trainLabels: readonly string[],
  test: HeadFeatures,
  concatenation: Concatenation = 'all-heads',
  candidates?: readonly (readonly string[] | undefined)[],
): string[] {
  const { labels, classOf, counts } = indexClasses(trainLabels);
  const rows = concatenate(train, concatenation);
  const centroids = labels.map((_, c) => {
    const centroid = new Float64Array(rows[0].length);
    for (const [i, row] of rows.entries()) {
      if (classOf[i] === c) for (let d = 0; d < row.length; d++) centroid[d] += row[d] / counts[c];
    }
    return unit(centroid);
  });
  return concatenate(test, concatenation).map((query, i) => {
    const offered = candidates?.[i];
    const scores = centroids.map((centroid, c) =>
      offered && !offered.includes(labels[c]) ? Number.NEGATIVE_INFINITY : inner(centroid, query),
    );
    return labels[firstMaximum(scores, 0, labels.length)];
  });
}

/** k nearest training examples by cosine; most frequent label, of equals the one with the nearest example. */
export function kNearest(
  train: HeadFeatures,
  trainLabels: readonly string[],
  test: HeadFeatures,
  k = 5,
  concatenation: Concatenation = 'all-heads',
): string[] {
  const rows = concatenate(train, concatenation).map(unit);
  return concatenate(test, concatenation).map((query) => {
    const similarity = rows.map((row) => inner(row, query));
    const nearest = similarity
      .map((_, i) => i)
      .sort((a, b) => similarity[b] - similarity[a] || a - b)
      .slice(0, k);
    const votes = new Map<string, number>();
    for (const i of nearest) votes.set(trainLabels[i], (votes.get(trainLabels[i]) ?? 0) + 1);
    return [...votes].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
  });
}

/**
 * Linear probe: ridge regression of one-hot labels on the centred, unit-length concatenated vectors, solved among
 * examples (there are far fewer than dimensions). The penalty is the one of 10^-4 … 10^1 (times the mean square) with
 * the best leave-one-out accuracy, which a ridge has in closed form; of equals the largest.
 */
export function linearProbe(
  train: HeadFeatures,
  trainLabels: readonly string[],
  test: HeadFeatures,
  concatenation: Concatenation = 'all-heads',
): string[] {
  const { labels, classOf, counts } = indexClasses(trainLabels);
  const n = classOf.length;
  const rows = concatenate(train, concatenation).map(unit);
  const mean = new Float64Array(rows[0].length);
  for (const row of rows) for (let d = 0; d < row.length; d++) mean[d] += row[d] / n;
  const centre = (row: Float64Array) => row.map((value, d) => value - mean[d]);
  const centred = rows.map(centre);
  const gram = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) gram[i * n + j] = gram[j * n + i] = inner(centred[i], centred[j]);
  }
  let trace = 0;
  for (let i = 0; i < n; i++) trace += gram[i * n + i] / n;

  let best: { right: number; dual: Float64Array[] } | undefined;
  for (const penalty of [10, 1, 0.1, 0.01, 1e-3, 1e-4]) {
    const shifted = gram.slice();
    // Residuals are ridge * dual; over 1 - leverage they are the leave-one-out residuals. 1/n is the intercept's leverage.
    const ridge = penalty * (trace || 1);
    for (let i = 0; i < n; i++) shifted[i * n + i] += ridge;
    const lower = cholesky(shifted, n);
    const freedom = Float64Array.from({ length: n }, (_, i) => {
      const e = new Float64Array(n);
      e[i] = 1;
      solveCholesky(lower, e, n);
      return ridge * e[i] - 1 / n;
    });
    const dual = labels.map((_, c) => {
      const y = Float64Array.from(classOf, (own) => (own === c ? 1 : 0) - counts[c] / n);
      solveCholesky(lower, y, n);
      return y;
    });
    let right = 0;
    for (let i = 0; i < n; i++) {
      const leftOut = dual.map((a, c) => (classOf[i] === c ? 1 : 0) - (ridge * a[i]) / Math.max(freedom[i], 1e-9));
      if (firstMaximum(leftOut, 0, leftOut.length) === classOf[i]) right++;
    }
    if (!best || right > best.right) best = { right, dual };
  }
  const weights = best!.dual.map((a) => {
    const weight = new Float64Array(mean.length);
    for (const [i, row] of centred.entries()) for (let d = 0; d < row.length; d++) weight[d] += a[i] * row[d];
    return weight;
  });
  return concatenate(test, concatenation).map((row) => {
    const query = centre(unit(row));
    const scores = weights.map((weight, c) => inner(weight, query) + counts[c] / n);
    return labels[firstMaximum(scores, 0, scores.length)];
  });
}

function concatenate({ vectors, nLayers, nHeads, dHead }: HeadFeatures, what: Concatenation): Float64Array[] {
  const start = what === 'all-heads' ? 0 : (nLayers - 1) * nHeads * dHead;
  return vectors.map((vector) => Float64Array.from(vector.subarray(start)));
}

function unit(vector: Float64Array): Float64Array {
  const norm = Math.sqrt(inner(vector, vector));
  return norm === 0 ? vector : vector.map((value) => value / norm);
}

function inner(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += a[d] * b[d];
  return sum;
}
