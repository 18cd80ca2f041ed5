// CLIP and SigLIP against Hugging Face's transformers (test/reference/), on tiny random checkpoints.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { decodeImage, openFolder } from '#platform';
import entropy from '../../docs/examples/kernels/entropy.ts';
import { temperatureSoftmax } from '../../docs/examples/kernels/temperature-softmax.ts';
import { type Gpu, openGpu } from '../../src/gpu/gpu.ts';
import { DualEncoder } from '../../src/model/dual-encoder.ts';
import type { Visual } from '../../src/model/input.ts';
import { checkpointNames, type Expected, fixturePath, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

interface ExpectedRun {
  inputs: { pairs: { images: string[]; texts: string[]; n_tokens: number[] } };
}

const dualNames = checkpointNames.filter((name) => /clip|siglip/.test(name));
const gpu = useGpu();
const load = async (name: string) => DualEncoder.load(await openFolder(fixturePath(name)), { gpu: gpu() });

/** HF ran in float32 on the rounded weights, so that storage leaves no trace. */
const tolerance = 1e-4;

it('there are fixtures of both families', () => {
  expect(dualNames.filter((name) => name.includes('/clip-')).length).toBeGreaterThan(1);
  expect(dualNames.filter((name) => name.includes('/siglip-')).length).toBeGreaterThan(1);
});

describe.each(dualNames)('%s', (checkpoint) => {
  const { pairs } = readJsonFixture<ExpectedRun>(`${checkpoint}/expected.json`).inputs;
  const expected = new Map<string, Expected>(
    [...readTensors(`${checkpoint}/expected.safetensors`)].map(([name, t]) => [name.replace('pairs/', ''), t]),
  );
  const rowsOf = (name: string): Float32Array[] => {
    const { data, shape } = expected.get(name)!;
    const width = data.length / shape[0];
    return Array.from({ length: shape[0] }, (_, i) => Float32Array.from(data.subarray(i * width, (i + 1) * width)));
  };
  const flat = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]);
  const isPadded = expected.has('attention_mask');
  const texts = rowsOf('input_ids').map((ids, i) => ids.subarray(0, isPadded ? pairs.n_tokens[i] : ids.length));
  const side = expected.get('pixel_values')!.shape[2];
  const images = rowsOf('pixel_values').map((pixels): Visual => ({ kind: 'image', pixels, shape: [1, 3, side, side] }));

  let encoder: DualEncoder;
  beforeAll(async () => {
    encoder = await load(checkpoint);
  });
  afterAll(() => encoder?.destroy());

  it('embeddings and logits equal HF’s', async () => {
    const { imageEmbeddings, textEmbeddings } = await encoder.run({ images, texts });
    const logits = encoder.logits(imageEmbeddings, textEmbeddings);
    const found = { image_embeds: imageEmbeddings, text_embeds: textEmbeddings, logits_per_image: logits };
    for (const [name, rows] of Object.entries(found)) {
      expect([rows.length, rows[0].length], name).toEqual(expected.get(name)!.shape);
      const error = relativeError(flat(rows), expected.get(name)!.data);
      console.log(`${checkpoint} ${name}: ${error.toExponential(1)}`);
      expect(error, name).toBeLessThan(tolerance);
    }
  });

  it('image files and sentences become HF’s pixels, ids and embeddings', async () => {
    const files = pairs.images.map((file) => new Uint8Array(readFileSync(fixturePath(`images/${file}`))));
    const decoded = await Promise.all(files.map((bytes) => decodeImage(bytes, 'image')));
    const pixels = decoded.map((image) => encoder.processor.image(image).pixels);
    expect(relativeError(flat(pixels), expected.get('pixel_values')!.data)).toBeLessThan(1e-6);
    const ids = pairs.texts.map((text) => encoder.processor.text(text).ids);
    expect(ids).toEqual(texts.map((text) => [...text]));
    const image = flat(await encoder.imageEmbeddings(files));
    expect(relativeError(image, expected.get('image_embeds')!.data)).toBeLessThan(tolerance);
    const text = flat(await encoder.textEmbeddings(pairs.texts));
    expect(relativeError(text, expected.get('text_embeds')!.data)).toBeLessThan(tolerance);
  });

  it('every hook point equals HF’s and has the listed shape', async () => {
    const notStored = /head\.attn\./;
    const { activations: cache, ...found } = await encoder.run({ images, texts }, { namesFilter: '*' });
    expect(relativeError(flat(found.imageEmbeddings), expected.get('image_embeds')!.data)).toBeLessThan(tolerance);
    expect(relativeError(flat(found.textEmbeddings), expected.get('text_embeds')!.data)).toBeLessThan(tolerance);
    expect([...cache.keys()]).toEqual(encoder.hookPoints.map((p) => p.name));
    const length = Math.max(...texts.map((ids) => ids.length));
    const size = { pos: length, keys: length, crops: images.length, patches: 0, texts: texts.length };
    const errors: [string, number][] = [];
    for (const { name, shape } of encoder.hookPoints) {
      const found = cache.get(name)!;
      expect(found.shape, name).toEqual(shape(size));
      if (/head\.attn\.hook_pattern$/.test(name)) {
        const keys = found.shape[3];
        for (let row = 0; row < found.data.length; row += keys)
          expect(found.data.subarray(row, row + keys).reduce((a, b) => a + b)).toBeCloseTo(1, 5);
      }
      const wanted = expected.get(name);
      // Never stored are the head's own, but what follows from them; of rounded weights, some are.
      if (!wanted && (notStored.test(name) || !checkpoint.endsWith('f32'))) continue;
      expect(wanted?.shape, name).toEqual(found.shape);
      const kept = [...wanted!.data.keys()].filter((i) => wanted!.data[i] > -1e30 && isReal(name, found.shape, i));
      expect(kept.length, name).toBeGreaterThan(0);
      errors.push([
        name,
        relativeError(
          kept.map((i) => found.data[i]),
          kept.map((i) => wanted!.data[i]),
        ),
      ]);
    }
    const worst = errors.reduce((a, b) => (b[1] > a[1] ? b : a));
    console.log(`${checkpoint}: ${errors.length} activations, worst ${worst[1].toExponential(1)} (${worst[0]})`);
    expect(errors.filter(([, error]) => !(error <= tolerance))).toEqual([]);
  });

  /** HF hides padding from CLIP's tokens with a second mask; here nothing looks at what padding computes. */
  function isReal(name: string, shape: readonly number[], i: number): boolean {
    if (!isPadded || !name.startsWith('text.')) return true;
    const inText = shape.slice(1).reduce((n, d) => n * d);
    const text = Math.floor(i / inText);
    const n = pairs.n_tokens[text];
    if (/hook_(attn_scores|pattern)$/.test(name)) return Math.floor(i / shape[3]) % shape[2] < n && i % shape[3] < n;
    return Math.floor((i % inText) / (inText / shape[1])) < n;
  }

  it('an embedding depends neither on what runs beside it nor, in CLIP, on padding', async () => {
    const together = await encoder.run({ images, texts });
    const padded = await encoder.run({ texts: rowsOf('input_ids') });
    expect(relativeError(flat(padded.textEmbeddings), expected.get('text_embeds')!.data)).toBeLessThan(tolerance);
    for (const [i, text] of texts.entries()) {
      const [alone] = (await encoder.run({ texts: [text] })).textEmbeddings;
      expect(relativeError(alone, together.textEmbeddings[i])).toBeLessThan(1e-6);
    }
    const [last] = (await encoder.run({ images: images.slice(-1) })).imageEmbeddings;
    expect(relativeError(last, together.imageEmbeddings.at(-1)!)).toBeLessThan(1e-6);
  });

  it('runs with kernels of the user’s own, whose extras come from both towers', async () => {
    const namesFilter = ['*.attn.hook_entropy', '*.attn.hook_pattern'];
    const { activations: cache } = await encoder.with({ kernels: entropy }).run({ images, texts }, { namesFilter });
    const extras = [...cache.keys()].filter((name) => name.endsWith('hook_entropy'));
    expect(extras.sort()).toEqual(
      encoder.hookPoints
        .flatMap(({ name }) => (/attn\.hook_z$/.test(name) ? [name.replace(/z$/, 'entropy')] : []))
        .sort(),
    );
    for (const name of extras) {
      const pattern = cache.get(name.replace('entropy', 'pattern'))!;
      const [heads, queries, keys] = pattern.shape.slice(-3);
      const { data, shape } = cache.get(name)!; // [sequences, queries, heads]
      expect(shape, name).toEqual([...pattern.shape.slice(0, -3), queries, heads]);
      const wanted = data.map((_, i) => {
        const row =
          (Math.floor(i / heads / queries) * heads + (i % heads)) * queries + (Math.floor(i / heads) % queries);
        return pattern.data
          .subarray(row * keys, (row + 1) * keys)
          .reduce((h, p) => (p > 0 ? h - p * Math.log(p) : h), 0);
      });
      expect(relativeError(data, wanted), name).toBeLessThan(1e-4);
    }
    const files = pairs.images.map((file) => new Uint8Array(readFileSync(fixturePath(`images/${file}`))));
    const kernels = temperatureSoftmax(() => 20, '*');
    const image = flat(await encoder.with({ kernels }).imageEmbeddings(files));
    expect(relativeError(image, expected.get('image_embeds')!.data)).toBeGreaterThan(10 * tolerance);
    const text = flat(await encoder.with({ kernels }).textEmbeddings(pairs.texts));
    expect(relativeError(text, expected.get('text_embeds')!.data)).toBeGreaterThan(10 * tolerance);
    await expect(encoder.with({ kernels: temperatureSoftmax(() => 1, 'vision.*') }).run({ texts })).rejects.toThrow(
      /^attention kernel temperature-softmax\.wgsl: took no place in this run: its labels are vision\.\*/,
    );
  });

  it('refuses what does not fit', async () => {
    const { maxPositions, vocabSize } = encoder.config.text;
    const long = 'stones '.repeat(40);
    expect(() => encoder.processor.text(long)).toThrow(`${maxPositions} positions`);
    const cut = encoder.processor.text(long, true);
    expect(cut.ids).toHaveLength(maxPositions);
    expect(cut.cut).toBeGreaterThan(0);
    expect(cut.ids.at(-1)).toBe(encoder.processor.text('stones').ids.at(-1)); // the end token stays
    await expect(encoder.textEmbeddings([long])).rejects.toThrow(`${maxPositions} positions`);
    const told: number[] = [];
    expect(await encoder.textEmbeddings(['stones', long], { onCut: (n) => told.push(n) })).toHaveLength(2);
    expect(told).toEqual([cut.cut]);
    await expect(encoder.run({ texts: [new Array(maxPositions + 1).fill(1)] })).rejects.toThrow('tokens');
    await expect(encoder.run({ texts: [[vocabSize]] })).rejects.toThrow('vocabulary');
    await expect(encoder.run({ images: [{ ...images[0], shape: [1, 3, side, side + 1] }] })).rejects.toThrow('pixel');
    const crops = { ...images[0], shape: [2, 3, side, side], pixels: new Float32Array(2 * 3 * side * side) };
    await expect(encoder.run({ images: [crops] })).rejects.toThrow('an image of 2 crops: a dual encoder sees one crop');
    await expect(encoder.run({ texts }, { namesFilter: 'vision.hook_embed' })).rejects.toThrow('vision inputs');
    const edits = [{ at: 'vision.blocks.*', scale: 2 }];
    await expect(encoder.with({ edits }).run({ texts })).rejects.toThrow(
      /^vision\..* does not happen: there are no vision/,
    );
    await expect(encoder.with({ maxResultBytes: 1000 }).run({ texts }, { namesFilter: '*' })).rejects.toThrow('bytes');
  });
});

