// A head's opinion as a Gaussian discriminant: classes share one covariance, shrunk towards a multiple of the identity
// because there are usually fewer examples than dimensions. (The idea of HEC, arXiv 2603.24181; details are ours.)
//
// Everything comes from counts, class sums and the sum of outer products, so examples can be added and removed.
import { ClassifierError, DataError } from './errors.ts';
import type { Groups } from './groups.ts';
import { dot } from './scoring.ts';

/** Sums over one head's training vectors. */
export interface HeadMoments {
  counts: readonly number[];
  /** [nClasses, d] */
  sums: Float64Array;
  /** Sum of outer products, [d, d]. */
  products: Float64Array;
}

/** A linear rule per class: score_c(x) = weights_c . x + offset_c, a log posterior up to a term common to all classes. */
export interface LinearRule {
  /** [nClasses, d] */
  weights: Float64Array;
  offsets: Float64Array;
  /** Inverse of the shared covariance, [d, d]. */
  precision: Float64Array;
}

/** Sum of outer products of the rows of x [n, d], [d, d]. */
export function outerProducts(x: Float64Array, d: number): Float64Array {
  const products = new Float64Array(d * d);
  for (let start = 0; start < x.length; start += d) addOuter(products, x, start, d, 1);
  return products;
}

/** Adds `scale` times the outer product of the d values at `start`. */
export function addOuter(products: Float64Array, x: ArrayLike<number>, start: number, d: number, scale: number): void {
  for (let r = 0; r < d; r++) {
    const value = scale * x[start + r];
    for (let c = 0; c < d; c++) products[r * d + c] += value * x[start + c];
  }
}

/**
 * The discriminant of one head.
 * @throws DataError without more examples than classes: there is no spread to measure.
 */
export function gaussianRule(moments: HeadMoments, d: number, shrinkage = shrinkageOf(moments, d)): LinearRule {
  const { scatter, freedom } = withinScatter(moments, d);
  const { share, mean } = shrinkage;
  const precision = invertSpd(blend(scatter, (1 - share) / freedom, share * mean, d), d);
  const nClasses = moments.counts.length;
  const weights = new Float64Array(nClasses * d);
  const offsets = new Float64Array(nClasses);
  for (let c = 0; c < nClasses; c++) {
    const centroid = centroidOf(moments, c, d);
    for (let r = 0; r < d; r++) weights[c * d + r] = dot(precision, r * d, centroid, 0, d);
    offsets[c] = -dot(weights, c * d, centroid, 0, d) / 2;
  }
  return { weights, offsets, precision };
}

/** Log posteriors (equal priors) of x under a rule, written to `out` from `at`. */
export function logPosteriors(rule: LinearRule, x: Float64Array, start: number, out: Float64Array, at: number): void {
  const nClasses = rule.offsets.length;
  const d = rule.weights.length / nClasses;
  for (let c = 0; c < nClasses; c++) out[at + c] = dot(rule.weights, c * d, x, start, d) + rule.offsets[c];
  normaliseLog(out, at, nClasses);
}

/**
 * Leave-one-out log posteriors of every training example, [n, nClasses], and its squared Mahalanobis distances to the
 * classes, both without its group. The group is out of the centroids, of the scatter and of the degrees of freedom; only
 * the shrinkage, two numbers per head, still comes from all examples. Rows hold NaN where a class would be left empty.
 *
 * A group of m examples changes the scatter by a matrix of rank m: with R the residuals [d, m] and n_c the count of class
 * c, S' = S - R (I + 1 1^T / (n_c - m_c)) R^T (class by class), and P' = P + P R M^-1 R^T P (Woodbury), where
 * M = (I - 1 1^T / n_c) / scale - R^T P R.
 * @throws DataError where a group leaves no more examples than classes: there is no spread to measure.
 */
