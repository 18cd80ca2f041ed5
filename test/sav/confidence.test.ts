import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { confidenceOf, fitCalibration, fitDistances, tailOf } from '../../src/sav/calibration.ts';
import { SavClassifier } from '../../src/sav/classifier.ts';
import { decodeClassifier, describeAge, encodeClassifier } from '../../src/sav/classifier-file.ts';
import { type FitOptions, parity } from '../../src/sav/fit.ts';
import { selection } from '../../src/sav/metrics.ts';
import { studentTail } from '../../src/sav/student.ts';
import { fitNow, pick, synthetic } from './synthetic.ts';

const task = { nLayers: 2, nHeads: 4, dHead: 8, labels: ['a', 'b', 'c'], signal: { 1: 3, 2: 3, 5: 3, 6: 3 } };
const train = synthetic({ ...task, perLabel: 15 });
const queries = synthetic({ ...task, perLabel: 40, seed: 2 });
/** Of classes that were never shown: other means. */
const strangers = synthetic({ ...task, perLabel: 15, truth: 1234, seed: 3 });
const rules: FitOptions[] = [
  {},
  { k: 4, vote: 'majority', compare: 'cosine' },
  { k: 4, vote: 'soft', compare: 'cosine' },
  { k: 4, vote: 'weighted', compare: 'cosine' },
  { k: 4, vote: 'weighted', compare: 'gaussian' },
  { ...parity, k: 4 },
];
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe('confidence', () => {
  it.each(rules)('falls on what is far from every class: %j', (options) => {
    const { classifier } = fitNow(train.features, train.labels, options);
    const confidences = (vectors: readonly Float32Array[]) => vectors.map((v) => classifier.classify(v).confidence!);
    expect(mean(confidences(queries.features.vectors))).toBeGreaterThan(0.8);
    expect(mean(confidences(strangers.features.vectors))).toBeLessThan(0.05);
    expect(classifier.classify(new Float32Array(64)).confidence).toBeLessThan(0.2);
    const candidates = ['a', 'b'];
    expect(classifier.classify(strangers.features.vectors[0], { candidates }).confidence).toBeLessThan(0.05);
  });

  it('is in [0, 1] and finite for every input, and refuses what is not finite by head', () => {
    const classifiers = rules.map((options) => fitNow(train.features, train.labels, options).classifier);
    fc.assert(
      fc.property(
        fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 64, maxLength: 64 }),
        fc.constantFrom(...classifiers),
        (values, classifier) => {
          const { confidence, typicality } = classifier.classify(Float32Array.from(values));
          expect(confidence! >= 0 && confidence! <= 1 && typicality! >= 0 && typicality! <= 1).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY])
      for (const [i, classifier] of classifiers.entries()) {
        const { layer, head } = classifier.data.heads[0];
        const vectors = train.features.vectors[0].slice();
        vectors[(layer * 4 + head) * 8 + 3] = bad;
        expect(() => classifier.classify(vectors)).toThrow(`head ${layer}.${head} of the query is not finite`);
        const damaged = { ...train.features, vectors: [vectors, ...train.features.vectors.slice(1)] };
        expect(() => fitNow(damaged, train.labels, rules[i])).toThrow(
          `head ${layer}.${head} of example 1 is not finite`,
        );
      }
  });

  it('rises with the lead, falls with the distance, and never passes its ceiling', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.double({ min: 0, max: 50, noNaN: true }),
            fc.boolean(),
            fc.double({ min: 0, max: 1e6, noNaN: true }),
          ),
          { minLength: 2, maxLength: 40 },
        ),
        fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 2, maxLength: 8 }),
        (rows, at) => {
          const calibration = fitCalibration(
            rows.map(([lead]) => lead),
            rows.map(([, right]) => right),
            3,
          );
          const distances = fitDistances(
            rows.map(([, , distance]) => distance),
            rows.length,
          )!;
          const sorted = [...at].sort((a, b) => a - b);
          for (const [i, value] of sorted.entries()) {
            const of = (lead: number, distance: number) => confidenceOf(calibration, lead, tailOf(distances, distance));
            expect(of(value, 1)).toBeGreaterThanOrEqual(0);
            expect(of(value, 0)).toBeLessThanOrEqual(calibration.ceiling!);
            if (i === 0) continue;
            expect(of(value, 1)).toBeGreaterThanOrEqual(of(sorted[i - 1], 1) - 1e-12);
            expect(of(1, value)).toBeLessThanOrEqual(of(1, sorted[i - 1]) + 1e-12);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('a training set without a mistake does not make every lead as good', () => {
    const calibration = fitCalibration([3, 4, 5, 4, 3], [true, true, true, true, true], 2);
    expect(confidenceOf(calibration, 4)).toBeGreaterThan(0.75);
    expect(confidenceOf(calibration, 0)).toBeLessThan(0.7);
    expect(confidenceOf(calibration, 1e9)).toBe(6 / 7);
  });

  it("Student's t by its table", () => {
    // Two-sided 5 % points of the published table, and the Cauchy distribution.
    for (const [freedom, t] of [
      [1, 12.706],
      [2, 4.303],
      [3, 3.182],
      [5, 2.571],
      [10, 2.228],
      [30, 2.042],
      [120, 1.98],
    ])
      expect(studentTail(t, freedom)).toBeCloseTo(0.025, 4);
    expect(studentTail(-1, 1)).toBeCloseTo(0.75, 12);
    expect(studentTail(0, 7)).toBeCloseTo(0.5, 12);
  });
});

