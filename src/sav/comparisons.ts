// How a head's vector is compared with the classes.
import type { ClassIndex } from './class-index.ts';
import {
  gaussianLeaveOneOut,
  gaussianRule,
  type HeadMoments,
  type LinearRule,
  logPosteriors,
  outerProducts,
} from './gaussian.ts';
import type { Groups } from './groups.ts';
import { classSums, dot, MIN_NORM, trainingSimilarities } from './scoring.ts';

interface Comparison {
  /** For the help text of the command line. */
  readonly help: string;
  /** How heads compare, for the report: `20 heads, chosen …, compare ` and this. */
  readonly words: string;
  /** Whether sums of outer products are needed: a classifier then keeps them, and more examples than labels must be there. */
  readonly needsSpread: boolean;
  /**
   * Whether `HeadFolds` (leave-one-out.ts), which hold cosines, know what a head says of an example when two groups are out.
   * Where not, a weighted vote judges the other examples with theirs alone left out.
   */
  readonly isOfFolds: boolean;
  /**
   * Class scores of one head for each of its training vectors x [n, dHead], its group left out: [n, nClasses]. Where that
   * leaves a class empty, the example's row holds NaN.
   */
  readonly leaveOneOut: (x: Float64Array, classes: ClassIndex, groups: Groups, dHead: number) => Float64Array;
  /** What one head compares queries by. */
  readonly rule: (moments: Moments, dHead: number) => HeadRule;
}

/** Sums over one head's training vectors; those of outer products where the comparison needs them. */
type Moments = Omit<HeadMoments, 'products'> & Partial<Pick<HeadMoments, 'products'>>;

/** One head's opinion of queries. */
export interface HeadRule {
  /** Class scores of a vector x [dHead] are written to `out` from `at`. */
  score(x: Float64Array, out: Float64Array, at: number): void;
  /** The covariance, for distances, where the comparison has measured one. */
  readonly spread?: LinearRule;
}

/** The choices of `fit --compare`, what classifier files may hold, what the report says. */
export const comparisons = {
  cosine: {
    help: 'cosine to the centroids',
    words: 'by cosine to the class centroids',
    needsSpread: false,
    isOfFolds: true,
    leaveOneOut: (x, classes, groups, dHead) =>
      trainingSimilarities(x, classSums(x, classes, dHead), classes, dHead, groups),
    rule: ({ counts, sums }, dHead) => {
      const centroids = sums.map((value, i) => value / counts[Math.floor(i / dHead)]);
      const norms = counts.map((_, c) =>
        Math.max(Math.sqrt(dot(centroids, c * dHead, centroids, c * dHead, dHead)), MIN_NORM),
      );
      return {
        score(x, out, at) {
          const norm = Math.max(Math.sqrt(dot(x, 0, x, 0, dHead)), MIN_NORM);
          for (const [c, other] of norms.entries())
            out[at + c] = dot(x, 0, centroids, c * dHead, dHead) / (norm * other);
        },
      };
    },
  },
  gaussian: {
    help: 'gaussian discriminant',
    words: 'by a Gaussian discriminant with one shrunk covariance',
    needsSpread: true,
    isOfFolds: false, // it would need a new inverse for each pair of groups
    leaveOneOut: (x, classes, groups, dHead) => {
      const moments = { counts: classes.counts, sums: classSums(x, classes, dHead), products: outerProducts(x, dHead) };
      return gaussianLeaveOneOut(x, classes.classOf, groups, moments, dHead).logPosteriors;
    },
    rule: ({ products, ...moments }, dHead) => {
      const spread = gaussianRule({ ...moments, products: products! }, dHead);
      return { spread, score: (x, out, at) => logPosteriors(spread, x, 0, out, at) };
    },
  },
} as const satisfies Record<string, Comparison>;

export type Compare = keyof typeof comparisons;
