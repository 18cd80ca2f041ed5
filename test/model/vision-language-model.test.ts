import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import type { Visual } from '../../src/model/input.ts';
import { KvCache } from '../../src/model/layers/kv-cache.ts';
import { Model } from '../../src/model/model.ts';
import { contentParts } from '../../src/model/processor/content-parts.ts';
import { Forward } from '../../src/model/run/forward.ts';
import { sharedTokens } from '../../src/model/run/shared-prefix.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { readAnswers } from '../../src/sav/answers.ts';
import { MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import { extractFeatures } from '../../src/sav/features.ts';
import { fixturePath, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

const folder = 'checkpoints/llava-f32';
const expected = readTensors(`${folder}/expected.safetensors`);
const { inputs } = readJsonFixture<{
  inputs: Record<string, { images: string[]; prompt: string; generated_text: string }>;
}>(`${folder}/expected.json`);
const imagesOf = (name: string) =>
  inputs[name].images.map((file) => new Uint8Array(readFileSync(fixturePath(`images/${file}`))));

const gpu = useGpu();
let model: VisionLanguageModel;
beforeAll(async () => {
  model = await VisionLanguageModel.load(await openFolder(fixturePath(folder)), { gpu: gpu() });
});
afterAll(() => model?.destroy());

it('goes from image files and a question to HF’s ids, pixels, head outputs and text', async () => {
  const input = await model.input({ images: imagesOf('scene'), prompt: 'What is in this image?' });
  expect([...Array.from(input.inputIds)]).toEqual([...expected.get('scene/input_ids')!.data]);
  expect(relativeError(model.pixelValues(input).data, expected.get('scene/pixel_values')!.data)).toBeLessThan(1e-6);
  const { data, shape } = expected.get('scene/blocks.2.attn.hook_z')!;
  const width = shape[1] * shape[2];
  const z = await model.headVectors({ images: imagesOf('scene'), prompt: 'What is in this image?' });
  expect(relativeError(z.subarray(2 * width), data.subarray(data.length - width))).toBeLessThan(1e-4);
  let text = '';
  for await (const piece of model.generate(input, { maxNewTokens: 16 })) text += piece;
  expect(text).toBe(inputs.scene.generated_text);
});

it('tokenises a raw prompt as HF’s processor does, which adds bos whatever the prompt begins with', async () => {
  const ids = async (prompt: string) => Array.from((await model.input({ images: [], prompt, raw: true })).inputIds);
  // processor(text=…) of transformers 5.18
  expect(await ids('USER: hi ASSISTANT:')).toEqual([1, 282, 418, 402, 403, 284]);
  expect(await ids('<s>USER: hi ASSISTANT:')).toEqual([1, 1, 282, 418, 402, 403, 284]);
});

it('gives several examples their own vectors and answers, whatever their lengths', async () => {
  const examples = [
    { images: imagesOf('scene'), prompt: 'What is in this image?' },
    { images: imagesOf('wide'), prompt: 'Describe the scene in one sentence.' },
    { images: imagesOf('wide'), prompt: 'What is in this image?' },
  ];
  const alone = [];
  for (const example of examples) alone.push(await model.headVectors(example));
  const together = await model.headVectorsOf(examples);
  const answers = await model.answers(examples, { maxNewTokens: 4, labels: ['yes', 'no'] });
  for (const [i, vectors] of alone.entries()) {
    expect(relativeError(together[i], vectors)).toBeLessThan(1e-5);
    expect(relativeError(answers[i].headVectors, vectors)).toBeLessThan(1e-5);
    expect(answers[i].labelScores.every((score) => score < 0)).toBe(true);
  }
  expect(inputs.scene.generated_text.startsWith(answers[0].text)).toBe(true);
  expect(inputs.wide.generated_text.startsWith(answers[1].text)).toBe(true);
});

it('knows the tokens and pixel values of a prompt before it decodes pictures', async () => {
  for (const name of Object.keys(inputs)) {
    const prompt = { images: imagesOf(name), prompt: 'What is it?' };
    const { inputIds, visuals } = await model.input(prompt);
    const shapes = visuals.map(({ pixels: _, areas: __, ...shape }) => shape);
    expect(await model.inputShape(prompt)).toEqual({ inputIds, visuals: shapes });
  }
  expect(await model.inputShape({ prompt: 'x', videos: [{ frames: [] }] })).toBeUndefined();
  const damaged = { source: 'rows.jsonl:3', prompt: 'x', images: [new Uint8Array(30)], imageNames: ['a.png'] };
  await expect(model.inputShape(damaged)).rejects.toThrow('rows.jsonl:3: a.png: not a PNG');
});

describe('a data set of prompts of several lengths', () => {
  const [scene, wide] = [imagesOf('scene'), imagesOf('wide')];
  const rows = Array.from({ length: 40 }, (_, i) => ({
    source: `row ${i}`,
    prompt: `What is it${' now'.repeat(i % 3)}?`,
    images: ['x.png'],
    // Bytes behind a PNG's end: each row is one by itself.
    loadImages: async () => (i % 2 ? scene : wide).map((bytes) => Uint8Array.of(...bytes, i)),
  }));
  /** Runs, by how many prompts each has. */
  const runsOf = async (work: () => Promise<unknown>) => {
    const runs = vi.spyOn(Model.prototype, 'headVectorsAtEnd');
    await work();
    const sizes = runs.mock.calls.map(([given]) => given.length);
    runs.mockRestore();
    return sizes;
  };

  it('runs those of one length together, wherever they stand, to the vectors of each alone', async () => {
    let found: Float32Array[] = [];
    const runs = await runsOf(async () => {
      found = [...(await extractFeatures(model, rows)).vectors];
    });
    expect(runs).toEqual([14, 13, 13]);
    for (const i of [0, 1, 2, 20, 39]) {
      const alone = await model.headVectors({ images: await rows[i].loadImages(), prompt: rows[i].prompt });
      expect(relativeError(found[i], alone)).toBeLessThan(1e-5);
    }
  });

  it('is the same to the last bit where it was stopped in between', async () => {
    const [whole, stopped] = [new MemoryFeatureStore(), new MemoryFeatureStore()];
    const all = await extractFeatures(model, rows, { store: whole });
    const stop = new AbortController();
    const onProgress = (done: number) => {
      if (done === 1) stop.abort();
    };
    await expect(extractFeatures(model, rows, { store: stopped, signal: stop.signal, onProgress })).rejects.toThrow(
      'abort',
    );
    expect(stopped.entries.size).toBe(14);
    const runs = await runsOf(async () => {
      expect((await extractFeatures(model, rows, { store: stopped })).vectors).toEqual(all.vectors);
    });
    expect(runs).toEqual([13, 13]);
    expect(stopped.entries).toEqual(whole.entries);
  });

  it('is answered in the same batches', async () => {
    const answers = vi.spyOn(model, 'answers');
    const found = await readAnswers(model, rows.slice(0, 9), ['yes', 'no']);
    expect(answers.mock.calls.map(([given]) => given.length)).toEqual([3, 3, 3]);
    answers.mockRestore();
    const [alone] = await model.answers([{ images: await rows[4].loadImages(), prompt: rows[4].prompt }], {
      maxNewTokens: 12,
      labels: ['yes', 'no'],
    });
    expect(found[4].text).toBe(alone.text);
    expect(relativeError(found[4].headVectors, alone.headVectors)).toBeLessThan(1e-5);
  });
});

/** What is found, and how many tokens have run for it, but for those of labels that are scored. */
async function tokensOf<T>(labels: readonly string[], work: () => Promise<T>): Promise<{ found: T; tokens: number }> {
  const { tokenizer } = model.processor;
  const scored = new Set(labels.map((label) => `${tokenizer.encode(label, { addSpecialTokens: false }).slice(0, -1)}`));
  const merged = vi.spyOn(Forward.prototype, 'merged');
  try {
    const found = await work();
    const ids = merged.mock.calls.flatMap(([, , inputs]) => inputs.map(({ inputIds }) => Array.from(inputIds)));
    return { found, tokens: ids.filter((each) => !scored.has(`${each}`)).flat().length };
  } finally {
    merged.mockRestore();
  }
}

describe('a data set of many questions about each picture', () => {
  const pictures = [imagesOf('scene'), imagesOf('wide')];
  const rows = Array.from({ length: 12 }, (_, i) => ({
    source: `row ${i}`,
    prompt: `Is it${' very'.repeat(i % 4)} ${['round', 'red', 'far'][i % 3]}?`,
    images: ['x.png'],
    loadImages: async () => pictures[i % 2].map((bytes) => bytes.slice()),
  }));
  const sharePrefix = true;
  /** The prompts about a picture. */
  const inputsOf = (of: VisionLanguageModel, images: Uint8Array[]) =>
    Promise.all(rows.filter((_, i) => pictures[i % 2] === images).map(({ prompt }) => of.input({ images, prompt })));

  it('shares what they begin with, and decodes each picture once, to the vectors of each alone', async () => {
    const shared = vi.spyOn(Model.prototype, 'headVectorsAfterPrefix');
    const decoded = vi.spyOn(model.processor, 'show');
    const { vectors } = await extractFeatures(model, rows, { sharePrefix });
    const sizes = shared.mock.calls.map(([inputs]) => inputs.length);
    const shown = decoded.mock.calls.length;
    shared.mockRestore();
    decoded.mockRestore();
    expect([sizes, shown]).toEqual([[0, 6, 6], 2]);
    for (const [i, { prompt }] of rows.entries()) {
      const alone = await model.headVectors({ images: pictures[i % 2], prompt });
      expect(relativeError(vectors[i], alone), prompt).toBeLessThan(1e-5);
    }
    expect(relativeError(vectors[2], vectors[0])).toBeGreaterThan(1e-4);
  });

  it('goes on to the same bits where it was stopped', async () => {
    const [whole, stopped] = [new MemoryFeatureStore(), new MemoryFeatureStore()];
    await extractFeatures(model, rows, { store: whole, sharePrefix });
    const stop = new AbortController();
    const onProgress = () => stop.abort();
    const running = extractFeatures(model, rows, { store: stopped, sharePrefix, signal: stop.signal, onProgress });
    await expect(running).rejects.toThrow('abort');
    expect(stopped.entries.size).toBe(6);
    await extractFeatures(model, rows, { store: stopped, sharePrefix });
    expect(stopped.entries).toEqual(whole.entries);
  });

  it.each(['f32', 'f16'] as const)(
    'is answered as each alone, with a cache of %s and a fraction of the tokens',
    async (kvCache) => {
      const folderOf = await openFolder(fixturePath(folder));
      const own = await VisionLanguageModel.load(folderOf, { gpu: gpu(), kvCache });
      const labels = ['a red circle', 'no'];
      const whole = await tokensOf(labels, () => readAnswers(own, rows, labels));
      const shared = await tokensOf(labels, () => readAnswers(own, rows, labels, { sharePrefix }));
      const begun = await Promise.all(pictures.map((images) => inputsOf(own, images)));
      own.destroy();
      for (const [i, answer] of shared.found.entries()) {
        const { text, labelScores, headVectors } = whole.found[i];
        expect(answer.text).toBe(text);
        expect(relativeError(Float32Array.from(answer.labelScores), Float32Array.from(labelScores))).toBeLessThan(1e-5);
        expect(relativeError(answer.headVectors, headVectors)).toBeLessThan(1e-5);
      }
      expect(new Set(whole.found.map(({ labelScores: [score] }) => score)).size).toBeGreaterThan(2);
      // What the six questions about a picture begin with runs once in the place of six times.
      const spared = begun.map((inputs) => 5 * sharedTokens(inputs, own.config.vision));
      expect(whole.tokens - shared.tokens).toBe(spared[0] + spared[1]);
      expect(shared.tokens).toBeLessThan(0.5 * whole.tokens);
    },
  );

  it('keeps such answers apart, and goes on where it was stopped', async () => {
    const store = new MemoryFeatureStore();
    const all = await readAnswers(model, rows, ['no'], { store, sharePrefix });
    expect(store.entries.size).toBe(12);
    const again = await tokensOf([], () => readAnswers(model, rows, ['no'], { store, sharePrefix }));
    expect([again.tokens, again.found]).toEqual([0, all]);
    await readAnswers(model, rows, ['no'], { store });
    expect(store.entries.size).toBe(24);
  });

  it('is refused before anything runs where the model is bound to edits or custom kernels', async () => {
    const edits = [{ at: 'blocks.0.attn.hook_z', positions: -1, set: 0 }];
    const kernels = { attention: { name: 'mine.wgsl', wgsl: 'fn main() {}' } };
    for (const [bound, what] of [
      [model.with({ edits }), 'edits'],
      [model.with({ kernels }), 'custom kernels'],
    ] as const) {
      const message = `a model that is bound to ${what} runs each prompt whole and shares no prefix: leave out sharePrefix, or the ${what}`;
      await expect(extractFeatures(bound, rows.slice(0, 1), { sharePrefix })).rejects.toThrow(message);
      await expect(bound.headVectorsSharingPrefix([])).rejects.toThrow(message);
      await expect(readAnswers(bound, rows.slice(0, 1), ['no'], { sharePrefix })).rejects.toThrow(message);
    }
    const [found] = (await extractFeatures(model.with({ edits }), rows.slice(0, 1))).vectors;
    const [plain] = (await extractFeatures(model, rows.slice(0, 1), { sharePrefix })).vectors;
    expect(relativeError(found, plain)).toBeGreaterThan(1e-4);
  });

  it('ends with the signal between two of its runs, and leaves no keys and values behind', async () => {
    const destroyed = vi.spyOn(KvCache.prototype, 'destroy');
    const stop = new AbortController();
    const watched = model.with({ signal: stop.signal });
    const merged = vi.spyOn(model.forward, 'merged').mockImplementationOnce((...given) => {
      stop.abort(new Error('enough'));
      return Object.getPrototypeOf(model.forward).merged.apply(model.forward, given);
    });
    const examples = rows.slice(0, 3).map(({ prompt }) => ({ images: pictures[0], prompt }));
    await expect(watched.headVectorsSharingPrefix(examples)).rejects.toThrow('enough');
    expect([merged.mock.calls.length, destroyed.mock.calls.length]).toEqual([1, 1]);
    merged.mockRestore();
    destroyed.mockRestore();
    const misspelt = { maxlayer: 1 } as never;
    await expect(model.headVectorsSharingPrefix(examples, misspelt)).rejects.toThrow('did you mean maxLayer?');
  });

  it('takes the pixel values of pictures that are known', async () => {
    const known = await model.input({ images: pictures[0], prompt: 'x' });
    const input = await model.input({ images: pictures[0], prompt: 'What is it?' }, known);
    expect(input.visuals[0]).toBe(known.visuals[0]);
    expect(input).toEqual(await model.input({ images: pictures[0], prompt: 'What is it?' }));
    const two = model.input({ images: [...pictures[0], ...pictures[1]], prompt: 'What?', source: 'row 3' }, known);
    await expect(two).rejects.toThrow('row 3: the prompt has 2 <image>, but 1 image came with it');
  });

  it('takes those of videos too', async () => {
    const folder = await openFolder(fixturePath('families/onevision-f32'));
    const onevision = await VisionLanguageModel.load(folder, { gpu: gpu() });
    const frames = [0, 1].map((i) => new Uint8Array(readFileSync(fixturePath(`images/frame-${i}.png`))));
    const prompt = { videos: [{ frames, fps: 1 }], prompt: 'What is it?' };
    const known = await onevision.input({ ...prompt, prompt: 'x' });
    const input = await onevision.input(prompt, known);
    expect(input.visuals[0]).toBe(known.visuals[0]);
    expect(input).toEqual(await onevision.input(prompt));
    onevision.destroy();
  });
});

it('many questions about a video are answered from one run of it, behind positions of three axes', async () => {
  const qwen = await VisionLanguageModel.load(await openFolder(fixturePath('families/qwen2_5-vl-f32')), { gpu: gpu() });
  const frames = [0, 1, 2, 3].map((i) => new Uint8Array(readFileSync(fixturePath(`images/frame-${i}.png`))));
  const rows = ['What moves?', 'What is it?', 'Does it end, or go on?'].map((prompt) => ({
    source: prompt,
    prompt,
    images: [],
    loadImages: async () => [],
    loadVideos: async () => [{ frames, fps: 2 }],
  }));
  const labels = ['a red circle', 'no'];
  const whole = await readAnswers(qwen, rows, labels);
  const vectors = await extractFeatures(qwen, rows, { sharePrefix: true });
  const merged = vi.spyOn(Forward.prototype, 'merged');
  const shared = await readAnswers(qwen, rows, labels, { sharePrefix: true });
  expect(merged.mock.calls.flatMap(([, , inputs]) => inputs).filter(({ visuals }) => visuals.length)).toHaveLength(1);
  merged.mockRestore();
  qwen.destroy();
  for (const [i, { text, labelScores, headVectors }] of whole.entries()) {
    expect(shared[i].text).toBe(text);
    expect(relativeError(Float32Array.from(shared[i].labelScores), Float32Array.from(labelScores))).toBeLessThan(1e-5);
    expect(relativeError(shared[i].headVectors, headVectors)).toBeLessThan(1e-5);
    expect(relativeError(vectors.vectors[i], headVectors)).toBeLessThan(1e-5);
  }
});

it('a picture that a server never sends is waited for until the model’s signal', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/a.png`;
  const interrupted = new AbortController();
  server.on('request', () => interrupted.abort(new Error('interrupted')));
  const bound = model.with({ signal: interrupted.signal });
  const prompt = { images: [url], prompt: 'What is it?', source: 'row 7' };
  await expect(bound.input(prompt)).rejects.toThrow(/^interrupted$/);
  await expect(bound.inputShape(prompt)).rejects.toThrow(/^interrupted$/);
  server.close();
  server.closeAllConnections();
});

describe('the parts of a prompt', () => {
  const shown = (prompt: string, images: number, videos: number) =>
    contentParts(prompt, images, videos).map((part) => (part.type === 'text' ? part.text : [part.type]));

  it('are pictures where the text marks them, and those of a kind that it does not mark before everything', () => {
    expect(shown('What?', 0, 0)).toEqual(['What?']);
    expect(shown('', 0, 0)).toEqual(['']);
    expect(shown('What?', 2, 1)).toEqual([['image'], ['image'], ['video'], 'What?']);
    expect(shown('a <image> b <image>', 2, 0)).toEqual(['a ', ['image'], ' b ', ['image']]);
    expect(shown('<video><image> c', 1, 1)).toEqual([['video'], ['image'], ' c']);
    expect(shown('a <image> b', 1, 2)).toEqual([['video'], ['video'], 'a ', ['image'], ' b']);
    expect(shown('a <video> b', 2, 1)).toEqual([['image'], ['image'], 'a ', ['video'], ' b']);
  });

  it('leaves a mark alone where no picture of its kind is given', () => {
    expect(shown('is <image> a tag?', 0, 0)).toEqual(['is <image> a tag?']);
    expect(shown('<video> <image>', 1, 0)).toEqual(['<video> ', ['image']]);
  });
});

it('pixel values are those of all pictures as the tower sees them: images first, crops after one another', () => {
  const visual = (crops: number, value: number, kind: Visual['kind'] = 'image'): Visual => ({
    kind,
    shape: [crops, 1, 1, 2],
    pixels: new Float32Array(2 * crops).fill(value),
  });
  expect(model.pixelValues({ inputIds: [1], visuals: [visual(1, 5, 'video'), visual(1, 3), visual(2, 4)] })).toEqual({
    shape: [4, 1, 1, 2],
    data: Float32Array.of(3, 3, 4, 4, 4, 4, 5, 5),
  });
  expect(() => model.pixelValues({ inputIds: [1], visuals: [] })).toThrow('the prompt has no images');
});
