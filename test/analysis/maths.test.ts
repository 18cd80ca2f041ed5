// The maths of analyses, without a model.
import { describe, expect, it } from 'vitest';
import { rankOf, topK } from '../../src/analysis/rank.ts';
import { rollBack } from '../../src/analysis/rollout.ts';
import { centroidCosines, headOverlap, linearCka } from '../../src/analysis/similarity.ts';
import { logSumExp } from '../../src/model/generation/sampling.ts';

describe('ranking', () => {
  it('finds the greatest, the first of equals first', () => {
    expect(topK([1, 5, 3, 5, -1], 3)).toEqual([1, 3, 2]);
    expect(topK([2, 1], 5)).toEqual([0, 1]);
    const values = Array.from({ length: 500 }, (_, i) => (i * 7919) % 503);
    const sorted = values.map((_, i) => i).sort((a, b) => values[b] - values[a]);
    expect(topK(values, 7)).toEqual(sorted.slice(0, 7));
  });

  it('counts what is greater', () => {
    expect(rankOf([3, 1, 2, 3], 2)).toBe(2);
    expect(rankOf([3, 1, 2, 3], 0)).toBe(0);
  });

  it('sums exponentials of numbers whose own overflow', () => {
    expect(logSumExp([1000, 1000])).toBeCloseTo(1000 + Math.log(2), 9);
    expect(logSumExp([0, Math.log(3)])).toBeCloseTo(Math.log(4), 12);
  });
});

describe('rollout', () => {
  it('is the last row of the product of the layers’ matrices', () => {
    // Two heads; their mean is [[1, 0], [0.5, 0.5]], half of it the identity: [[1, 0], [0.25, 0.75]].
    const pattern = Float32Array.of(1, 0, 0.25, 0.75, 1, 0, 0.75, 0.25);
    const once = rollBack(Float64Array.of(0, 1), pattern, 2);
    expect([...once]).toEqual([0.25, 0.75]);
    expect([...rollBack(once, pattern, 2)]).toEqual([0.25 + 0.75 * 0.25, 0.75 * 0.75]);
    expect([...rollBack(Float64Array.of(0, 1), pattern, 2, 0)]).toEqual([0.5, 0.5]);
  });
});

describe('similarity of heads', () => {
  const shape = { nHeads: 2, dHead: 2 };

  it('compares centroids by their angle, head by head', () => {
    const a = [Float32Array.of(1, 0, 2, 0), Float32Array.of(1, 0, 0, 2)]; // means (1, 0), (1, 1)
    const b = [Float32Array.of(0, 3, -1, -1)];
    const [first, second] = centroidCosines(a, b, shape);
    expect(first).toBeCloseTo(0, 12);
    expect(second).toBeCloseTo(-1, 12);
  });

  it('finds a rotated and scaled head the same, and an unrelated one not', () => {
    const points = [
      [1, 0],
      [0, 1],
      [-1, 0.5],
      [0.3, -1.5],
    ];
    const a = points.map(([x, y]) => Float32Array.of(x, y, x, y));
    // The first head turned by 90 degrees, doubled and moved; the second keeps nothing but one coordinate's square.
    const b = points.map(([x, y]) => Float32Array.of(-2 * y + 5, 2 * x, x * x, 0));
    const [same, other] = linearCka(a, b, shape);
    expect(same).toBeCloseTo(1, 6);
    expect(other).toBeLessThan(0.6);
    expect(() => linearCka(a, b.slice(1), shape)).toThrow(/the same examples in two tasks: got 4 and 3/);
  });

  it('names the heads that two selections share', () => {
    const heads = (...names: string[]) => names.map((n) => ({ layer: Number(n[0]), head: Number(n[2]) }));
    expect(headOverlap(heads('1.0', '2.3', '0.1'), heads('0.1', '1.0', '5.5'))).toEqual({
      shared: heads('1.0', '0.1'),
      jaccard: 0.5,
    });
    expect(headOverlap([], []).jaccard).toBe(0);
  });
});
