import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { type Gpu, openGpu } from '../../src/gpu/gpu.ts';
import { InputError } from '../../src/model/errors.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { hookPoints, selectHooks } from '../../src/model/interventions/hook-points.ts';
import { resolvePosSlice } from '../../src/model/interventions/positions.ts';
import { loadModel } from '../../src/model/load-model.ts';
import { Model } from '../../src/model/model.ts';
import type { ModelWeights } from '../../src/model/run/forward.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

const checkpoint = 'checkpoints/llava-f32';
const config = parseConfig(readJsonFixture(`${checkpoint}/config.json`));
const expected = readTensors(`${checkpoint}/expected.safetensors`);
const visual = {
  kind: 'image',
  pixels: expected.get('scene/pixel_values')!.data as Float32Array,
  shape: [1, 3, 32, 32],
} as const;
const input: ModelInput = { inputIds: expected.get('scene/input_ids')!.data, visuals: [visual] };
const negative: ModelInput = { ...input, visuals: [{ ...visual, pixels: visual.pixels.map((x) => -x) }] };
const length = input.inputIds.length;
const gpu = useGpu();
let model: VisionLanguageModel;
beforeAll(async () => {
  model = await VisionLanguageModel.load(await openFolder(fixturePath(checkpoint)), { gpu: gpu() });
});
afterAll(() => model?.destroy());

describe('the table of hook points', () => {
  const points = hookPoints(config);

  it('names every point once', () => {
    expect(new Set(points.map((p) => p.name)).size).toBe(points.length);
  });

  it('fires every name once per forward with its shape', async () => {
    const cache = await model.runWithCache(input, { namesFilter: '*' });
    expect([...cache.keys()]).toEqual(points.map((p) => p.name));
    for (const { name, shape } of points) {
      const { data, shape: found } = cache.get(name)!;
      expect(found, name).toEqual(shape({ pos: length, keys: length, crops: 1, patches: 16 }));
      expect(data.length, name).toBe(found.reduce((n, d) => n * d, 1));
    }
  });

  it('selects by glob, list and predicate, in the order of the run', () => {
    expect(selectHooks(points, 'blocks.*.attn.hook_z').map((p) => p.name)).toEqual(
      [0, 1, 2].map((l) => `blocks.${l}.attn.hook_z`),
    );
    expect(selectHooks(points, ['logits', 'hook_embed']).map((p) => p.name)).toEqual(['hook_embed', 'logits']);
    expect(selectHooks(points, (name) => name.endsWith('hook_ln_pre'))).toHaveLength(1);
  });

  it('refuses a name that is none, so that a misspelling never looks like an empty result', () => {
    expect(() => selectHooks(points, 'blocks.*.attn.hook_zz')).toThrow(InputError);
    expect(() => selectHooks(points, 'blocks.3.attn.hook_z')).toThrow(
      /no hook point is named "blocks\.3\.attn\.hook_z"/,
    );
  });
});

