import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { describeLeaks, findLeaks } from '../../src/sav/data.ts';
import { extractFeatures, type HeadFeatures } from '../../src/sav/features.ts';
import { describeRepeats, groupExamples } from '../../src/sav/groups.ts';
import { example, FakeModel, features, fitNow, leaveOneOutNow, pick, rankNow, synthetic } from './synthetic.ts';

/** The same examples and each a second time, at the end. */
function doubled({ features: given, labels }: { features: HeadFeatures; labels: string[] }) {
  return { features: { ...given, vectors: [...given.vectors, ...given.vectors] }, labels: [...labels, ...labels] };
}

const noise = () => synthetic({ nLayers: 3, nHeads: 4, perLabel: 12, seed: 5 });

describe('groupExamples', () => {
  it('links equal contents, equal vectors and equal keys, through each other', () => {
    const given = { ...features([[1], [2], [3], [2], [4], [5]], 1), contents: ['p', 'q', 'p', 'r', 's', 't'] };
    expect([...groupExamples(given).of]).toEqual([0, 1, 0, 1, 2, 3]);
    expect(groupExamples(given, ['x', 'y', 'z', 'w', 'x', 'v']).members).toEqual([[0, 2, 4], [1, 3], [5]]);
    expect(() => groupExamples(given, ['x'])).toThrow('groups: expected one for each of 6 examples, got 1');
  });

  it('links vectors that are equal but for rounding, as another batch gives the same pixels', () => {
    const { features: given, labels } = noise();
    const again = given.vectors.map((vector) => vector.map((x, i) => x * (1 + (i % 2 ? 2e-7 : -2e-7))));
    const both = { ...given, vectors: [...given.vectors, ...again] };
    const n = labels.length;
    expect(groupExamples(both).members).toEqual(labels.map((_, i) => [i, n + i]));
    const near = given.vectors[0].map((x) => x * 1.001); // another picture, if barely
    expect(
      groupExamples({ ...given, vectors: [given.vectors[0], near, new Float32Array(near.length)] }).members,
    ).toHaveLength(3);
  });

  it('equal pictures are known by their bytes, whatever their names and questions; texts where there is no picture', async () => {
    const model = new FakeModel();
    const picture = Uint8Array.of(1, 2);
    const rows = [
      example('a?', { 'a.png': picture }),
      example('b?', { 'b.png': picture.slice() }),
      example('a?', { 'c.png': Uint8Array.of(1, 3) }),
      example('text', {}),
      example('text', {}),
    ];
    const { contents } = await extractFeatures(model, rows);
    expect(contents![0]).toBe(contents![1]);
    expect(contents![3]).toBe(contents![4]);
    expect(new Set(contents).size).toBe(3);
  });
});

