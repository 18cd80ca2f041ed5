import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { generate } from '../../src/model/generation/generate.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { KvCache } from '../../src/model/layers/kv-cache.ts';
import type { LoadedModel } from '../../src/model/load-model.ts';
import { loadModel } from '../../src/model/load-model.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

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
      found.push((await model.stepFrom(tokens, { cache })).logits!);
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