describe('runWithCache', () => {
  it('cuts heads from the input of o_proj, not from its output', async () => {
    const cache = await model.runWithCache(input, { namesFilter: ['blocks.0.attn.hook_z', 'blocks.0.hook_attn_out'] });
    const z = cache.get('blocks.0.attn.hook_z')!;
    expect(z.shape).toEqual([length, config.text.nHeads, config.text.dHead]);
    // nHeads x dHead differs from dModel here, so the two cannot even be confused by shape.
    expect(config.text.nHeads * config.text.dHead).not.toBe(config.text.dModel);
    expect(relativeError(z.data, expected.get('scene/blocks.0.attn.hook_z')!.data)).toBeLessThan(1e-4);
  });

  it.each([-1, 0, 5, [-3], [2, 9], [0, 1]] as const)(
    'returns positions %j equal to those of the whole run',
    async (posSlice) => {
      const namesFilter = ['blocks.*', 'hook_merged_embed', 'ln_final.*', 'logits'];
      const whole = await model.runWithCache(input, { namesFilter });
      const some = await model.runWithCache(input, { namesFilter, posSlice });
      const { start, end } = resolvePosSlice(posSlice, length);
      for (const [name, { data, shape }] of some) {
        const all = whole.get(name)!;
        const scores = /hook_attn_scores|hook_pattern/.test(name); // [heads, query, key]
        const outer = scores ? all.shape[0] : 1;
        const inner = all.data.length / outer / length;
        expect(shape[scores ? 1 : 0], name).toBe(end - start);
        const wanted = Array.from({ length: outer }, (_, o) => [
          ...all.data.subarray((o * length + start) * inner, (o * length + end) * inner),
        ]).flat();
        const finite = wanted.flatMap((x, i) => (x > -1e30 ? [i] : []));
        expect(
          relativeError(
            finite.map((i) => data[i]),
            finite.map((i) => wanted[i]),
          ),
          name,
        ).toBeLessThan(1e-5);
      }
    },
  );

  it('refuses positions outside the input', async () => {
    for (const posSlice of [length, -length - 1, [3, 3], [0, length + 1]] as const)
      await expect(model.runWithCache(input, { namesFilter: 'logits', posSlice })).rejects.toThrow(
        /posSlice .* does not lie within/,
      );
  });

  it('stops before a layer, and refuses names beyond it', async () => {
    const cache = await model.runWithCache(input, { namesFilter: 'blocks.0.hook_resid_post', stopAtLayer: 1 });
    expect(
      relativeError(cache.get('blocks.0.hook_resid_post')!.data, expected.get('scene/blocks.0.hook_resid_post')!.data),
    ).toBeLessThan(1e-4);
    await expect(model.runWithCache(input, { namesFilter: 'blocks.1.attn.hook_z', stopAtLayer: 1 })).rejects.toThrow(
      /lies beyond stopAtLayer 1/,
    );
  });

  it('runs no further than what is asked for needs', () => {
    const dispatches = (namesFilter: string) => model.price(input, { namesFilter, posSlice: -1 }).dispatches;
    const inOrder = ['hook_merged_embed', 'blocks.0.attn.hook_z', 'blocks.0.hook_resid_post', 'blocks.1.attn.hook_z'];
    const prices = inOrder.map(dispatches);
    expect(prices.toSorted((a, b) => a - b)).toEqual(prices);
    expect(new Set(prices).size).toBe(prices.length);
    // The tower and the projector are run for hooks of theirs, and no block of the decoder.
    expect(dispatches('projector.hook_out')).toBe(dispatches('hook_merged_embed'));
  });

  it('refuses results above the limit, with the price', async () => {
    await expect(model.with({ maxResultBytes: 1000 }).runWithCache(input, { namesFilter: '*' })).rejects.toThrow(
      /take \d+ bytes, more than 1000/,
    );
  });

  it.each([
    [{ ...input, visuals: [] }, /16 image tokens in the prompt for 0 images/],
    [{ inputIds: [], visuals: [] }, /no tokens/],
    [{ inputIds: [1, 99999], visuals: [] }, /token id 99999 at position 1/],
    [{ inputIds: new Array(100_000).fill(1), visuals: [] }, /exceed this model's max_position_embeddings/],
    [
      { ...input, visuals: [{ ...visual, pixels: new Float32Array(7) }] },
      /\[1,3,32,32\] of 7 numbers, expected \[crops, 3, 32, 32\]/,
    ],
    [{ ...input, visuals: [{ ...visual, kind: 'video' }] }, /takes no videos/],
  ])('refuses inputs that do not fit', async (bad, message) => {
    await expect(model.runWithCache(bad as ModelInput, { namesFilter: 'logits' })).rejects.toThrow(message);
  });
});

describe('headVectorsAtEnd', () => {
  it('equals hook_z at the last position of each input, in a batch and alone', async () => {
    const other = negative;
    const batch = await model.headVectorsAtEnd([input, other, input]);
    const alone = await model.headVectorsAtEnd([other]);
    const { nLayers, nHeads, dHead } = config.text;
    const width = nHeads * dHead;
    for (let l = 0; l < nLayers; l++) {
      const { data } = expected.get(`scene/blocks.${l}.attn.hook_z`)!;
      expect(
        relativeError(batch[0].subarray(l * width, (l + 1) * width), data.subarray((length - 1) * width)),
      ).toBeLessThan(1e-4);
    }
    expect(relativeError(batch[1], alone[0])).toBeLessThan(1e-5);
    expect(relativeError(batch[2], batch[0])).toBeLessThan(1e-6);
    expect(relativeError(batch[1], batch[0])).toBeGreaterThan(0.01);
  });

  it('makes batches that the adapter can bind', async () => {
    const { text, vision } = config;
    const decoder = length * Math.max(text.dMlp, text.nHeads * text.dHead);
    const limit = 2 * 4 * Math.max(decoder, vision!.rows(visual) * vision!.widest); // two prompts' widest activations
    const small = await openGpu({ maxStorageBufferBindingSize: limit });
    const other = await loadModel(await openFolder(fixturePath(checkpoint)), { gpu: small });
    try {
      const batches = other.model.batches([input, negative, input, negative, input]);
      expect(batches.map((batch) => batch.length)).toEqual([2, 2, 1]);
      expect(batches.flat()).toEqual([input, negative, input, negative, input]);
    } finally {
      other.destroy();
      small.dispose();
    }
  });

  it('batches are bounded by the decoder’s rows and by the tower’s', () => {
    const { text, vision } = config;
    const decoder = length * Math.max(text.dMlp, text.nHeads * text.dHead);
    const tower = vision!.rows(visual) * vision!.widest;
    expect(tower).toBeGreaterThan(decoder);
    const sizes = (numbers: number, each: ModelInput) => {
      const gpu = { capabilities: { maxStorageBufferBindingSize: 4 * numbers } } as Gpu;
      const inputs = new Array<ModelInput>(24).fill(each);
      const parts = { gpu, config, weights: {} as ModelWeights, cacheFormat: 'f32' } as const;
      return new Model(parts).batches(inputs).map((batch) => batch.length);
    };
    const textOnly: ModelInput = { inputIds: new Array(length).fill(5), visuals: [] };
    expect(sizes(12 * decoder, textOnly)).toEqual([12, 12]);
    expect(sizes(12 * decoder - 1, textOnly)).toEqual([11, 11, 2]);
    expect(sizes(12 * tower, input)).toEqual([12, 12]);
    expect(sizes(12 * tower - 1, input)).toEqual([11, 11, 2]);
    expect(sizes(1, input)).toEqual(new Array(24).fill(1));
  });

  it('runs no deeper than maxLayer', async () => {
    const [all] = await model.headVectorsAtEnd([input]);
    const [first] = await model.headVectorsAtEnd([input], 0);
    expect(first.length).toBe(config.text.nHeads * config.text.dHead);
    expect(relativeError(first, all.subarray(0, first.length))).toBeLessThan(1e-6);
    for (const maxLayer of [-1, 0.5, config.text.nLayers])
      await expect(model.headVectorsAtEnd([input], maxLayer)).rejects.toThrow(
        `maxLayer ${maxLayer}: this model has layers 0 to ${config.text.nLayers - 1}`,
      );
  });
});