describe('refusal', () => {
  it('none of these: of known classes about the rate is refused, of strangers nearly all', () => {
    const rounds = [1, 2, 3, 4, 5, 6].map((round) => {
      const of = (perLabel: number, seed: number, truth = 100 + round) =>
        synthetic({ ...task, perLabel, truth, seed: 7 * round + seed });
      const [shown, asked, others] = [of(15, 0), of(40, 3), of(15, 5, 999)];
      const refusal = { noneOfThese: 0.05 };
      const { classifier } = fitNow(shown.features, shown.labels, { k: 4, refusal });
      const answers = [...asked.features.vectors, ...others.features.vectors].map((v) => classifier.classify(v));
      const truth = [...asked.labels, ...others.labels.map((label) => `not ${label}`)];
      return selection(truth, answers, classifier.data.labels);
    });
    const falseReject = mean(rounds.map((round) => round.falseReject!));
    expect(falseReject).toBeGreaterThan(0.015);
    expect(falseReject).toBeLessThan(0.08);
    expect(mean(rounds.map((round) => round.falseAccept!))).toBeLessThan(0.02);
    expect(mean(rounds.map((round) => round.accuracy!))).toBeGreaterThan(0.95);
    const { classifier } = fitNow(train.features, train.labels, { refusal: { noneOfThese: 0.05 } });
    const stranger = classifier.classify(strangers.features.vectors[0]);
    expect(stranger).toMatchObject({ label: null, refused: 'none of these' });
    const off = classifier.classify(strangers.features.vectors[0], { refusal: { noneOfThese: 0 } });
    expect(off.label).toBe(stranger.winner);
  });

  it('abstains below the confidence asked for, and only there', () => {
    const { classifier } = fitNow(train.features, train.labels);
    const values = queries.features.vectors.map((v) => classifier.classify(v).confidence!);
    const abstain = [...values].sort((a, b) => a - b)[20];
    const answers = queries.features.vectors.map((v) => classifier.classify(v, { refusal: { abstain } }));
    expect(answers.map(({ label }) => label === null)).toEqual(values.map((value) => value < abstain));
    expect(answers.find(({ label }) => label === null)).toMatchObject({ refused: 'unsure' });
    expect(() => classifier.classify(train.features.vectors[0], { refusal: { abstain: 2 } })).toThrow('got 2');
  });

  it('counts by hand', () => {
    const answers = [
      { label: 'a' },
      { label: 'b' },
      { label: null, refused: 'none of these' },
      { label: null, refused: 'unsure' },
      { label: 'a' },
      { label: null, refused: 'none of these' },
    ];
    expect(selection(['a', 'a', 'a', 'b', 'z', 'z'], answers, ['a', 'b'])).toEqual({
      known: 4,
      answered: 2,
      right: 1,
      coverage: 0.5,
      accuracy: 0.5,
      falseReject: 0.25,
      outsiders: 2,
      falseAccept: 0.5,
    });
  });
});

