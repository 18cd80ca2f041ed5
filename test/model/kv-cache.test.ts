import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { temperatureSoftmax } from '../../docs/examples/kernels/temperature-softmax.ts';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import { formats } from '../../src/gpu/formats/index.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import type { Kernels } from '../../src/kernels/custom/kernels.ts';
import { generate, PromptRun } from '../../src/model/generation/generate.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { type CacheFormat, defaultCacheFormat, KvCache } from '../../src/model/layers/kv-cache.ts';
import type { LoadedModel } from '../../src/model/load-model.ts';
import { loadModel } from '../../src/model/load-model.ts';
import { Model } from '../../src/model/model.ts';
import type { ActivationCache } from '../../src/model/run/activations.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

const gpu = useGpu();
let loaded: LoadedModel;
beforeAll(async () => {
  loaded = await loadModel(await openFolder(fixturePath('checkpoints/llava-f32')), { gpu: gpu() });
});
afterAll(() => loaded?.destroy());

const prompt = (length: number, first = 5): ModelInput => ({
  inputIds: Array.from({ length }, (_, i) => (i * 7 + first) % 100),
  visuals: [],
});

/** The logits of prompts and of so many tokens after them, with a cache that has memory for `reserved` positions from the start. */
async function logitsOf(prompts: readonly ModelInput[], count: number, reserved: number) {
  const { model } = loaded;
  const [{ inputIds }] = prompts;
  const cache = new KvCache(gpu(), model.config.text, { capacity: inputIds.length + count, batch: prompts.length });
  const tokens = gpu().tensor(
    'tokens',
    'u32',
    [prompts.length],
    Uint32Array.from(prompts, (_, b) => b + 40),
  );
  try {
    cache.reserve(reserved);
    const found = [(await model.step(prompts, { cache })).logits!];
    const compiled: number[] = [];
    for (let i = 0; i < count; i++) {
      found.push((await (await model.startStep(tokens, { cache })).result).logits!);
      compiled.push(gpu().pipelines.compiled);
    }
    return { found, allocated: cache.allocated, compiled: compiled.slice(1) };
  } finally {
    cache.destroy();
    gpu().destroy(tokens);
  }
}

describe('a cache grown in steps', () => {
  it.each([
    ['of one prompt', [prompt(253)]],
    ['of three prompts', [prompt(253), prompt(253, 3), prompt(253, 11)]],
  ])('%s gives the numbers of one that is there from the start, bit for bit', async (_, prompts) => {
    const grown = await logitsOf(prompts, 6, 0);
    const whole = await logitsOf(prompts, 6, 259);
    expect(grown.found).toEqual(whole.found);
    expect(grown.allocated).toBe(259);
    expect(new Set(grown.compiled).size).toBe(1); // no pipeline for growing
  });

  it('takes memory for what it holds, and frees what it had before', () => {
    const { text } = loaded.model.config;
    const cache = new KvCache(gpu(), text, { capacity: 600, batch: 2 });
    const seen: Tensor[] = [];
    const sizes = [1, 256, 257, 512, 513, 600].map((positions) => {
      cache.reserve(positions);
      cache.length = positions;
      seen.push(...cache.keys, ...cache.values);
      return cache.allocated;
    });
    expect(sizes).toEqual([256, 256, 512, 512, 600, 600]);
    expect(cache.keys.map(({ shape }) => shape[0])).toEqual(new Array(text.nLayers).fill(1200));
    const alive = new Set(seen.filter(({ storage }) => storage.buffer));
    expect(alive).toEqual(new Set([...cache.keys, ...cache.values]));
    expect(() => cache.reserve(601)).toThrow('601 positions do not fit the cache of 600');
    cache.destroy();
  });

  it('is not taken for tokens that a generation may make, but for those that it has made', async () => {
    const tensor = gpu().tensor.bind(gpu());
    const rows: number[] = [];
    gpu().tensor = (...args) => {
      if (args[0] === 'blocks.0 key cache') rows.push(args[2][0]);
      return tensor(...args);
    };
    const { model } = loaded;
    const made: number[] = [];
    try {
      for await (const id of generate(model, prompt(20), { maxNewTokens: 400, endTokens: new Set() }))
        if (made.push(id) === 3) break;
    } finally {
      gpu().tensor = tensor;
    }
    expect(rows).toEqual([256]);
  });
});