export function gaussianLeaveOneOut(
  x: Float64Array,
  classOf: Int32Array,
  groups: Groups,
  moments: HeadMoments,
  d: number,
): { logPosteriors: Float64Array; distances: Float64Array } {
  const { counts } = moments;
  const nClasses = counts.length;
  const { scatter, freedom } = withinScatter(moments, d);
  const { share, mean } = shrinkageOf(moments, d);
  const centroids = Array.from({ length: nClasses }, (_, c) => centroidOf(moments, c, d));
  const inverses = new Map<number, { precision: Float64Array; toCentroids: Float64Array[] }>();
  /** Inverse of the blend with the degrees of freedom that are left without m examples, and its products with centroids. */
  const inverseWithout = (m: number) => {
    let inverse = inverses.get(m);
    if (!inverse) {
      if (freedom - m < 1)
        throw new DataError(
          'a leave-one-out Gaussian needs at least two examples more than labels: add examples or compare by cosine',
        );
      const precision = invertSpd(blend(scatter, (1 - share) / (freedom - m), share * mean, d), d);
      inverse = { precision, toCentroids: centroids.map((centroid) => multiply(precision, centroid, 0, d)) };
      inverses.set(m, inverse);
    }
    return inverse;
  };
  const logPosteriors = new Float64Array(classOf.length * nClasses).fill(Number.NaN);
  const distances = logPosteriors.slice();
  for (const members of groups.members) {
    const m = members.length;
    const own = members.map((i) => classOf[i]);
    const lost = (c: number) => own.filter((each) => each === c).length;
    if (own.some((c) => lost(c) === counts[c])) continue;
    const { precision, toCentroids } = inverseWithout(m);
    const scale = (1 - share) / (freedom - m);
    const residuals = members.map((i) => centroids[classOf[i]].map((value, r) => x[i * d + r] - value));
    const mapped = residuals.map((residual) => multiply(precision, residual, 0, d));
    const between = (a: number, b: number) => dot(mapped[a], 0, residuals[b], 0, d);
    const core = new Float64Array(m * m);
    for (let a = 0; a < m; a++)
      for (let b = 0; b < m; b++)
        core[a * m + b] = ((a === b ? 1 : 0) - (own[a] === own[b] ? 1 / counts[own[a]] : 0)) / scale - between(a, b);
    const middle = scale > 0 ? invertSpd(core, m) : new Float64Array(m * m);
    const away = new Float64Array(d);
    const turned = new Float64Array(d);
    for (const i of members) {
      const px = multiply(precision, x, i * d, d);
      for (let c = 0; c < nClasses; c++) {
        for (let r = 0; r < d; r++) {
          away[r] = x[i * d + r] - centroids[c][r];
          turned[r] = px[r] - toCentroids[c][r];
        }
        // The class's centroid without the group is centroid - (its residuals) / (n_c - m_c).
        const rest = counts[c] - lost(c);
        for (const [a, residual] of residuals.entries()) {
          if (own[a] !== c) continue;
          for (let r = 0; r < d; r++) {
            away[r] += residual[r] / rest;
            turned[r] += mapped[a][r] / rest;
          }
        }
        const along = mapped.map((each) => dot(each, 0, away, 0, d));
        let distance = dot(turned, 0, away, 0, d);
        for (let a = 0; a < m; a++) for (let b = 0; b < m; b++) distance += along[a] * middle[a * m + b] * along[b];
        distances[i * nClasses + c] = Math.max(distance, 0);
        logPosteriors[i * nClasses + c] = -distance / 2;
      }
      normaliseLog(logPosteriors, i * nClasses, nClasses);
    }
  }
  return { logPosteriors, distances };
}

/** Squared Mahalanobis distance of x from a centroid: the class's own, at `start` in `centroids`. */
export function squaredDistance(
  { precision }: LinearRule,
  x: Float64Array,
  centroids: Float64Array,
  start: number,
  d: number,
): number {
  const away = x.map((value, r) => value - centroids[start + r]);
  return Math.max(0, dot(multiply(precision, away, 0, d), 0, away, 0, d));
}

function withinScatter({ counts, sums, products }: HeadMoments, d: number): { scatter: Float64Array; freedom: number } {
  const freedom = counts.reduce((a, b) => a + b, 0) - counts.length;
  if (freedom < 1) throw new DataError('a Gaussian needs more examples than labels: add examples or compare by cosine');
  const scatter = products.slice();
  for (let c = 0; c < counts.length; c++) addOuter(scatter, sums, c * d, d, -1 / counts[c]);
  return { scatter, freedom };
}

