import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SavClassifier } from '../../src/sav/classifier.ts';
import { auditLabels, explain, nearestTrainingExample } from '../../src/sav/explain.ts';
import { features, fitNow, pick, synthetic } from './synthetic.ts';

const published = { vote: 'majority', compare: 'cosine' } as const;
const task = { labels: ['a', 'b', 'c'], perLabel: 6, signal: { 0: 1, 3: 1, 4: 1 } };

function fitted(
  options: Parameters<typeof fitNow>[2] = {},
): { classifier: SavClassifier } & ReturnType<typeof synthetic> {
  const data = synthetic(task);
  return {
    ...data,
    classifier: fitNow(data.features, data.labels, { ...published, k: 3, ...options }).classifier,
  };
}

describe('SavClassifier', () => {
  it('classifies by hand', () => {
    // Head 0 centroids a = (1,0), b = (0,1); head 1 centroids a = (0,1), b = (1,0).
    const train = features(
      [
        [1, 0, 0, 1],
        [1, 0, 0, 1],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
      ],
      2,
      2,
    );
    const { classifier } = fitNow(train, ['a', 'a', 'b', 'b'], { ...published, k: 2 });
    const prediction = classifier.classify(Float32Array.of(3, 4, 3, 4));
    expect(prediction.heads.map(({ layer, head, label }) => ({ layer, head, label }))).toEqual([
      { layer: 0, head: 0, label: 'b' },
      { layer: 0, head: 1, label: 'a' },
    ]);
    expect(prediction.heads[0].scores[0]).toBeCloseTo(0.6);
    expect(prediction.heads[0].scores[1]).toBeCloseTo(0.8);
    expect(prediction).toMatchObject({ label: 'b', votes: [1, 1], totals: [1, 1] });
  });

  it('votes among the candidates only', () => {
    const { classifier, features: given } = fitted();
    for (const vectors of given.vectors) {
      expect(classifier.classify(vectors, { candidates: ['c'] })).toMatchObject({ label: 'c', votes: [0, 0, 3] });
    }
    expect(() => classifier.classify(given.vectors[0], { candidates: ['d'] })).toThrow("labels (a, b, c), got 'd'");
    expect(() => classifier.classify(given.vectors[0], { candidates: [] })).toThrow('got none');
  });

  it('is surer of a clear vote than of a close one', () => {
    const { classifier, features: given } = fitted();
    const confidences = given.vectors
      .map((v) => classifier.classify(v))
      .map(({ votes, confidence }) => [Math.max(...votes), confidence!]);
    for (const [votes, confidence] of confidences) {
      expect(confidence).toBeGreaterThan(0);
      expect(confidence).toBeLessThan(1);
      for (const [fewer, less] of confidences) if (fewer < votes) expect(less).toBeLessThanOrEqual(confidence);
    }
  });

  it('refuses vectors that do not reach its heads', () => {
    const { classifier } = fitted();
    expect(() => classifier.classify(new Float32Array(24))).toThrow(
      'expected head vectors [2 or more, 3, 8], got 24 values',
    );
    expect(() => classifier.classify(new Float32Array(49))).toThrow('got 49 values');
  });

  it.each(['cosine', 'gaussian'] as const)('adding then removing is as if nothing had happened (%s)', (compare) => {
    const { classifier, features: given } = fitted({ compare });
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -100, max: 100, noNaN: true }), { minLength: 48, maxLength: 48 }),
        fc.constantFrom('a', 'c', 'new'),
        (values, label) => {
          const vectors = Float32Array.from(values);
          const back = classifier.add(vectors, label).remove(vectors, label);
          expect(back.data).toMatchObject({
            labels: classifier.data.labels,
            counts: classifier.data.counts,
            changes: 2,
          });
          back.data.sums.forEach((value, i) => {
            expect(value).toBeCloseTo(classifier.data.sums[i], 10);
          });
          const [before, after] = [classifier, back].map((c) => c.classify(given.vectors[0]));
          expect(after.votes).toEqual(before.votes);
          after.heads.forEach(({ scores }, h) => {
            scores.forEach((score, c) => {
              expect(score).toBeCloseTo(before.heads[h].scores[c], 6);
            });
          });
        },
      ),
      { numRuns: 30 },
    );
  });

  it.each(['cosine', 'gaussian'] as const)('adding equals fitting with the example (same heads, %s)', (compare) => {
    const { features: given, labels } = synthetic(task);
    const without = fitNow(
      pick(given, (i) => i !== 17),
      labels.slice(0, 17),
      { k: 3, compare },
    ).classifier;
    const heads = without.data.heads;
    const whole = fitNow(given, labels, { heads, compare }).classifier;
    const grown = without.add(given.vectors[17], labels[17]);
    expect(grown.data.counts).toEqual(whole.data.counts);
    for (const vectors of given.vectors) {
      const [a, b] = [grown, whole].map((c) => c.classify(vectors).heads.flatMap(({ scores }) => scores));
      a.forEach((score, i) => {
        expect(score).toBeCloseTo(b[i], 8);
      });
    }
  });

  it('an example is known again by vectors of another batch, which differ in last bits', () => {
    const { classifier, features: given, labels } = fitted({});
    const rounded = given.vectors[0].map((x) => x * (1 + 2e-7));
    expect(classifier.remove(rounded, labels[0]).data.counts).toEqual(
      classifier.remove(given.vectors[0], labels[0]).data.counts,
    );
    const { groups } = classifier.add(rounded, labels[0]).data.examples!;
    expect(groups.at(-1)).toBe(groups[0]);
  });

  it.each(['majority', 'weighted'] as const)('a class can be added and removed without the others (%s)', (vote) => {
    const { classifier, features: given } = fitted({ vote });
    const newcomer = given.vectors[0].map((value) => -value);
    const grown = classifier.add(newcomer, 'd');
    expect(grown.data.labels).toEqual(['a', 'b', 'c', 'd']);
    expect(grown.classify(newcomer)).toMatchObject({ label: 'd', votes: [0, 0, 0, 3] });
    expect(grown.removeClass('d').data.sums).toEqual(classifier.data.sums);
    const two = grown.removeClass('b');
    expect(two.data).toMatchObject({ labels: ['a', 'c', 'd'], counts: [6, 6, 1], changes: 7 });
    expect(two.classify(newcomer).heads.map(({ scores }) => scores[2])).toEqual(
      grown.classify(newcomer).heads.map(({ scores }) => scores[3]),
    );
    expect(() => two.removeClass('d').removeClass('a')).toThrow('needs at least two labels');
    expect(() => two.removeClass('b')).toThrow("got 'b'");
  });

  it('leaves the classifier that it came from alone', () => {
    const { classifier, features: given } = fitted({ compare: 'gaussian' });
    const before = structuredClone(classifier.data);
    classifier.add(given.vectors[3], 'b');
    classifier.remove(given.vectors[0], 'a');
    expect(classifier.data).toEqual(before);
  });
});

