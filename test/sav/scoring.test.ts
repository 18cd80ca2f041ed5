import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { indexClasses } from '../../src/sav/class-index.ts';
import { singles } from '../../src/sav/groups.ts';
import { classSums, gatherHead, orderHeads, trainingSimilarities } from '../../src/sav/scoring.ts';
import { features, rankNow, synthetic } from './synthetic.ts';

describe('rankHeads', () => {
  it('counts, per head, the examples nearest to their own centroid (by hand)', () => {
    // Head 0: a = (1,0) (1,1), b = (0,1) (0,2). Train centroids a = (1,.5), b = (0,1.5); all right. Left out, (1,1)
    // meets a = (1,0) and b = (0,1.5): cosine .7071 each, a tie, and ties take the first class, a.
    // Head 1: all four are (1,0): every similarity is 1, every tie goes to a, so both a's are right.
    const given = features(
      [
        [1, 0, 1, 0],
        [1, 1, 1, 0],
        [0, 1, 1, 0],
        [0, 2, 1, 0],
      ],
      2,
      2,
    );
    const labels = ['a', 'a', 'b', 'b'];
    expect([...rankNow(given, labels, 'train').correct]).toEqual([4, 2]);
    const leftOut = rankNow(given, labels, 'leave-one-out');
    expect([...leftOut.correct]).toEqual([4, 2]);
    // Margins: (1,0): .7071 - 0; (1,1): 0; (0,1) and (0,2): 1 - cos((0,1), (1,.5)) = 1 - .4472.
    expect(leftOut.margin[0]).toBeCloseTo((Math.SQRT1_2 + 0 + 2 * (1 - 0.5 / Math.sqrt(1.25))) / 4, 6);
    expect(leftOut.margin[1]).toBe(0);
    expect([...leftOut.order]).toEqual([0, 1]);
  });

  it('takes classes in order of first appearance: a tie goes to the label seen first', () => {
    const same = features(
      [
        [1, 0],
        [1, 0],
        [1, 0],
        [1, 0],
        [1, 0],
      ],
      2,
    );
    expect(rankNow(same, ['b', 'a', 'a', 'b', 'a'], 'train').correct[0]).toBe(2);
  });

  it('scores zero vectors without dividing by zero', () => {
    const dead = features(
      [
        [0, 0],
        [0, 0],
        [0, 0],
        [0, 0],
      ],
      2,
    );
    const ranking = rankNow(dead, ['a', 'a', 'b', 'b'], 'leave-one-out', singles(4));
    expect(ranking.correct[0]).toBe(2);
    expect(ranking.margin[0]).toBe(0);
  });

  it('orders by score, then margin, then layer, then head', () => {
    expect([...orderHeads([3, 5, 5, 5, 3], [0.9, 0.1, 0.2, 0.1, 0.9])]).toEqual([2, 1, 3, 0, 4]);
  });

  it('finds the heads that carry signal', () => {
    const { features: given, labels } = synthetic({ perLabel: 10, signal: { 1: 2, 4: 3 } });
    expect([...rankNow(given, labels).order.slice(0, 2)].sort()).toEqual([1, 4]);
  });

  it('leave-one-out refuses a class with one example, and says what to do; train does not', () => {
    const given = features(
      [
        [1, 0],
        [1, 1],
        [0, 1],
      ],
      2,
    );
    expect(() => rankNow(given, ['a', 'a', 'b'])).toThrow(
      /needs two examples of each label that differ, 'b' has one: add another/,
    );
    const ranking = rankNow(given, ['a', 'a', 'b'], 'train');
    expect(ranking.correct[0]).toBe(3);
    // The margin is the mean over examples that can be left out: (1,0): .7071 - 0, (1,1): .7071 - .7071.
    expect(ranking.margin[0]).toBeCloseTo(Math.SQRT1_2 / 2, 6);
  });

  it('refuses one label, and labels that do not match the examples', () => {
    const given = features(
      [
        [1, 0],
        [1, 1],
      ],
      2,
    );
    expect(() => rankNow(given, ['a', 'a'])).toThrow('at least two labels, got 1 (a)');
    expect(() => rankNow(given, ['a'])).toThrow('2 examples, 1 labels');
  });

  it('training-set scoring praises pure noise, leave-one-out does not', () => {
    const { features: noise, labels } = synthetic({ nLayers: 4, nHeads: 10, dHead: 128, perLabel: 20, seed: 7 });
    const mean = (scoring: 'train' | 'leave-one-out') => {
      const { correct } = rankNow(noise, labels, scoring);
      return correct.reduce((a, b) => a + b) / correct.length / labels.length;
    };
    expect(mean('train')).toBeGreaterThan(0.96);
    expect(Math.abs(mean('leave-one-out') - 0.5)).toBeLessThan(0.06);
  });
});

describe('trainingSimilarities', () => {
  it('counts norms below 1e-8 as 1e-8: a vector of nothing is similar to nothing', () => {
    const classes = indexClasses(['a', 'b']);
    const x = Float64Array.of(0, 0, 0, 1e-9);
    const similarities = trainingSimilarities(x, classSums(x, classes, 2), classes, 2);
    expect(similarities[0]).toBe(0);
    expect(similarities[3]).toBeCloseTo(0.01, 12);
  });

  it('leave-one-out equals centroids computed anew without the example', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.integer({ min: 2, max: 5 }),
        fc.integer({ min: 1, max: 9 }),
        (seed, perLabel, dHead) => {
          const { features: given, labels } = synthetic({
            nLayers: 1,
            nHeads: 1,
            dHead,
            labels: ['a', 'b', 'c'],
            perLabel,
            seed,
          });
          const classes = indexClasses(labels);
          const x = gatherHead(given.vectors, 0, dHead);
          const fast = trainingSimilarities(x, classSums(x, classes, dHead), classes, dHead, singles(labels.length));
          labels.forEach((_, i) => {
            classes.labels.forEach((label, c) => {
              const members = given.vectors.filter((_, j) => j !== i && labels[j] === label);
              const centroid = Array.from(
                { length: dHead },
                (_, d) => members.reduce((sum, v) => sum + v[d], 0) / members.length,
              );
              const norm = (v: ArrayLike<number>) => Math.hypot(...Array.from(v));
              const expected =
                centroid.reduce((sum, v, d) => sum + v * given.vectors[i][d], 0) /
                (norm(centroid) * norm(given.vectors[i]));
              expect(fast[i * 3 + c]).toBeCloseTo(expected, 10);
            });
          });
        },
      ),
      { numRuns: 50 },
    );
  });
});
