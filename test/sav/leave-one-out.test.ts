import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LeaveOneOutOptions } from '../../src/sav/leave-one-out.ts';
import type { Scoring } from '../../src/sav/scoring.ts';
import type { Vote } from '../../src/sav/votes.ts';
import { fitNow, leaveOneOutNow, pick, synthetic } from './synthetic.ts';

const base: LeaveOneOutOptions = { scoring: 'leave-one-out', vote: 'majority', compare: 'cosine', ks: [1, 3] };

describe('leaveOneOut', () => {
  it('equals fitting anew, heads included, without each example', () => {
    const scorings: Scoring[] = ['train', 'leave-one-out'];
    const votes: Vote[] = ['majority', 'soft', 'weighted'];
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.constantFrom(...scorings),
        fc.constantFrom(...votes),
        (seed, scoring, vote) => {
          const { features, labels } = synthetic({
            labels: ['a', 'b', 'c'],
            perLabel: 4,
            signal: { 2: 0.7, 5: 0.5 },
            seed,
          });
          const results = leaveOneOutNow(features, labels, { ...base, scoring, vote });
          for (const { k, predicted, lead } of results) {
            labels.forEach((_, i) => {
              const rest = labels.filter((_, j) => j !== i);
              const { classifier } = fitNow(
                pick(features, (j) => j !== i),
                rest,
                { k, scoring, vote, compare: 'cosine', calibrate: false },
              );
              const prediction = classifier.classify(features.vectors[i]);
              expect(['a', 'b', 'c'][predicted[i]]).toBe(prediction.label);
              const totals = [...prediction.totals].sort((a, b) => b - a);
              expect(lead[i]).toBeCloseTo((totals[0] - totals[1]) / k, 8);
            });
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it('is not fooled by choosing heads among many: pure noise stays near chance', () => {
    const { features, labels } = synthetic({ nLayers: 10, nHeads: 20, dHead: 8, perLabel: 20, seed: 3 });
    const [{ accuracy }] = leaveOneOutNow(features, labels, { ...base, ks: [10] });
    expect(accuracy).toBeLessThan(0.7);
    // Ranking once, on all examples, is fooled: that is why heads are chosen again for each example.
    const heads = [...fitNow(features, labels, { k: 10, calibrate: false }).ranking.order.slice(0, 10)];
    const [{ accuracy: fooled }] = leaveOneOutNow(features, labels, { ...base, ks: [10], heads });
    expect(fooled).toBeGreaterThan(0.8);
  });

  it('works with two examples a class: the twin of the one left out is judged by nobody', () => {
    const { features, labels } = synthetic({ perLabel: 2, signal: { 0: 5, 1: 5, 2: 5 } });
    expect(leaveOneOutNow(features, labels, { ...base, ks: [1] })[0].accuracy).toBe(1);
  });

  it('keeps to the candidates of each example', () => {
    const { features, labels } = synthetic({ labels: ['a', 'b', 'c'], perLabel: 4 });
    const only = labels.map((label) => [['a', 'b', 'c'].indexOf(label)]);
    expect(leaveOneOutNow(features, labels, { ...base, ks: [3], allowed: only })[0].accuracy).toBe(1);
  });
});
