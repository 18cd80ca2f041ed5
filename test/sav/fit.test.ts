import { describe, expect, it } from 'vitest';
import { confidenceOf, fitCalibration } from '../../src/sav/calibration.ts';
import { encodeClassifier } from '../../src/sav/classifier-file.ts';
import { bestK, defaults, fitClassifier, parity } from '../../src/sav/fit.ts';
import { fitNow, gaussianNumbers, generator, pick, rankNow, synthetic } from './synthetic.ts';

const task = { nLayers: 3, nHeads: 4, dHead: 16, labels: ['a', 'b', 'c'], signal: { 1: 0.6, 6: 0.9, 11: 0.5 } };

function accuracy(options: Parameters<typeof fitNow>[2]): number {
  const train = synthetic({ ...task, perLabel: 12 });
  const test = synthetic({ ...task, perLabel: 60, seed: 2 });
  const { classifier } = fitNow(train.features, train.labels, options);
  const right = test.features.vectors.filter((v, i) => classifier.classify(v).label === test.labels[i]);
  return right.length / test.labels.length;
}

/** Half a second is for a machine of one's own; here other tests keep its cores busy. */
const slowMachine = 4;

describe('fitClassifier', () => {
  // As many heads, and as wide, as a model of 7B has; examples are few, so that the parts before are short.
  const big = () => synthetic({ nLayers: 28, nHeads: 28, dHead: 128, perLabel: 6 });

  it.each(['scoring heads', 'choosing heads without each example', 'voting without each example'])(
    'lets the event loop in, and ends within half a second, at %s',
    async (part) => {
      const { features, labels } = big();
      const controller = new AbortController();
      let asked = 0;
      const fit = fitClassifier(features, labels, {
        signal: controller.signal,
        onProgress(_, total, now) {
          if (now !== part || asked) return;
          expect(total).toBeGreaterThan(50);
          asked = performance.now();
          setTimeout(() => controller.abort(new Error('enough')), 20);
        },
      });
      await expect(fit).rejects.toThrow('enough');
      expect(performance.now() - asked).toBeLessThan(500 * slowMachine);
    },
  );

  it('tells how far it is, and fits what it fits without pauses', async () => {
    const { features, labels } = synthetic({ nLayers: 3, nHeads: 4, perLabel: 6, signal: { 2: 3 } });
    const parts = new Map<string, number[]>();
    const fit = await fitClassifier(features, labels, {
      onProgress: (done, total, part) => parts.set(part, [...(parts.get(part) ?? []), done / total]),
    });
    expect(encodeClassifier(fit.classifier)).toEqual(encodeClassifier(fitNow(features, labels).classifier));
    for (const shares of parts.values()) expect(shares.at(-1)).toBe(1);
    expect(parts.get('scoring heads')).toEqual(Array.from({ length: 12 }, (_, h) => (h + 1) / 12));
  });

  it.each(['majority', 'soft', 'weighted'] as const)(
    'classifies new examples by %s votes of the right heads',
    (vote) => {
      expect(accuracy({ k: 3, vote })).toBeGreaterThan(0.9);
    },
  );

  it('refuses labels and vectors that are not as types say', () => {
    const { features, labels } = synthetic({ ...task, perLabel: 4 });
    const without = (label: unknown) => labels.map((own, i) => (i === 2 ? label : own)) as string[];
    for (const label of [undefined, null, 1])
      expect(() => fitNow(features, without(label))).toThrow(`expected a text as label of example 3, got ${label}`);
    expect(() => fitNow(features, undefined as never)).toThrow('12 examples, no labels');
    const { classifier } = fitNow(features, labels);
    for (const vectors of [undefined, 'x.png', [...features.vectors[0]]])
      expect(() => classifier.classify(vectors as never)).toThrow('the Float32Array that model.headVectors gives');
  });

  it('classifies by Gaussian', () => {
    expect(accuracy({ k: 3, compare: 'gaussian', vote: 'soft' })).toBeGreaterThan(0.9);
  });

  it('few heads with signal beat all heads, most of which are noise', () => {
    const published = { vote: 'majority', compare: 'cosine' } as const;
    expect(accuracy({ ...published, k: 3 })).toBeGreaterThan(accuracy({ ...published, k: 12 }) + 0.1);
  });

  it('does what `defaults` says where nothing is said', () => {
    const { features, labels } = synthetic({ ...task, perLabel: 6 });
    const { classifier, leaveOneOut } = fitNow(features, labels);
    const { k, ...settings } = defaults;
    expect(classifier.data).toMatchObject(settings);
    expect(k).toBe('auto');
    expect(classifier.data.heads).toHaveLength(bestK(leaveOneOut).k);
  });

  it('takes the first k heads of the ranking, with their scores', () => {
    const { features, labels } = synthetic({ ...task, perLabel: 6 });
    const { classifier, ranking } = fitNow(features, labels, { k: 2 });
    const [h] = ranking.order;
    expect(classifier.data.heads[0]).toEqual({
      layer: Math.floor(h / 4),
      head: h % 4,
      correct: ranking.correct[h],
      margin: ranking.margin[h],
    });
    expect(classifier.data.heads).toHaveLength(2);
    expect(classifier.data.counts).toEqual([6, 6, 6]);
  });

  it("'auto' takes the k with the best leave-one-out accuracy", () => {
    const { features, labels } = synthetic({ ...task, perLabel: 12 });
    const { classifier, leaveOneOut } = fitNow(features, labels, { k: 'auto' });
    expect(leaveOneOut.map(({ k }) => k)).toEqual([1, 2, 3, 5, 7, 10]);
    const best = Math.max(...leaveOneOut.map((result) => result.accuracy));
    expect(leaveOneOut.find(({ k }) => k === classifier.data.heads.length)?.accuracy).toBe(best);
    expect(classifier.data.leaveOneOutAccuracy).toBeLessThanOrEqual(best);
    const result = (k: number, value: number) => ({
      k,
      accuracy: value,
      predicted: new Int32Array(),
      lead: new Float64Array(),
    });
    expect(bestK([result(1, 0.9), result(15, 0.9), result(25, 0.9), result(40, 0.8)]).k).toBe(15);
  });

  it("the accuracy it states for 'auto' is not that of the best k, which is a maximum", () => {
    let [stated, greatest] = [0, 0];
    for (let seed = 1; seed <= 30; seed++) {
      const { features, labels } = synthetic({ nLayers: 3, nHeads: 4, perLabel: 12, seed });
      const fit = fitNow(features, labels, { k: 'auto' });
      stated += fit.classifier.data.leaveOneOutAccuracy! / 30;
      greatest += Math.max(...fit.leaveOneOut.map(({ accuracy }) => accuracy)) / 30;
    }
    expect(greatest).toBeGreaterThan(0.55);
    expect(Math.abs(stated - 0.5)).toBeLessThan(greatest - 0.5);
  });

  it('names a few of many labels with one example', () => {
    const many = Array.from({ length: 60 }, (_, c) => `class ${c}`);
    const { features, labels } = synthetic({ ...task, labels: many, signal: {}, perLabel: 1 });
    expect(() => fitNow(features, labels, { k: 'auto' })).toThrow(/'class 7' and 52 more have one: add another/);
  });

  it('parity needs no leave-one-out: one example a label will do', () => {
    const { features, labels } = synthetic({ ...task, nLayers: 6, perLabel: 1 });
    const { classifier } = fitNow(features, labels, parity);
    expect(classifier.data.heads).toHaveLength(20);
    expect(classifier.classify(features.vectors[1])).toMatchObject({ label: 'b', confidence: undefined });
  });

  it('transfer: heads of one task, centroids of another', () => {
    const one = synthetic({ ...task, perLabel: 10 });
    const other = synthetic({ ...task, labels: ['x', 'y'], perLabel: 10, truth: 5 });
    const heads = fitNow(one.features, one.labels, { k: 3 }).classifier.data.heads;
    const { classifier } = fitNow(other.features, other.labels, { heads });
    expect(classifier.data.heads.map(({ layer, head }) => [layer, head])).toEqual(
      heads.map(({ layer, head }) => [layer, head]),
    );
    expect(classifier.data.labels).toEqual(['x', 'y']);
    expect(classifier.data.leaveOneOutAccuracy).toBeGreaterThan(0.8);
    expect(() => fitNow(other.features, other.labels, { heads: [{ layer: 3, head: 0 }] })).toThrow(
      'no head 3.0: the features hold 3 layers of 4 heads',
    );
  });

  it('maxLayer keeps to shallow heads, and shallow queries suffice', () => {
    const { features, labels } = synthetic({ ...task, perLabel: 6 });
    const { classifier } = fitNow(features, labels, { k: 4, maxLayer: 0 });
    expect(classifier.maxLayer).toBe(0);
    const query = features.vectors[0];
    expect(classifier.classify(query.subarray(0, 64))).toEqual(classifier.classify(query));
  });

  it('refuses what cannot be', () => {
    const { features, labels } = synthetic({ ...task, perLabel: 2 });
    expect(() => fitNow(features, labels, { k: 13 })).toThrow('k: expected 1 to 12 heads (all that there are), got 13');
    expect(() => fitNow(features, labels, parity)).toThrow('got 20');
    expect(() => fitNow(features, labels, { ks: [40] })).toThrow('ks: none of 40 is from 1 to 12 heads');
    expect(() => fitNow(features, labels, { k: 1, maxLayer: 3 })).toThrow('the features hold layers 0 to 2, got 3');
    expect(() => fitNow(features, labels, { k: 'auto', calibrate: false })).toThrow('cannot go with calibrate: false');
    const ranking = rankNow(features, labels, 'train');
    expect(() => fitNow(features, labels, { k: 1, ranking })).toThrow("expected 6, 3 of 4, 'leave-one-out'");
    const single = pick(features, (i) => i < 4);
    expect(() => fitNow(single, labels.slice(0, 4), { k: 1, scoring: 'train', calibrate: true })).toThrow(
      "'b', 'c' have one",
    );
  });
});