describe('a classifier that changes', () => {
  const two = (keep: (label: string) => boolean) => ({
    features: pick(train.features, (i) => keep(train.labels[i])),
    labels: train.labels.filter(keep),
  });
  const model = { modelId: 'synthetic', nLayers: 2, nHeads: 4, dHead: 8 };

  it.each(rules)('knows a class that was added, and says less of one that was removed: %j', (options) => {
    const { features: given, labels } = two((label) => label !== 'c');
    const before = fitNow(given, labels, options).classifier;
    const queriesOfC = queries.features.vectors.filter((_, i) => queries.labels[i] === 'c');
    const confidence = (classifier: SavClassifier) => mean(queriesOfC.map((v) => classifier.classify(v).confidence!));
    expect(confidence(before)).toBeLessThan(0.1);
    let after = before;
    for (const [i, label] of train.labels.entries())
      if (label === 'c') after = after.add(train.features.vectors[i], label);
    expect(mean(queriesOfC.map((v) => Number(after.classify(v).label === 'c')))).toBeGreaterThan(0.9);
    expect(confidence(after)).toBeGreaterThan(0.7);
    expect(confidence(after.removeClass('c'))).toBeCloseTo(confidence(before), 1);
    expect(decodeClassifier(encodeClassifier(after), 'c', model).data).toEqual(after.data);
  });

  it('is calibrated as a classifier fitted on all, where the heads are given', () => {
    const { heads } = fitNow(train.features, train.labels, { k: 3 }).classifier.data;
    const whole = fitNow(train.features, train.labels, { heads }).classifier;
    const rest = fitNow(
      pick(train.features, (i) => i < 40),
      train.labels.slice(0, 40),
      { heads },
    ).classifier;
    let grown = rest;
    for (let i = 40; i < 45; i++) grown = grown.add(train.features.vectors[i], train.labels[i]);
    expect(grown.data.calibration).toEqual(whole.data.calibration);
    expect(grown.data.leaveOneOutAccuracy).toBe(whole.data.leaveOneOutAccuracy);
  });

  it('relabels, and refuses to remove what it never had', () => {
    const { classifier } = fitNow(train.features, train.labels);
    const moved = classifier.relabel(train.features.vectors[0], 'a', 'b');
    expect(moved.data.counts).toEqual([14, 16, 15]);
    expect(moved.relabel(train.features.vectors[0], 'b', 'a').data.counts).toEqual([15, 15, 15]);
    expect(() => classifier.remove(queries.features.vectors[0], 'a')).toThrow('none has these head vectors');
    const again = classifier.add(train.features.vectors[0], 'a').data.examples!.groups;
    expect(again.at(-1)).toBe(again[0]);
  });

  it('an older file, without examples, loads, keeps its confidence until it changes, and says what it lacks', () => {
    const { data } = fitNow(train.features, train.labels, { k: 3 }).classifier;
    const { slope, intercept } = data.calibration!;
    const old = new SavClassifier({ ...data, examples: undefined, calibration: { slope, intercept } });
    const loaded = decodeClassifier(encodeClassifier(old), 'c', model);
    expect(describeAge(loaded, 'c')).toMatch(/^c: of an older format, .*fit again/);
    const query = queries.features.vectors[0];
    expect(loaded.classify(query)).toMatchObject({ label: 'a', typicality: undefined });
    expect(loaded.classify(query).confidence).toBeGreaterThan(0);
    expect(() => loaded.classify(query, { refusal: { noneOfThese: 0.05 } })).toThrow('was not measured');
    expect(loaded.add(query, 'a').classify(query).confidence).toBeUndefined();
  });
});
