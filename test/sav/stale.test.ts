// A cache and a classifier do not outlive a change of what the model is shown.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { RecordingFolder } from '../../src/checkpoint/made-with.ts';
import { DualEncoder } from '../../src/model/dual-encoder.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import type { Folder } from '../../src/platform/types.ts';
import { decodeClassifier, doubtsAbout, encodeClassifier } from '../../src/sav/classifier-file.ts';
import { rowEmbeddings } from '../../src/sav/encoder-baselines.ts';
import { MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import { extractFeatures, featureKey } from '../../src/sav/features.ts';
import { MemoryFolder } from '../checkpoint/memory-folder.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { example, FakeModel, fitNow } from './synthetic.ts';

const gpu = useGpu();

/** A fixture's folder with some files changed; null takes a file away. */
async function changed(name: string, changes: Record<string, (text: string) => string | null>): Promise<Folder> {
  const folder = await openFolder(fixturePath(name));
  const texts = new Map<string, Uint8Array | null>();
  for (const [file, change] of Object.entries(changes)) {
    const before = (await folder.has(file)) ? new TextDecoder().decode(await folder.read(file)) : '';
    const text = change(before);
    texts.set(file, text === null ? null : new TextEncoder().encode(text));
  }
  return {
    location: folder.location,
    has: async (file) => (texts.has(file) ? texts.get(file) !== null : folder.has(file)),
    size: async (file) => texts.get(file)?.length ?? folder.size(file),
    read: async (file, start, end) => texts.get(file)?.subarray(start, end) ?? folder.read(file, start, end),
  };
}

const edit = (change: (json: Record<string, unknown>) => object) => (text: string) =>
  JSON.stringify(change(text ? JSON.parse(text) : {}));

const llava = 'checkpoints/llava-f32';
const picture = new Uint8Array(readFileSync(fixturePath('images/tiny-3x2.png')));
const rows = ['a', 'b', 'c', 'd'].map((prompt) => example(prompt, { 'x.png': picture }));
const labels = ['even', 'odd', 'even', 'odd'];

describe('a fitted classifier and cached features', () => {
  let model: VisionLanguageModel;
  let classifier: Uint8Array;
  const store = new MemoryFeatureStore();
  beforeAll(async () => {
    model = await VisionLanguageModel.load(await openFolder(fixturePath(llava)), { gpu: gpu() });
    const features = await extractFeatures(model, rows, { store });
    classifier = encodeClassifier(fitNow(features, labels, { k: 3 }).classifier);
  });
  afterAll(() => model?.destroy());

  async function use(changes: Parameters<typeof changed>[1]) {
    const other = await VisionLanguageModel.load(await changed(llava, changes), { gpu: gpu() });
    try {
      expect(other.modelId).toBe(model.modelId);
      const key = await featureKey(other, rows[0]);
      decodeClassifier(classifier, 'c.safetensors', other);
      return store.entries.has(key);
    } catch (e) {
      expect(store.entries.has(await featureKey(other, rows[0]))).toBe(false);
      return (e as Error).message;
    } finally {
      other.destroy();
    }
  }

  it.each<[string, string, (text: string) => string | null]>([
    ['a mean', 'preprocessor_config.json', edit((json) => ({ ...json, image_mean: [0.5, 0.5, 0.5] }))],
    ['a filter', 'preprocessor_config.json', edit((json) => ({ ...json, resample: 2 }))],
    ['a template', 'chat_template.json', (text) => text.replaceAll('ASSISTANT:', 'BOT:')],
    ['a template in another file', 'chat_template.jinja', () => '{{ messages }}'],
    ['a special token', 'tokenizer_config.json', edit((json) => ({ ...json, add_bos_token: false }))],
    ['a vocabulary', 'tokenizer.json', edit((json) => ({ ...json, post_processor: null }))],
    ['a processor', 'processor_config.json', edit((json) => ({ ...json, patch_size: 5 }))],
  ])('are not used after a change of %s', async (_, file, change) => {
    const answer = await use({ [file]: change });
    // chat_template.json goes before chat_template.jinja, which is then not read: no change.
    if (file === 'chat_template.jinja') expect(answer).toBe(true);
    else
      expect(answer).toBe(
        `c.safetensors: was fitted before "${file}" of the checkpoint changed, which decides what the model is shown; fit again, or put the old file back`,
      );
  });

  it('name every file, those that came or went too', async () => {
    const answer = await use({
      'chat_template.json': () => null,
      'chat_template.jinja': () => '{{ messages[0].content[0].text }}',
      'preprocessor_config.json': edit((json) => ({ ...json, do_normalize: false })),
    });
    expect(answer).toContain('before "chat_template.jinja", "chat_template.json", "preprocessor_config.json" of');
    expect(answer).toContain('put the old files back');
  });

  it('outlive what changes nothing: other spaces, and files that are of generation or training', async () => {
    const again = (text: string) => JSON.stringify(JSON.parse(text), undefined, 3);
    const used = await use({
      'preprocessor_config.json': again,
      'tokenizer.json': again,
      'generation_config.json': () => '{}',
      'training_args.json': () => '{}',
    });
    expect(used).toBe(true);
  });

  it('are doubted where this code computes other numbers, or where they do not say', () => {
    const of = (changes: object) => {
      const { data } = decodeClassifier(classifier, 'c', model);
      return doubtsAbout({ data: { ...data, ...changes } } as never, 'c.safetensors', model);
    };
    expect(of({})).toBeUndefined();
    expect(of({ madeWith: { ...model.madeWith, numerics: 0 } })).toContain('c.safetensors: was fitted by a version');
    expect(of({ madeWith: undefined })).toContain('c.safetensors: does not say what the model was shown');
  });
});

it('keys hold the processor, the code, the adapter and the decoder', async () => {
  const made = (numerics: number, files: Record<string, string>) =>
    Object.assign(new FakeModel(), { madeWith: { numerics, files } });
  const elsewhere = (where: string) => Object.assign(new FakeModel(), { environment: async () => where });
  const sources = [
    new FakeModel(),
    made(1, { a: 'x' }),
    made(2, { a: 'x' }),
    made(1, { a: 'y' }),
    made(1, { b: 'x' }),
    made(1, {}),
    elsewhere('gpu 1'),
    elsewhere('gpu 2'),
  ];
  const keys = await Promise.all(sources.map((source) => featureKey(source, rows[0])));
  expect(new Set(keys).size).toBe(sources.length);
});

it('a video that is given by its path is known by what it holds', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'headlight-stale-'));
  try {
    const file = join(folder, 'clip.mp4');
    const key = async (content: string) => {
      writeFileSync(file, content);
      return featureKey(new FakeModel(), { ...example('one', {}), loadVideos: async () => [{ file }] });
    };
    const first = await key('first');
    expect(await key('other')).not.toBe(first);
    expect(await key('first')).toBe(first);
    const missing = { ...example('one', {}), loadVideos: async () => [{ file: join(folder, 'none.mp4') }] };
    await expect(featureKey(new FakeModel(), missing)).rejects.toThrow('none.mp4: there is no such file');
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it('embeddings of encoders are cached by their processor too', async () => {
  const key = async (folder: Folder) => {
    const encoder = await DualEncoder.load(folder, { gpu: gpu() });
    try {
      const source = rowEmbeddings(encoder, { withText: false });
      return [encoder.modelId, await featureKey(source, rows[0])];
    } finally {
      encoder.destroy();
    }
  };
  const clip = 'families/clip-f32';
  const [id, before] = await key(await openFolder(fixturePath(clip)));
  const mean = edit((json) => ({ ...json, image_mean: [0.1, 0.2, 0.3] }));
  const [same, after] = await key(await changed(clip, { 'preprocessor_config.json': mean }));
  expect(same).toBe(id);
  expect(after).not.toBe(before);
});

it('a recording folder names what was read whole', async () => {
  const recording = new RecordingFolder(
    new MemoryFolder({ 'a.json': '{"x": 1}', b: 'text', 'config.json': '{}', c: '' }),
  );
  for (const name of ['b', 'a.json', 'config.json']) await recording.read(name);
  await recording.read('c', 0, 0);
  expect(Object.keys(recording.files)).toEqual(['a.json', 'b']);
  const spaced = new RecordingFolder(new MemoryFolder({ 'a.json': ' {"x":1}\n' }));
  await spaced.read('a.json');
  expect(spaced.files['a.json']).toBe(recording.files['a.json']);
});
