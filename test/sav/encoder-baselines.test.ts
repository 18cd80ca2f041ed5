import { describe, expect, it } from 'vitest';
import {
  type EmbeddingSource,
  encoderBaselines,
  isInterleaved,
  rowEmbeddings,
} from '../../src/sav/encoder-baselines.ts';
import { MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import { type Example, extractFeatures } from '../../src/sav/features.ts';

/** Embeds an image as its bytes, and a text as what the table says. Counts what it embeds. */
class FakeEncoder implements EmbeddingSource {
  modelId = 'fake-encoder';
  embeddingSize = 2;
  images = 0;
  texts: string[] = [];
  readonly #table: Record<string, number[]>;

  constructor(table: Record<string, number[]> = {}) {
    this.#table = table;
  }

  async imageEmbeddings(files: readonly Uint8Array[]): Promise<Float32Array[]> {
    this.images += files.length;
    return files.map((bytes) => Float32Array.from(bytes));
  }

  async textEmbeddings(texts: readonly string[], { onCut }: { onCut?: (n: number) => void } = {}) {
    this.texts.push(...texts);
    for (const text of texts) if (text.length > 20) onCut?.(text.length - 20);
    return texts.map((text) => Float32Array.from(this.#table[text] ?? [1, 1]));
  }
}

const row = (label: string | undefined, images: number[][], prompt = 'which?', candidates?: string[]): Example => ({
  source: 'memory',
  prompt,
  images: images.map((_, i) => `${i}.png`),
  loadImages: async () => images.map((image) => Uint8Array.from(image)),
  label,
  candidates,
});
const options = { name: 'fake' };

describe('encoderBaselines', () => {
  const train = [row('up', [[1, 9]]), row('right', [[9, 1]]), row('up', [[2, 8]]), row('right', [[8, 3]])];

  it('zero-shot: the label whose text is nearest, whatever the training rows look like', async () => {
    const encoder = new FakeEncoder({ 'a photo of up': [7, 0], 'a photo of right': [0, 1] });
    const found = await encoderBaselines(encoder, { train, test: [row('up', [[1, 9]]), row('up', [[9, 1]])] }, options);
    expect(found.zeroShot).toEqual(['right', 'up']);
    expect(found.nearestCentroid).toEqual(['up', 'right']);
    expect(found).toMatchObject({ name: 'fake', features: 'image', labelPrompt: 'a photo of {label}' });
    expect(encoder.texts).toEqual(['a photo of up', 'a photo of right']);
  });

  it('the label stands in the prompt that is given, as it is', async () => {
    const encoder = new FakeEncoder();
    const odd = [row('$&', [[1, 0]]), row('b', [[0, 1]])];
    await encoderBaselines(encoder, { train: odd, test: odd }, { ...options, labelPrompt: '{label}, {label}!' });
    expect(encoder.texts).toEqual(['$&, $&!', 'b, b!']);
  });

  it('similarities are cosines: the length of an embedding says nothing', async () => {
    const encoder = new FakeEncoder({ 'a photo of up': [0, 1], 'a photo of right': [200, 100] });
    const test = [row('up', [[100, 200]]), row('right', [[0, 1]])];
    const found = await encoderBaselines(encoder, { train, test }, options);
    expect(found.zeroShot).toEqual(['up', 'up']);
    // A training image of great length does not draw its class's centroid to it.
    const long = [row('a', [[250, 0]]), row('a', [[0, 1]]), row('b', [[3, 1]])];
    const [label] = (await encoderBaselines(encoder, { train: long, test: [row('b', [[9, 1]])] }, options))
      .nearestCentroid;
    expect(label).toBe('b');
  });

  it('several images: their mean, each of length 1; texts of their own: beside the images', async () => {
    const encoder = new FakeEncoder({ 'is it up?': [0, 5], 'is it down?': [5, 0] });
    const source = rowEmbeddings(encoder, { withText: true });
    const images = [Uint8Array.of(200, 0), Uint8Array.of(0, 1)];
    const [both] = await source.headVectorsOf!([{ images, prompt: 'is it up?' }]);
    const half = Math.fround(Math.SQRT1_2);
    expect([...both]).toEqual([half, half, 0, 1].map((x) => expect.closeTo(x, 6)));
    expect(source).toMatchObject({ nLayers: 1, nHeads: 2, dHead: 2 });

    // The same image, and the answer turns on the question.
    const asked = (label: string, prompt: string) => row(label, [[5, 5]], prompt);
    const rows = [asked('yes', 'is it up?'), asked('no', 'is it down?')];
    const found = await encoderBaselines(encoder, { train: rows, test: [...rows].reverse() }, options);
    expect(found.features).toBe('image and text');
    expect(found.nearestCentroid).toEqual(['no', 'yes']);
  });

  it('shares no prefix: there is no decoder', async () => {
    const source = rowEmbeddings(new FakeEncoder({}), { withText: false });
    await expect(extractFeatures(source, train, { sharePrefix: true })).rejects.toThrow(
      'sharePrefix: this source of head vectors has no decoder',
    );
  });

  it('rows without an image are judged by their text', async () => {
    const encoder = new FakeEncoder({ hot: [1, 0], cold: [0, 1], 'a photo of h': [1, 0], 'a photo of c': [0, 1] });
    const rows = [row('h', [], 'hot'), row('c', [], 'cold')];
    const found = await encoderBaselines(encoder, { train: rows, test: rows }, options);
    expect(found.zeroShot).toEqual(['h', 'c']);
    expect(found.nearestCentroid).toEqual(['h', 'c']);
    expect(encoder.images).toBe(0);
  });

  it('a row is given one of the labels that it offers', async () => {
    const encoder = new FakeEncoder({ 'a photo of up': [0, 1], 'a photo of right': [1, 0] });
    const test = [row('right', [[1, 9]], 'which?', ['right'])];
    const found = await encoderBaselines(encoder, { train, test }, options);
    expect(found.zeroShot).toEqual(['right']);
    expect(found.nearestCentroid).toEqual(['right']);
  });

  it('rows seen before cost nothing, and those with and without their text are kept apart', async () => {
    const encoder = new FakeEncoder();
    const store = new MemoryFeatureStore();
    const test = [row('up', [[3, 4]])];
    const first = await encoderBaselines(encoder, { train, test }, { ...options, store });
    expect(encoder.images).toBe(5);
    expect(await encoderBaselines(encoder, { train, test }, { ...options, store })).toEqual(first);
    expect(encoder.images).toBe(5);
    await encoderBaselines(encoder, { train, test: [row('up', [[3, 4]], 'or so?')] }, { ...options, store });
    expect(encoder.images).toBe(10);
  });

  it('says when texts were cut, and refuses an embedding that is not finite', async () => {
    const notices: string[] = [];
    const long = [row('up', [[1, 9]], 'a very long question indeed, is it?'), train[1]];
    const onNotice = (m: string) => notices.push(m);
    await encoderBaselines(new FakeEncoder(), { train, test: long }, { ...options, onNotice });
    expect(notices).toEqual(['fake: 1 text longer than it takes, cut to its length']);
    const broken = new FakeEncoder({ 'a photo of up': [Number.NaN, 1] });
    await expect(encoderBaselines(broken, { train, test: train }, options)).rejects.toThrow('not finite');
  });
});

it('a task is interleaved when an image alone does not say what is asked', () => {
  expect(isInterleaved([row('a', [[1, 1]]), row('b', [[2, 2]])])).toBe(false);
  expect(isInterleaved([row('a', [[1, 1]]), row('b', [[2, 2]], 'else?')])).toBe(true);
  expect(
    isInterleaved([
      row('a', [[1, 1]]),
      row('b', [
        [2, 2],
        [3, 3],
      ]),
    ]),
  ).toBe(true);
  expect(isInterleaved([row('a', [])])).toBe(true);
});
