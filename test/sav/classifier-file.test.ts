import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import { tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { SavClassifier } from '../../src/sav/classifier.ts';
import { decodeClassifier, encodeClassifier } from '../../src/sav/classifier-file.ts';
import type { FitOptions } from '../../src/sav/fit.ts';
import { fitNow, synthetic } from './synthetic.ts';

const { features, labels } = synthetic({ labels: ['red', 'blue', '"<é>"'], perLabel: 4, signal: { 1: 1, 4: 1 } });
const model = { modelId: 'synthetic', nLayers: 2, nHeads: 3, dHead: 8 };
const fitted = (options: FitOptions = {}) => fitNow(features, labels, { k: 3, ...options }).classifier;

/** As it comes from a file of version 1, which held sums in place of examples. */
const old = ({ data }: SavClassifier) => new SavClassifier({ ...data, examples: undefined });

/** A file with some of a good one's settings and tensors replaced. */
function tampered(
  settings: object,
  tensors: Record<string, ReturnType<typeof tensorOf> | undefined> = {},
  options?: FitOptions,
  made: (classifier: SavClassifier) => SavClassifier = old,
) {
  const bytes = encodeClassifier(made(fitted(options)));
  const header = parseSafetensors('good', bytes);
  const all = [...header.tensors.values()].map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    data: tensorBytes('good', header, bytes, name),
  }));
  const kept = [
    ...all.filter(({ name }) => !Object.hasOwn(tensors, name)),
    ...Object.values(tensors).filter((t) => t !== undefined),
  ];
  const { classifier, ...metadata } = header.metadata;
  return writeSafetensors(kept, {
    ...metadata,
    classifier: JSON.stringify({ ...JSON.parse(classifier), ...settings }),
  });
}

const load = (bytes: Uint8Array, of = model) => decodeClassifier(bytes, 'c.safetensors', of);

describe('classifier file', () => {
  it.each<FitOptions>([
    {},
    { vote: 'soft', prompt: 'What?', promptSet: 'pets' },
    { vote: 'weighted', scoring: 'train' },
    { compare: 'gaussian', vote: 'soft' },
    { calibrate: false },
  ])('loads as it was saved, to the last bit: %j', (options) => {
    const classifier = fitted(options);
    const loaded = load(encodeClassifier(classifier));
    expect(loaded.data).toEqual(classifier.data);
    for (const vectors of features.vectors) expect(loaded.classify(vectors)).toEqual(classifier.classify(vectors));
    expect(loaded.remove(features.vectors[0], 'red').data.counts).toEqual([3, 4, 4]);
    expect(encodeClassifier(loaded)).toEqual(encodeClassifier(classifier));
    expect(load(Buffer.from(encodeClassifier(classifier))).data).toEqual(classifier.data);
  });

  it('names both models when loaded with another', () => {
    expect(() => load(encodeClassifier(fitted()), { ...model, modelId: 'another' })).toThrow(
      'c.safetensors: was fitted on model "synthetic", the model in use is "another"; use that model, or fit again',
    );
    expect(() => load(encodeClassifier(fitted()), { ...model, dHead: 4 })).toThrow(
      '2 layers of 3 heads of size 8, the model has 2 of 3 of size 4',
    );
    expect(load(encodeClassifier(fitted()), { ...model, nLayers: 9 })).toBeInstanceOf(SavClassifier);
  });

  it.each<[string, object, Parameters<typeof tampered>[1], FitOptions, RegExp]>([
    ['an unknown setting', { evil: 1 }, {}, {}, /bad settings: settings: .*evil/],
    ['a label twice', { labels: ['a', 'a', 'b'] }, {}, {}, /labels: a label occurs twice/],
    ['a count of 0', { counts: [4, 0, 4] }, {}, {}, /counts\.1: /],
    ['counts for other labels', { counts: [4, 4] }, {}, {}, /counts: 2 counts for 3 labels/],
    [
      'a head that there is not',
      { heads: [{ layer: 2, head: 0, correct: 1, margin: 0 }] },
      {},
      {},
      /no head 2\.0 in 2 layers of 3/,
    ],
    ['a vote that there is not', { vote: 'mob' }, {}, {}, /vote: /],
    [
      'heads without sums',
      { heads: [{ layer: 1, head: 0, correct: 1, margin: 0 }] },
      {},
      {},
      /sums: expected F64 \[1, 3, 8\], the file has F64 \[3, 3, 8\]/,
    ],
    ['no sums', {}, { sums: undefined }, {}, /has no tensor 'sums'/],
    [
      'sums of another type',
      {},
      { sums: tensorOf('sums', [3, 3, 8], new Float32Array(72)) },
      {},
      /expected F64 \[3, 3, 8\], the file has F32/,
    ],
    [
      'sums that are not numbers',
      {},
      { sums: tensorOf('sums', [3, 3, 8], new Float64Array(72).fill(Number.NaN)) },
      {},
      /sums holds a value that is not finite/,
    ],
    ['a tensor too many', {}, { x: tensorOf('x', [1], new Float64Array(1)) }, {}, /no classifier of its kind has: "x"/],
    [
      'more right than said',
      {},
      { right: tensorOf('right', [3, 3], new Int32Array(9).fill(99)) },
      { vote: 'weighted' },
      /more right votes than votes/,
    ],
    [
      'a scatter that is none',
      {},
      { products: tensorOf('products', [3, 8, 8], new Float64Array(192).fill(-1e6)) },
      { compare: 'gaussian' },
      /c\.safetensors: sums of outer products do not belong/,
    ],
    ['weighted votes without weights', { vote: 'weighted' }, {}, {}, /has no tensor 'said'/],
  ])('refuses %s', (_, settings, tensors, options, message) => {
    let error: unknown;
    try {
      load(tampered(settings, tensors, options));
    } catch (caught) {
      error = caught;
    }
    expect(String(error)).toMatch(message);
    expect(String(error)).toMatch(/Error: c\.safetensors: .*; fit the classifier again$/);
  });

  it('refuses other safetensors files, and other versions', () => {
    expect(() => load(writeSafetensors([tensorOf('sums', [1], new Float64Array(1))]))).toThrow(
      "not a classifier made by 'fit'",
    );
    const metadata = { format: 'headlight-sav-classifier', version: '3', classifier: '{}' };
    expect(() => load(writeSafetensors([], metadata))).toThrow(
      'format version "3", this build reads 1 and 2; fit the classifier again',
    );
    expect(() => load(writeSafetensors([], { ...metadata, version: '1', classifier: '{' }))).toThrow(
      'settings are not JSON',
    );
  });

  it('speaks of a classifier, not of a checkpoint, where the bytes are damaged or something else', () => {
    const good = encodeClassifier(fitted());
    const wanted = "c.safetensors: is no whole safetensors file: damaged, or not a classifier made by 'fit'; fit the";
    for (const bad of [good.slice(0, 5), good.slice(0, 50), good.slice(0, -1), new TextEncoder().encode('%PNG not so')])
      expect(() => load(bad)).toThrow(wanted);
  });

  it('random damage is an error or a classifier, never anything else', () => {
    const good = encodeClassifier(fitted());
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), fc.boolean(), (at, value, cut) => {
        const bad = cut ? good.slice(0, at) : good.slice();
        if (!cut) bad[at] = value;
        try {
          expect(load(bad).classify(features.vectors[0]).heads).toHaveLength(3);
        } catch (error) {
          expect(String(error)).toContain('c.safetensors');
        }
      }),
      { numRuns: 300 },
    );
  });
});
