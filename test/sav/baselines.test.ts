import { describe, expect, it } from 'vitest';
import { allHeads, kNearest, linearProbe, nearestCentroid, randomHeads } from '../../src/sav/baselines.ts';
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