describe('leave-one-out of groups', () => {
  it('a training set that holds every picture twice says no better of itself than one that holds each once', () => {
    const once = noise();
    const twice = doubled(once);
    const accuracy = (of: typeof once, groups?: { of: Int32Array; members: number[][] }) =>
      leaveOneOutNow(of.features, of.labels, {
        scoring: 'leave-one-out',
        vote: 'soft',
        compare: 'gaussian',
        ks: [3],
        groups,
      })[0].accuracy;
    const alone = { of: Int32Array.from(twice.labels.keys()), members: twice.labels.map((_, i) => [i]) };
    expect(accuracy(twice, alone)).toBeGreaterThan(accuracy(once) + 0.2);
    expect(Math.abs(accuracy(twice) - accuracy(once))).toBeLessThan(0.15);
    expect(rankNow(twice.features, twice.labels).correct.map((n) => n / 2)).toEqual(
      rankNow(once.features, once.labels).correct,
    );
  });

  it('equals fitting anew, heads included, without the group', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.constantFrom('train', 'leave-one-out'),
        fc.constantFrom('majority', 'soft', 'weighted'),
        fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 15, maxLength: 15 }),
        (seed, scoring, vote, keys) => {
          const { features: given, labels } = synthetic({
            labels: ['a', 'b', 'c'],
            perLabel: 5,
            signal: { 2: 0.7 },
            seed,
          });
          const groups = groupExamples(given, keys);
          const [{ predicted }] = leaveOneOutNow(given, labels, { scoring, vote, compare: 'cosine', ks: [3], groups });
          for (const [i, c] of predicted.entries()) {
            const stays = (j: number) => keys[j] !== keys[i];
            const rest = labels.filter((_, j) => stays(j));
            const options = { k: 3, scoring, vote, compare: 'cosine', calibrate: false } as const;
            if (new Set(rest).size < 3) {
              expect(c).toBe(-1);
              continue;
            }
            const restKeys = keys.filter((_, j) => stays(j));
            // Scores of a set in which a label has one group are not comparable: fitting refuses them.
            const whole = ['a', 'b', 'c'].every((x) => new Set(restKeys.filter((_, j) => rest[j] === x)).size > 1);
            if (!whole) continue;
            const { classifier } = fitNow(pick(given, stays), rest, { ...options, groups: restKeys });
            expect(['a', 'b', 'c'][c]).toBe(classifier.classify(given.vectors[i]).winner);
          }
        },
      ),
      {
        numRuns: 10,
        // Every group crosses classes: as many shares as examples, in another order.
        examples: [[1, 'train', 'majority', [1, 0, 0, 2, 1, 4, 0, 5, 5, 5, 2, 3, 3, 3, 1]]],
      },
    );
  });

  it('says where a label cannot be left out, and judges the others', () => {
    const { features: given, labels } = synthetic({ labels: ['a', 'b', 'c'], perLabel: 6, signal: { 1: 2, 4: 2 } });
    const one = pick(given, (i) => labels[i] !== 'c' || i < 3);
    const few = labels.filter((label, i) => label !== 'c' || i < 3);
    const { classifier, notes, leaveOneOut: results } = fitNow(one, few);
    expect(notes).toEqual([expect.stringMatching(/^'c': one example, which cannot be left out/)]);
    expect(results[0].predicted.filter((c) => c < 0)).toHaveLength(1);
    expect(classifier.classify(one.vectors[0]).confidence).toBeGreaterThan(0);
    // One picture, repeated, is one example.
    const copies = { ...one, vectors: [...one.vectors, one.vectors[2]] };
    expect(fitNow(copies, [...few, few[2]]).notes[0]).toContain("'c' (one picture, repeated)");
  });

  it('one example a label: scored on the training set, without a confidence, and says so', () => {
    const signal = { 0: 3, 1: 3, 2: 3, 3: 3, 4: 3, 5: 3 };
    const { features: given, labels } = synthetic({ labels: ['a', 'b', 'c'], perLabel: 1, signal });
    const { classifier, notes } = fitNow(given, labels);
    expect(notes.join('\n')).toMatch(/none can be left out.*not calibrated\ntoo few examples to measure a spread/s);
    expect(classifier.data).toMatchObject({ scoring: 'train', compare: 'cosine' });
    expect(classifier.data.calibration).toBeUndefined();
    const query = synthetic({ labels: ['a', 'b', 'c'], perLabel: 1, signal, seed: 9 });
    expect(classifier.classify(query.features.vectors[1])).toMatchObject({ label: 'b' });
    expect(classifier.classify(query.features.vectors[1]).confidence).toBeUndefined();
    expect(() => fitNow(given, labels, { scoring: 'leave-one-out' })).toThrow("scoring 'train' and a number of heads");
    expect(() => fitNow(given, labels, { refusal: { noneOfThese: 0.05 } })).toThrow('was not measured');
  });

  it('a task on text beside one picture is not one group', () => {
    const { features: given, labels } = noise();
    const { notes, groups } = fitNow({ ...given, contents: labels.map(() => 'blank') }, labels, { k: 3 });
    expect(groups.members).toHaveLength(24);
    expect(notes[0]).toContain('only rows with the same picture and the same text are left out together');
  });
});

describe('what is said', () => {
  it('names rows that repeat a picture, and equal rows of different labels', () => {
    const groups = groupExamples(features([[1], [2], [1], [3], [2]], 1));
    const rows = ['a', 'b', 'c', 'd', 'b'].map((label, i) => ({ source: `t:${i + 1}`, prompt: '?', label }));
    expect(describeRepeats(groups, rows)).toEqual([
      '2 of 5 rows repeat a picture: t:1 = t:3, t:2 = t:5; rows with the same picture are left out together',
      'the same picture and text under different labels: t:1 (a) = t:3 (c)',
    ]);
    expect(describeRepeats(groupExamples(features([[1], [2]], 1)), rows)).toEqual([]);
  });

  it('leaks are found by picture, by text and by vectors', async () => {
    const train = [example('q', { 'a.png': Uint8Array.of(1) }, 'x'), example('q', { 'b.png': Uint8Array.of(2) }, 'y')];
    const test = [
      example('q', { 'c.png': Uint8Array.of(1) }, 'x'),
      example('other', { 'd.png': Uint8Array.of(2) }, 'x'),
      example('q', { 'e.png': Uint8Array.of(9) }, 'x'),
    ];
    expect((await findLeaks(train, test)).map(({ otherText = false }) => otherText)).toEqual([false, true]);
    const vectors = { train: [[1], [2]], test: [[3], [4], [2.0000002]] };
    const asFloats = (values: number[][]) => values.map((v) => Float32Array.from(v));
    const leaks = await findLeaks(train, test, { train: asFloats(vectors.train), test: asFloats(vectors.test) });
    expect(leaks).toHaveLength(3);
    expect(leaks[2].train).toBe(train[1]);
    expect(describeLeaks(leaks, 3)).toMatch(
      /^2 of 3 test rows are also training rows .*; 1 of 3 test rows show a picture/,
    );
  });
});