describe('explain', () => {
  it('names each head, its figures, its vote and the training example most like the query', () => {
    const { classifier, features: given, labels } = fitted();
    const query = given.vectors[4];
    const explained = explain(classifier, classifier.classify(query), query, { features: given, labels });
    expect(explained).toHaveLength(3);
    for (const [rank, head] of explained.entries()) {
      expect(head).toMatchObject(classifier.data.heads[rank]);
      expect(head.nExamples).toBe(18);
      expect(head.nearest).toMatchObject({ index: 4, label: labels[4] });
      expect(head.nearest!.similarity).toBeCloseTo(1, 6);
      const voted = head.scores.find(({ label }) => label === head.vote)!;
      expect(head.lead).toBeCloseTo(
        voted.score - Math.max(...head.scores.filter((s) => s !== voted).map((s) => s.score)),
        12,
      );
    }
    expect(explain(classifier, classifier.classify(query), query)[0].nearest).toBeUndefined();
  });
});

describe('nearestTrainingExample', () => {
  it('is the example itself, or the first of several that are equally near', () => {
    const { classifier, features: given, labels } = fitted();
    for (const [i, vectors] of given.vectors.entries()) {
      const found = nearestTrainingExample(classifier, vectors, { features: given, labels });
      expect(found).toMatchObject({ index: i, label: labels[i] });
      expect(found.similarity).toBeCloseTo(1, 6);
    }
    const twice = { ...given, vectors: [...given.vectors, ...given.vectors] };
    const both = { features: twice, labels: [...labels, ...labels] };
    expect(nearestTrainingExample(classifier, given.vectors[3], both).index).toBe(3);
  });

  it('asks the chosen heads alone, and all of them alike', () => {
    const { classifier, features: given, labels } = fitted();
    const { heads, nHeads, dHead } = classifier.data;
    const query = given.vectors[5].map((x, i) => {
      const flat = Math.floor(i / dHead);
      const chosen = heads.some(({ layer, head }) => layer * nHeads + head === flat);
      return chosen ? 7 * x : given.vectors[2][i]; // other heads, and lengths, say nothing
    });
    expect(nearestTrainingExample(classifier, query, { features: given, labels }).index).toBe(5);
  });
});

describe('auditLabels', () => {
  it('finds the example that was given the wrong label, and suggests the right one', () => {
    const { features: given, labels } = synthetic({ ...task, perLabel: 8, signal: { 0: 4, 3: 4, 4: 4 } });
    const wrong = labels.map((label, i) => (i === 6 ? 'c' : label));
    const { classifier } = fitNow(given, wrong, { k: 3 });
    expect(auditLabels(classifier, given, wrong)).toEqual([
      { index: 6, label: 'c', against: 3, heads: 3, suggested: 'a' },
    ]);
    expect(auditLabels(fitNow(given, labels, { k: 3 }).classifier, given, labels)).toEqual([]);
  });
});