describe('a cache of f16', () => {
  const all = { namesFilter: 'logits' } as const;
  const ids = [3, 7, 19, 4, 88, 61, 2];

  it('is the default of weights in fewer bits than 32, and only of those', async () => {
    const formatOf = async (name: string, options: Partial<Parameters<typeof loadModel>[1]> = {}) => {
      const { model, destroy } = await loadModel(await openFolder(fixturePath(name)), { gpu: gpu(), ...options });
      destroy();
      return model.cacheFormat;
    };
    expect(await formatOf('checkpoints/llava-f32')).toBe('f32');
    expect(await formatOf('checkpoints/llava-f32', { kvCache: 'f16' })).toBe('f16');
    expect(await formatOf('checkpoints/llava-f32', { weights: { tower: 'bf16' } })).toBe('f32');
    expect(await formatOf('checkpoints/llava-f32', { weights: { decoder: 'bf16' } })).toBe('f16');
    expect(await formatOf('families/mistral-text-bf16')).toBe('f16');
    expect(await formatOf('checkpoints/llava-bf16')).toBe('f32'); // heads of 22
    expect(await formatOf('families/mistral-text-bf16', { kvCache: 'f32' })).toBe('f32');
    expect(await formatOf('families/llama-text-f32')).toBe('f32');
    await expect(formatOf('families/llama-text-f32', { kvCache: 'f16' })).rejects.toThrow(
      'kvCache f16: heads of 10 numbers are no multiple of 8; use f32',
    );
    await expect(formatOf('checkpoints/llava-f32', { kvCache: 'q8' as never })).rejects.toThrow(
      'kvCache: no format q8; there are f16, f32',
    );
    expect(defaultCacheFormat({ ...loaded.model.config.text, dHead: 12 }, formats.bf16)).toBe('f32');
  });

  it('is what generation, scoring and continuing read; a prompt does not', async () => {
    const scoresOf = async (cacheFormat: CacheFormat) => {
      const model = new Model({ ...loaded.model, cacheFormat });
      const run = await PromptRun.start(model, [prompt(30)], { room: 8, logits: true });
      try {
        return (await run.logProbabilities(ids))[0];
      } finally {
        run.destroy();
      }
    };
    const [exact, halves] = [await scoresOf('f32'), await scoresOf('f16')];
    expect(halves[0]).toBe(exact[0]);
    for (const [i, score] of exact.entries()) expect(Math.abs(halves[i] - score)).toBeLessThan(2e-3);
    expect(halves).not.toEqual(exact);
  });

  it('takes half the memory', () => {
    const { text } = loaded.model.config;
    const bytes = (format: CacheFormat) => {
      const cache = new KvCache(gpu(), text, { capacity: 300, batch: 2, format });
      cache.reserve(300);
      const sizes = [...cache.keys, ...cache.values].map(({ storage }) => storage.size);
      cache.destroy();
      return sizes.reduce((sum, size) => sum + size);
    };
    expect(bytes('f32')).toBe(2 * KvCache.price(text, 300, 'f32'));
    expect(bytes('f16')).toBe(bytes('f32') / 2);
  });

  it('takes custom kernels, which read f32', async () => {
    const { model } = loaded;
    const kernels = temperatureSoftmax(() => 1);
    const logits = async (options: { kernels?: Kernels; cacheFormat: CacheFormat }) => {
      const { kernels, cacheFormat } = options;
      const own = new Model({ ...model, cacheFormat }).with({ kernels });
      const found: ActivationCache[] = [];
      const onActivations = (each: ActivationCache) => found.push(each);
      const settings = { maxNewTokens: 3, endTokens: new Set<number>(), onActivations, ...all };
      for await (const _ of generate(own, prompt(20), settings));
      return found.at(-1)!.logits.data;
    };
    const ours = await logits({ cacheFormat: 'f16' });
    // Other last bits of a key are another half now and then.
    expect(relativeError(await logits({ cacheFormat: 'f16', kernels }), ours)).toBeLessThan(1e-3);
    const same = (op: 'rotary' | 'copyRows'): Kernels => ({
      [op]: { name: 'same.wgsl', wgsl: (dispatch: Dispatch) => dispatch.code.slice(dispatch.header!().length) },
    });
    for (const op of ['rotary', 'copyRows'] as const)
      expect(relativeError(await logits({ cacheFormat: 'f16', kernels: same(op) }), ours), op).toBeLessThan(1e-5);
    const cold = temperatureSoftmax(() => 20);
    expect(relativeError(await logits({ cacheFormat: 'f16', kernels: cold }), ours)).toBeGreaterThan(1e-2);
  });

  it('says so where it cannot hold a key', async () => {
    const edits: Edit[] = [{ at: 'blocks.1.attn.hook_rot_k', positions: 2, heads: [0], set: 7e4 }];
    const text = async (cacheFormat: CacheFormat) => {
      const model = new Model({ ...loaded.model, cacheFormat }).with({ edits });
      for await (const _ of generate(model, prompt(20), { maxNewTokens: 3, endTokens: new Set<number>() }));
    };
    await expect(text('f32')).resolves.toBeUndefined();
    await expect(text('f16')).rejects.toThrow(
      "the logits are not finite, while every activation before them is: a key or a value is beyond the 65504 that a cache of f16 holds; keep it in f32 (kvCache: 'f32', --kv-cache f32)",
    );
  });
});
