import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import { tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { encodeClassifier } from '../../src/sav/classifier-file.ts';
import { labelsOf } from '../../src/sav/data.ts';
import { DataError } from '../../src/sav/errors.ts';
import { MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import { extractFeatures } from '../../src/sav/features.ts';
import {
  describeOtherModel,
  type Project,
  projectExamples,
  projectStore,
  withKnownVectors,
} from '../../src/sav/project.ts';
import { decodeProject, encodeProject } from '../../src/sav/project-file.ts';
import { FakeModel, fitNow } from './synthetic.ts';

const file = 'pets.headlight';
const pictures = Array.from({ length: 9 }, (_, i) => ({
  name: i === 3 ? '../../etc/passwd' : `${i}.png`,
  label: i < 8 ? ['cat', 'dog'][i % 2] : undefined,
  bytes: Uint8Array.of(i, i * 7, 3),
}));
const project: Project = { question: 'Which animal?', fit: { k: 3, refusal: { noneOfThese: 0.05 } }, pictures };
const read = (bytes: Uint8Array) => decodeProject(bytes, file);

/** Head vectors of a project's pictures with a class, by a store of its own vectors. */
const featuresOf = async (of: Project, model: FakeModel, question?: string) =>
  extractFeatures(model, projectExamples(of, file, { question }), { store: await projectStore(of, model) });

/** The same, known to the model. */
async function known(model = new FakeModel()): Promise<Project> {
  const store = new MemoryFeatureStore();
  await extractFeatures(model, projectExamples(project, file, { labels: 'optional' }), { store });
  return withKnownVectors(project, model, store);
}

/** A file with some of a good one's settings, metadata and tensors replaced; undefined leaves out. */
function tampered(
  bytes: Uint8Array,
  settings: object,
  metadata: object = {},
  stray: Record<string, Float32Array> = {},
) {
  const header = parseSafetensors('good', bytes);
  const own = [...header.tensors.values()].filter(({ name }) => !(name in stray));
  return writeSafetensors(
    [
      ...own.map((info) => ({ ...info, data: tensorBytes('good', header, bytes, info.name) })),
      ...Object.entries(stray).map(([name, values]) => tensorOf(name, [values.length], values)),
    ],
    {
      ...header.metadata,
      project: JSON.stringify({ ...JSON.parse(header.metadata.project), ...settings }),
      ...metadata,
    },
  );
}

describe('project file', () => {
  it('any project loads as it was saved, with vectors and without', async () => {
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
    const picture = fc.record({
      name,
      label: fc.option(name, { nil: undefined }),
      bytes: fc.uint8Array({ maxLength: 9 }),
    });
    const any = fc.record({
      question: name,
      fit: fc.constantFrom({}, { k: 'auto' as const }),
      pictures: fc.array(picture, { maxLength: 4 }),
    });
    fc.assert(
      fc.property(any, (own) => {
        const bytes = encodeProject(own);
        expect(read(bytes)).toEqual({ vectorsOf: undefined, ...own });
        expect(Buffer.compare(encodeProject(read(bytes)), bytes)).toBe(0);
      }),
      { numRuns: 40 },
    );
    const full = await known();
    expect(full.pictures.every(({ vectors }) => vectors?.length === 2 * 2 * 4)).toBe(true);
    expect(read(encodeProject(full))).toEqual(full);
    const buffer = Buffer.from(encodeProject(full));
    expect(encodeProject(read(buffer))).toEqual(new Uint8Array(buffer));
  });

  it('a project with head vectors gives the same classifier wherever it is opened, and runs nothing', async () => {
    const made = await featuresOf(project, new FakeModel());
    const opened = read(encodeProject(await known()));
    const model = new FakeModel();
    const features = await featuresOf(opened, model);
    expect(model.forwards).toBe(0);
    const fitted = (of: typeof features) =>
      encodeClassifier(fitNow(of, labelsOf(projectExamples(opened, file)), { k: opened.fit.k }).classifier);
    expect(fitted(features)).toEqual(fitted(made));
    await featuresOf(opened, model, 'Another question?');
    expect(model.forwards).toBe(8);
  });

  it.each<[string, Partial<FakeModel>, RegExp]>([
    [
      'another model',
      { modelId: 'other' },
      /of model "fake-model", f32, the model in use is "other", f32: the model is/,
    ],
    ['another precision', { precision: 'q4' }, /of model "fake-model", f32, the model in use is "fake-model", q4/],
    ['another size', { nHeads: 3 }, /another version of this model/],
  ])('head vectors of %s are not taken, and it is said', async (_, change, said) => {
    const model = Object.assign(new FakeModel(), change);
    const own = await known();
    expect(describeOtherModel(own, new FakeModel())).toBeUndefined();
    expect(describeOtherModel(own, model)).toMatch(said);
    await featuresOf(own, model);
    expect(model.forwards).toBe(8);
  });

  it('does not put vectors into the store that is given', async () => {
    const store = new MemoryFeatureStore();
    const model = new FakeModel();
    await extractFeatures(model, projectExamples(project, file), {
      store: await projectStore(await known(), model, store),
    });
    expect(store.entries.size).toBe(0);
  });

  it('takes names for names alone', () => {
    const [, , , { source, images }] = projectExamples(project, file);
    expect([source, images]).toEqual([`${file}/../../etc/passwd`, ['../../etc/passwd']]);
    expect(() => projectExamples({ ...project, pictures: pictures.slice(8) }, file)).toThrow(
      `${file}: no pictures with a class`,
    );
  });

  it.each<[string, (good: Uint8Array) => Uint8Array, RegExp]>([
    ['a setting that there is not', (good) => tampered(good, { evil: 1 }), /settings: settings: .*evil/],
    [
      'a picture more than there are',
      (good) => tampered(good, { pictures: [...pictures, pictures[0]].map(({ name }) => ({ name })) }),
      /has no tensor 'pictures\.9'/,
    ],
    [
      'a picture less',
      (good) => tampered(good, { pictures: [] }),
      /holds tensors that no such project has: "pictures\.0"/,
    ],
    [
      'a label that is none',
      (good) => tampered(good, { pictures: pictures.map(() => ({ name: 'a', label: '' })) }),
      /pictures\.0\.label: expected string/,
    ],
    [
      'a share above 1',
      (good) => tampered(good, { fit: { refusal: { noneOfThese: 5 } } }),
      /fit\.refusal\.noneOfThese: expected number from 0 to 1/,
    ],
    [
      'pictures that are no bytes',
      (good) => tampered(good, {}, {}, { 'pictures.0': new Float32Array(1) }),
      /pictures\.0: expected U8 \[1\], the file has F32/,
    ],
    [
      'vectors of no model',
      (good) => tampered(good, {}, {}, { 'vectors.0': new Float32Array(16) }),
      /no such project has: "vectors\.0"/,
    ],
    [
      'another version',
      (good) => tampered(good, {}, { version: '9' }),
      /has project format version "9", this build reads 1/,
    ],
    [
      'a file of another kind',
      (good) => tampered(good, {}, { format: 'x' }),
      /is a safetensors file, but not a project/,
    ],
    [
      'no file of the format',
      () => new TextEncoder().encode('PK and a long zip'),
      /is no whole safetensors file: damaged, or not a project/,
    ],
  ])('refuses %s', (_, damage, said) => {
    const bytes = damage(encodeProject(project));
    expect(() => read(bytes)).toThrow(DataError);
    expect(() => read(bytes)).toThrow(said);
    expect(() => read(bytes)).toThrow(/^pets\.headlight: .*; save the project again$/);
  });

  it('refuses vectors that are not finite, or of another shape', async () => {
    const own = await known();
    const bad = { ...own, pictures: [{ ...own.pictures[0], vectors: new Float32Array(16).fill(Number.NaN) }] };
    expect(() => read(encodeProject(bad))).toThrow('vectors.0 holds a value that is not finite');
    expect(() => read(tampered(encodeProject(own), {}, {}, { 'vectors.0': new Float32Array(16) }))).toThrow(
      'vectors.0: expected F32 [2, 2, 4], the file has F32 [16]',
    );
    expect(() => encodeProject({ ...own, vectorsOf: undefined })).toThrow('does not say of which model');
  });

  it('cut off anywhere, it is an error; with damage anywhere, an error or a project', async () => {
    const good = encodeProject(await known());
    for (let length = 0; length < good.length; length += 7)
      expect(() => read(good.subarray(0, length))).toThrow(DataError);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = good.slice();
        bytes[at] ^= change;
        try {
          expect(read(bytes).pictures).toHaveLength(pictures.length);
        } catch (error) {
          if (!(error instanceof DataError)) throw error;
        }
      }),
    );
  });
});