/**
 * Oracle approximating shrinkage (Chen, Wiesel, Eldar, Hero, IEEE TSP 2010, eq. 23): the share of the identity, and
 * the mean variance that multiplies it. A head whose vectors never vary gets unit variance: its rule is then the
 * nearest centroid's.
 */
export function shrinkageOf(moments: HeadMoments, d: number): { share: number; mean: number } {
  const { scatter, freedom } = withinScatter(moments, d);
  let trace = 0;
  let total = 0;
  for (let r = 0; r < d; r++) {
    trace += scatter[r * d + r] / freedom;
    total += moments.products[r * d + r] / freedom;
  }
  if (!(trace >= -1e-9 * total))
    throw new ClassifierError('sums of outer products do not belong to the class sums beside them');
  if (trace <= 1e-12 * total) return { share: 1, mean: 1 };
  const square = dot(scatter, 0, scatter, 0, d * d) / (freedom * freedom);
  const above = (1 - 2 / d) * square + trace * trace;
  const below = (freedom + 1 - 2 / d) * (square - (trace * trace) / d);
  // Never quite 0: with d = 1 the formula's bounds meet, and a singular scatter must still be inverted.
  const share = below > 0 ? Math.max(Math.min(1, above / below), 1e-6) : 1;
  return { share, mean: trace / d };
}

function blend(scatter: Float64Array, scale: number, diagonal: number, d: number): Float64Array {
  const result = scatter.map((value) => value * scale);
  for (let r = 0; r < d; r++) result[r * d + r] += diagonal;
  return result;
}

function centroidOf({ counts, sums }: HeadMoments, c: number, d: number): Float64Array {
  return sums.slice(c * d, (c + 1) * d).map((value) => value / counts[c]);
}

function multiply(matrix: Float64Array, x: Float64Array, start: number, d: number): Float64Array {
  const result = new Float64Array(d);
  for (let r = 0; r < d; r++) result[r] = dot(matrix, r * d, x, start, d);
  return result;
}

function normaliseLog(values: Float64Array, start: number, length: number): void {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < length; i++) largest = Math.max(largest, values[start + i]);
  let sum = 0;
  for (let i = 0; i < length; i++) sum += Math.exp(values[start + i] - largest);
  const total = largest + Math.log(sum);
  for (let i = 0; i < length; i++) values[start + i] -= total;
}

/** Inverse of a symmetric positive definite [d, d] matrix, by its Cholesky factor. */
export function invertSpd(matrix: Float64Array, d: number): Float64Array {
  const lower = cholesky(matrix, d);
  const inverse = new Float64Array(d * d);
  const column = new Float64Array(d);
  for (let c = 0; c < d; c++) {
    column.fill(0);
    column[c] = 1;
    solveCholesky(lower, column, d);
    for (let r = 0; r < d; r++) inverse[r * d + c] = column[r];
  }
  return inverse;
}

/** Lower Cholesky factor of a symmetric positive definite [d, d] matrix. @throws Error where it is not
 * definite, which no caller outside can bring about: what is solved here has been shrunk, or has a ridge. */
export function cholesky(matrix: Float64Array, d: number): Float64Array {
  const lower = new Float64Array(d * d);
  for (let r = 0; r < d; r++) {
    for (let c = 0; c <= r; c++) {
      const rest = matrix[r * d + c] - dot(lower, r * d, lower, c * d, c);
      if (r !== c) lower[r * d + c] = rest / lower[c * d + c];
      else if (rest > 0) lower[r * d + r] = Math.sqrt(rest);
      else throw new Error(`matrix [${d}, ${d}] is not positive definite at row ${r}`);
    }
  }
  return lower;
}

/** Solves (L L^T) x = b in place. */
export function solveCholesky(lower: Float64Array, b: Float64Array, d: number): void {
  for (let r = 0; r < d; r++) b[r] = (b[r] - dot(lower, r * d, b, 0, r)) / lower[r * d + r];
  for (let r = d - 1; r >= 0; r--) {
    let value = b[r];
    for (let c = r + 1; c < d; c++) value -= lower[c * d + r] * b[c];
    b[r] = value / lower[r * d + r];
  }
}
