import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { indexClasses } from '../../src/sav/class-index.ts';
import {
  gaussianLeaveOneOut,
  gaussianRule,
  invertSpd,
  logPosteriors,
  outerProducts,
  shrinkageOf,
} from '../../src/sav/gaussian.ts';
import { singles } from '../../src/sav/groups.ts';
import { classSums, gatherHead } from '../../src/sav/scoring.ts';
import { gaussianNumbers, synthetic } from './synthetic.ts';

function momentsOf(vectors: readonly Float32Array[], labels: string[], d: number) {
  const classes = indexClasses(labels);
  const x = gatherHead(vectors, 0, d);
  return {
    x,
    classes,
    moments: { counts: classes.counts, sums: classSums(x, classes, d), products: outerProducts(x, d) },
  };
}

describe('gaussianRule', () => {
  it('is a log posterior of the shared-covariance Gaussian (one dimension, by hand)', () => {
    // a: -2, -1; b: 1, 2. Means -1.5 and 1.5, pooled variance (.5 + .5) / 2 = .5, which no shrinkage can change in one
    // dimension. log p(x|a) - log p(x|b) = -(x+1.5)^2 + (x-1.5)^2 = -6x.
    const { moments } = momentsOf(
      [-2, -1, 1, 2].map((v) => Float32Array.of(v)),
      ['a', 'a', 'b', 'b'],
      1,
    );
    const out = new Float64Array(2);
    logPosteriors(gaussianRule(moments, 1), Float64Array.of(0.25), 0, out, 0);
    expect(out[0] - out[1]).toBeCloseTo(-1.5, 9);
    expect(Math.exp(out[0]) + Math.exp(out[1])).toBeCloseTo(1, 12);
  });

  it('beats the cosine where one noisy direction drowns the telling one', () => {
    const noise = gaussianNumbers(5);
    const make = (n: number) =>
      Array.from({ length: n }, (_, i) => Float32Array.of(3 * noise(), (i % 2 ? 1 : -1) + 0.2 * noise()));
    const labels = Array.from({ length: 40 }, (_, i) => (i % 2 ? 'b' : 'a'));
    const { moments } = momentsOf(make(40), labels, 2);
    const rule = gaussianRule(moments, 2);
    const out = new Float64Array(2);
    const rightOf = (scores: (x: Float32Array) => void) =>
      make(100).filter((x, i) => {
        scores(x);
        return out[i % 2] > out[1 - (i % 2)];
      }).length;
    const cosine = rightOf((x) => {
      for (const c of [0, 1])
        out[c] =
          (x[0] * moments.sums[2 * c] + x[1] * moments.sums[2 * c + 1]) /
          Math.hypot(moments.sums[2 * c], moments.sums[2 * c + 1]);
    });
    expect(rightOf((x) => logPosteriors(rule, Float64Array.from(x), 0, out, 0))).toBeGreaterThan(
      Math.max(95, cosine + 1),
    );
  });

  it('refuses to measure spread without examples to spare', () => {
    const { moments } = momentsOf([Float32Array.of(1), Float32Array.of(2)], ['a', 'b'], 1);
    expect(() => gaussianRule(moments, 1)).toThrow('more examples than labels');
  });

  it('copes with vectors that never vary', () => {
    const { moments } = momentsOf(
      [1, 1, 3, 3].map((v) => Float32Array.of(v, 0)),
      ['a', 'a', 'b', 'b'],
      2,
    );
    const out = new Float64Array(2);
    logPosteriors(gaussianRule(moments, 2), Float64Array.of(1.2, 0), 0, out, 0);
    expect(out[0]).toBeGreaterThan(out[1]);
  });
});

describe('gaussianLeaveOneOut', () => {
  it('is a fit without the example, with the shrinkage of all', () => {
    const { features, labels } = synthetic({ nLayers: 1, nHeads: 1, dHead: 3, perLabel: 5, signal: { 0: 1 } });
    const { x, classes, moments } = momentsOf(features.vectors, labels, 3);
    const fast = gaussianLeaveOneOut(x, classes.classOf, singles(labels.length), moments, 3).logPosteriors;
    const out = new Float64Array(2);
    for (const i of labels.keys()) {
      const kept = labels.map((_, j) => j).filter((j) => j !== i);
      const rest = momentsOf(
        kept.map((j) => features.vectors[j]),
        kept.map((j) => labels[j]),
        3,
      );
      logPosteriors(gaussianRule(rest.moments, 3, shrinkageOf(moments, 3)), x, i * 3, out, 0);
      // Without the first example the classes are met in the other order.
      expect(fast[i * 2]).toBeCloseTo(out[rest.classes.labels.indexOf('a')], 9);
    }
  });
});

describe('invertSpd', () => {
  it('times the matrix is the identity', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 1e6 }), (d, seed) => {
        const factor = Float64Array.from({ length: d * (d + 3) }, gaussianNumbers(seed));
        const matrix = outerProducts(factor, d).map((value, i) => value + (i % (d + 1) === 0 ? 0.1 : 0));
        const inverse = invertSpd(matrix, d);
        for (let r = 0; r < d; r++) {
          for (let c = 0; c < d; c++) {
            let sum = 0;
            for (let i = 0; i < d; i++) sum += matrix[r * d + i] * inverse[i * d + c];
            expect(sum).toBeCloseTo(r === c ? 1 : 0, 6);
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it('names a matrix that is not positive definite', () => {
    expect(() => invertSpd(Float64Array.of(1, 2, 2, 1), 2)).toThrow('matrix [2, 2] is not positive definite at row 1');
  });
});