it('runs as many images and texts at once as the adapter binds', async () => {
  const name = 'families/siglip-f32';
  const { pairs } = readJsonFixture<ExpectedRun>(`${name}/expected.json`).inputs;
  const files = pairs.images.map((file) => new Uint8Array(readFileSync(fixturePath(`images/${file}`))));
  const embed = async (device: Gpu) => {
    const encoder = await DualEncoder.load(await openFolder(fixturePath(name)), { gpu: device });
    const runs = vi.spyOn(encoder, 'run');
    const images = await encoder.imageEmbeddings(files);
    const texts = await encoder.textEmbeddings(pairs.texts);
    const count = runs.mock.calls.length;
    await expect(encoder.imageEmbeddings([...files, new Uint8Array(9)])).rejects.toThrow(/^image 4: not a PNG/);
    const [ids] = pairs.texts.map((text) => encoder.processor.text(text).ids);
    await expect(encoder.run({ texts: [ids, ids.slice(1)] })).rejects.toThrow('SigLIP sees padding');
    encoder.destroy();
    return { images, texts, runs: count };
  };
  const whole = await embed(gpu());
  const small = await openGpu({ maxStorageBufferBindingSize: 8192 });
  const parts = await embed(small);
  small.dispose();
  expect(whole.runs).toBe(2);
  expect(parts.runs).toBe(2 + 1); // three images of 16 x 48 numbers; four texts of 16 x 30
  for (const [i, image] of whole.images.entries()) expect(relativeError(parts.images[i], image)).toBeLessThan(1e-6);
  for (const [i, text] of whole.texts.entries()) expect(relativeError(parts.texts[i], text)).toBeLessThan(1e-6);
});
