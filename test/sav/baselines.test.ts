import { describe, expect, it } from 'vitest';
import { allHeads } from '../../src/base/heads.ts';
import { kNearest, linearProbe, nearestCentroid, randomHeads } from '../../src/sav/baselines.ts';
import { features, synthetic } from './synthetic.ts';

const task = { nLayers: 2, nHeads: 2, dHead: 8, labels: ['a', 'b', 'c'], signal: { 0: 1, 3: 1 } };
const train = synthetic({ ...task, perLabel: 12 });
const test = synthetic({ ...task, perLabel: 30, seed: 4 });
const score = (predicted: string[]) =>
  predicted.filter((label, i) => label === test.labels[i]).length / predicted.length;

describe('baselines', () => {
  it.each([
    ['nearestCentroid', nearestCentroid(train.features, train.labels, test.features)],
    ['kNearest', kNearest(train.features, train.labels, test.features)],
    ['linearProbe', linearProbe(train.features, train.labels, test.features)],
    ['nearestCentroid, last layer', nearestCentroid(train.features, train.labels, test.features, 'last-layer')],
    ['linearProbe, last layer', linearProbe(train.features, train.labels, test.features, 'last-layer')],
  ])('%s learns what is there to learn', (_, predicted) => {
    expect(score(predicted)).toBeGreaterThan(0.8);
  });

  it('on labels that mean nothing they stay near chance', () => {
    const noise = synthetic({ ...task, signal: {}, perLabel: 30, seed: 5 });
    for (const predict of [nearestCentroid, linearProbe]) {
      expect(score(predict(noise.features, noise.labels, test.features))).toBeLessThan(0.5);
    }
  });

  it('the last layer is the last layer', () => {
    const vectors = [
      [1, 0, 0, 1],
      [0, 1, 1, 0],
    ];
    const query = features([[1, 0, 1, 0]], 2);
    expect(nearestCentroid(features(vectors, 2), ['a', 'b'], query, 'last-layer')).toEqual(['b']);
    expect(kNearest(features(vectors, 2), ['a', 'b'], query, 1, 'last-layer')).toEqual(['b']);
  });

  it('kNearest: a tie goes to the label of the nearest example', () => {
    const given = features(
      [
        [0, 1],
        [1, 0.1],
        [1, 0.5],
        [0.2, 1],
      ],
      2,
    );
    expect(kNearest(given, ['b', 'a', 'a', 'b'], features([[1, 0]], 2), 4)).toEqual(['a']);
  });

  it('the linear probe sees what centroids cannot: a small difference beside a large common part', () => {
    const line = (n: number, seed: number) => {
      const { features: base, labels } = synthetic({ nLayers: 1, nHeads: 1, dHead: 4, perLabel: n, seed });
      return {
        labels,
        given: {
          ...base,
          vectors: base.vectors.map((v, i) => Float32Array.of(5 * v[0], 5 * v[1], labels[i] === 'a' ? 1 : -1, 1)),
        },
      };
    };
    const [fit, held] = [line(30, 1), line(50, 2)];
    const right = (predicted: string[]) => predicted.filter((label, i) => label === held.labels[i]).length;
    expect(right(linearProbe(fit.given, fit.labels, held.given))).toBeGreaterThan(
      right(nearestCentroid(fit.given, fit.labels, held.given)),
    );
  });
});

/** Ridge regression with a free intercept by its normal equations: weights [classes][d + 1], the intercept last. */
function ridge(rows: number[][], targets: number[][], penalty: number): number[][] {
  const d = rows[0].length + 1;
  const x = rows.map((row) => [...row, 1]);
  const normal = Array.from({ length: d }, (_, r) =>
    Array.from({ length: d }, (_, c) =>
      x.reduce((sum, row) => sum + row[r] * row[c], r === c && r < d - 1 ? penalty : 0),
    ),
  );
  return targets[0].map((_, c) => {
    // Gaussian elimination; the matrix is positive definite.
    const a = normal.map((row, r) => [...row, x.reduce((sum, values, i) => sum + values[r] * targets[i][c], 0)]);
    for (let p = 0; p < d; p++) {
      for (let r = 0; r < d; r++) {
        if (r === p) continue;
        const factor = a[r][p] / a[p][p];
        for (let k = p; k <= d; k++) a[r][k] -= factor * a[p][k];
      }
    }
    return a.map((row, r) => row[d] / row[r]);
  });
}

describe('linearProbe', () => {
  it('is the ridge regression whose penalty is best when each example is left out and the rest fitted again', () => {
    const names = ['a', 'b', 'c'];
    for (const seed of [1, 2, 3]) {
      const make = (perLabel: number, draw: number) =>
        synthetic({ nLayers: 1, nHeads: 1, dHead: 5, labels: names, perLabel, signal: { 0: 0.4 }, seed: draw });
      const [fit, held] = [make(6, seed), make(20, seed + 50)];
      const unit = (v: Float32Array) => Array.from(v, (value) => value / Math.hypot(...v));
      const rows = fit.features.vectors.map(unit);
      const targets = fit.labels.map((label) => names.map((name) => Number(name === label)));
      const mean = rows[0].map((_, k) => rows.reduce((sum, row) => sum + row[k] / rows.length, 0));
      const spread =
        rows.reduce((sum, row) => sum + row.reduce((s, v, k) => s + (v - mean[k]) ** 2, 0), 0) / rows.length;
      const answer = (weights: number[][], row: number[]) => {
        const scores = weights.map((w) => w.reduce((sum, value, k) => sum + value * (row[k] ?? 1), 0));
        return names[scores.indexOf(Math.max(...scores))];
      };
      const rights = [10, 1, 0.1, 0.01, 1e-3, 1e-4].map((penalty) => {
        const right = rows.filter((row, i) => {
          const rest = ridge(
            rows.filter((_, j) => j !== i),
            targets.filter((_, j) => j !== i),
            penalty * spread,
          );
          return answer(rest, row) === fit.labels[i];
        });
        return { penalty, right: right.length };
      });
      const { penalty } = rights.reduce((best, entry) => (entry.right > best.right ? entry : best));
      const weights = ridge(rows, targets, penalty * spread);
      expect(linearProbe(fit.features, fit.labels, held.features)).toEqual(
        held.features.vectors.map((v) => answer(weights, unit(v))),
      );
    }
  });
});

describe('heads to compare with', () => {
  const shape = { nLayers: 3, nHeads: 4 };
  it('allHeads are all, in order', () => {
    expect(allHeads(shape)).toHaveLength(12);
    expect(allHeads(shape)[5]).toEqual({ layer: 1, head: 1 });
  });

  it('randomHeads are different heads, the same for the same seed, every head as likely', () => {
    const name = ({ layer, head }: { layer: number; head: number }) => layer * 4 + head;
    expect(randomHeads(shape, 5, 1)).toEqual(randomHeads(shape, 5, 1));
    const hits = new Array<number>(12).fill(0);
    for (let seed = 0; seed < 600; seed++) {
      const drawn = randomHeads(shape, 5, seed).map(name);
      expect(new Set(drawn).size).toBe(5);
      for (const h of drawn) hits[h]++;
    }
    for (const count of hits) expect(Math.abs(count - 250)).toBeLessThan(60);
    expect(() => randomHeads(shape, 13, 1)).toThrow('at most 12 heads, got 13');
  });
});