describe('fitCalibration', () => {
  it('recovers the probabilities behind the outcomes', () => {
    const random = generator(3);
    const lead = Float64Array.from({ length: 4000 }, random);
    const truth = { slope: 4, intercept: -1 };
    const fitted = fitCalibration(
      lead,
      Array.from(lead, (value) => random() < confidenceOf(truth, value)),
      2,
    );
    expect(fitted.slope).toBeCloseTo(4, 0);
    for (const at of [0, 0.5, 1])
      expect(Math.abs(confidenceOf(fitted, at) - confidenceOf(truth, at))).toBeLessThan(0.03);
  });

  it('stays finite and short of certainty without a single mistake', () => {
    const fitted = fitCalibration([0.2, 0.9, 1], [true, true, true], 2);
    expect(confidenceOf(fitted, 1)).toBeCloseTo(0.8, 1);
  });

  it('is flat where a clear vote means nothing, or less', () => {
    expect(fitCalibration([0, 0, 0, 0], [true, true, true, false], 2).slope).toBe(0);
    expect(fitCalibration([0.1, 0.2, 0.9, 1], [true, true, false, false], 2).slope).toBe(0);
    const noise = gaussianNumbers(8);
    const separable = fitCalibration(
      Array.from({ length: 20 }, (_, i) => (i < 10 ? 0 : 1) + 1e-3 * noise()),
      Array.from({ length: 20 }, (_, i) => i >= 10),
      2,
    );
    expect(confidenceOf(separable, 1)).toBeGreaterThan(0.85);
    expect(confidenceOf(separable, 1)).toBeLessThan(0.99);
  });
});
