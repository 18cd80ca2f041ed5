// Against a Python run of the method on transformers' activations (test/reference/sav_reference.py): the same integer
// scores for every head, the same ranking, the same votes and labels.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import type { HeadFeatures } from '../../src/sav/features.ts';
import { type FitOptions, parity } from '../../src/sav/fit.ts';
import type { Scoring } from '../../src/sav/scoring.ts';
import { fitNow, rankNow } from './synthetic.ts';

const folder = new URL('../fixtures/sav/', import.meta.url);
const bytes = readFileSync(new URL('expected.safetensors', folder));
const header = parseSafetensors('expected.safetensors', bytes);
const report: { classes: string[]; k: number } = JSON.parse(readFileSync(new URL('expected.json', folder), 'utf8'));
const labelsOf = (file: string): string[] =>
  readFileSync(new URL(file, folder), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).label);

function tensor(name: string): { shape: readonly number[]; values: number[] } {
  const { dtype, shape } = header.tensors.get(name)!;
  const { buffer } = new Uint8Array(tensorBytes('expected.safetensors', header, bytes, name));
  return { shape, values: Array.from(dtype === 'I32' ? new Int32Array(buffer) : new Float32Array(buffer)) };
}

function features(name: string): HeadFeatures {
  const { shape, values } = tensor(name);
  const [n, nLayers, nHeads, dHead] = shape;
  const size = nLayers * nHeads * dHead;
  const vectors = Array.from({ length: n }, (_, i) => Float32Array.from(values.slice(i * size, (i + 1) * size)));
  return { modelId: 'oracle', nLayers, nHeads, dHead, vectors };
}

const train = features('head_vectors.train');
const queries = features('head_vectors.queries');
const labels = labelsOf('train.jsonl');
const flat = (pairs: number[]) =>
  Array.from({ length: pairs.length / 2 }, (_, i) => pairs[2 * i] * train.nHeads + pairs[2 * i + 1]);

describe('head scores', () => {
  it.each<[Scoring, string]>([
    ['train', 'train'],
    ['leave-one-out', 'leave_one_out'],
  ])('%s: equal for every head, and so is the ranking', (scoring, name) => {
    const ranking = rankNow(train, labels, scoring);
    expect([...ranking.correct]).toEqual(tensor(`${name}.scores`).values);
    expect([...ranking.order]).toEqual(flat(tensor(`${name}.ranking`).values));
    tensor('leave_one_out.margins').values.forEach((margin, h) => {
      expect(ranking.margin[h]).toBeCloseTo(margin, 6);
    });
  });
});

describe('predictions', () => {
  const fixed = flat(tensor('fixed.heads').values).map((h) => ({
    layer: Math.floor(h / train.nHeads),
    head: h % train.nHeads,
  }));
  const k = report.k;
  const cases: [string, FitOptions][] = [
    ['parity', { ...parity, k }],
    ['leave_one_out', { ...parity, k, scoring: 'leave-one-out' }],
    ['fixed', { ...parity, k: fixed.length, heads: fixed }],
  ];
  it.each(cases)('%s: the same heads, similarities, votes and labels', (name, options) => {
    const { data } = fitNow(train, labels, options).classifier;
    expect(data.labels).toEqual(report.classes);
    expect(data.heads.flatMap(({ layer, head }) => [layer, head])).toEqual(tensor(`${name}.heads`).values);
    for (const vote of ['majority', 'soft'] as const) {
      const { classifier } = fitNow(train, labels, { ...options, vote });
      const predictions = queries.vectors.map((vectors) => classifier.classify(vectors));
      expect(predictions.map(({ winner }) => report.classes.indexOf(winner))).toEqual(tensor(`${name}.${vote}`).values);
      const heads = predictions.flatMap((prediction) => prediction.heads);
      expect(heads.map(({ label }) => report.classes.indexOf(label))).toEqual(tensor(`${name}.votes`).values);
      const similarities = heads.flatMap(({ scores }) => scores);
      tensor(`${name}.similarities`).values.forEach((similarity, i) => {
        expect(similarities[i]).toBeCloseTo(similarity, 6);
      });
    }
  });

  it("some of the fixed heads' votes tie, so that the tie rule is put to the test", () => {
    const { values, shape } = tensor('fixed.votes');
    const ties = Array.from({ length: shape[0] }, (_, q) => {
      const counts = report.classes.map(
        (_, c) => values.slice(q * shape[1], (q + 1) * shape[1]).filter((v) => v === c).length,
      );
      return counts.filter((count) => count === Math.max(...counts)).length;
    });
    expect(ties.filter((tied) => tied > 1).length).toBeGreaterThan(0);
  });
});
