// The steps of a generation run what one of them recorded: as each of them recorded by itself, bit for bit.
import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { guaranteed } from '../../src/gpu/dry-gpu.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import { byteSize, type Tensor } from '../../src/gpu/tensor.ts';
import { type Tuning, untuned } from '../../src/gpu/tuning.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { Steps } from '../../src/model/generation/steps.ts';
import { KvCache } from '../../src/model/layers/kv-cache.ts';
import { loadModel } from '../../src/model/load-model.ts';
import type { Model } from '../../src/model/model.ts';
import { dryModel } from '../../src/model/plan/dry-run.ts';
import { fixturePath, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

/** All that decides what a dispatch does, but its params. */
const fixed = (rec: Recorder) =>
  rec.recorded.map(({ kernel, label, code, bindings, workgroups, entryPoint, constants }) => ({
    ...{ kernel, label, code, workgroups, entryPoint, constants },
    bindings: bindings.map(({ tensor: { label, dtype, shape, offset }, access }) => [
      label,
      dtype,
      shape,
      offset,
      access,
    ]),
  }));

/** Other kernels as the keys become more. */
const tuning: Tuning = {
  choices: {},
  candidate: ({ op, sizes: { keys } }) => {
    if (op !== 'attention') return undefined;
    if (Number(keys) > 300) return 'decode, 2048 workgroups';
    return Number(keys) > 130 ? 'split' : 'decode, 128 workgroups';
  },
};

describe.each([
  ['a GPU', false, untuned],
  ['a GPU that was tuned', false, tuning],
  ['a software adapter', true, untuned],
])('what %s is given so many steps later', (_, software, tuning) => {
  const text = {
    architectures: ['MistralForCausalLM'],
    model_type: 'mistral',
    vocab_size: 90,
    hidden_size: 128,
    intermediate_size: 96,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 32,
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
  };
  it.each([
    ['f32', 1, null],
    ['f16', 1, null],
    ['f16', 3, null],
    ['f16', 60, null],
    ['f16', 1, 300],
    ['f32', 2, 40],
  ] as const)(
    '%s cache, batch %d, window %s: the params of a step recorded there, or nothing',
    (format, batch, window) => {
      const config = parseConfig({ ...text, sliding_window: window });
      const model = dryModel(config, f32, { ...guaranteed, software }, undefined, undefined, tuning);
      const tokens = model.gpu.tensor('tokens', 'u32', [batch]);
      const cache = new KvCache(model.gpu, config.text, { capacity: 2000, batch, format });
      cache.reserve(2000);
      const at = (length: number) => {
        cache.length = length;
        return model.recordedStep(tokens, { cache, next: tokens, namesFilter: [] });
      };
      let [same, other] = [0, 0];
      for (const length of [1, 2, 39, 127, 128, 255, 299, 640, 1500])
        for (const steps of [1, 2, 3, 61, 128, 300, 499]) {
          const [rec, later] = [at(length), at(length + steps)];
          const params = rec.recorded.map((d) => (d.later ? d.later(steps) : (d.params ?? [])));
          if (params.every((p) => p !== undefined)) {
            same++;
            expect(fixed(rec)).toEqual(fixed(later));
            expect(params).toEqual(later.recorded.map((d) => d.params ?? []));
          } else {
            other++;
            // Two names that a tuning gives may stand for the same kernel.
            if (tuning === untuned) expect(fixed(rec)).not.toEqual(fixed(later));
          }
          expect(rec.recorded.filter((d) => d.later).length).toBeGreaterThanOrEqual(2 * config.text.nLayers);
          expect(rec.recorded.some((d) => d.later?.(2000))).toBe(false); // no room
        }
      expect(same).toBeGreaterThan(20);
      if (!software || window) expect(other).toBeGreaterThan(0);
    },
  );
});

const gpu = useGpu();

/** Bytes of tensors. */
async function bytesOf(tensors: readonly Tensor[]): Promise<Uint8Array[]> {
  const rec = gpu().record('read');
  const read = tensors.map((tensor) => rec.read(tensor));
  await rec.submit();
  return read.map(({ bytes }) => bytes!);
}

/** Ids, and keys and values of a cache, after so many steps. @param early the step before which the cache grows to its end. */
async function generated(
  model: Model,
  input: Parameters<Model['step']>[0][0],
  { count, early }: { count: number; early?: number },
  startOf: (tokens: Tensor, cache: KvCache) => Pick<Steps, 'start'>,
) {
  const cache = new KvCache(gpu(), model.config.text, {
    capacity: input.inputIds.length + count,
    format: model.cacheFormat,
  });
  const tokens = gpu().tensor('tokens', 'u32', [1]);
  const { next } = await model.step([input], { cache, next: tokens, namesFilter: [] });
  const ids = [...next!];
  const steps = startOf(tokens, cache);
  for (let i = 0; i < count; i++) {
    if (i === early) cache.reserve(cache.capacity);
    ids.push(...(await (await steps.start()).result).next!);
  }
  const filled = await bytesOf([...cache.keys, ...cache.values]);
  // Of the positions that are filled; what lies behind is as it was.
  const used = cache.length * (byteSize(cache.keys[0].dtype, cache.keys[0].shape) / cache.allocated);
  cache.destroy();
  gpu().destroy(tokens);
  return { ids, filled: filled.map((bytes) => bytes.slice(0, used)) };
}

describe('ids, keys and values', () => {
  it.each([
    ['a window that begins to slide on the way', 'families/mistral-text-bf16', undefined],
    ['a cache that grows on the way', 'checkpoints/llava-f32', undefined],
    ['a cache that grows before it must', 'checkpoints/llava-f32', undefined],
    ['positions on three axes behind a picture', 'families/qwen2-vl-f32', 'scene'],
  ])('%s', async (name, path, prompt) => {
    const { model, destroy } = await loadModel(await openFolder(fixturePath(path)), { gpu: gpu() });
    const length = name.includes('grows') ? 251 : 5;
    const expected = prompt ? readTensors(`${path}/expected.safetensors`) : undefined;
    const inputIds = expected?.get(`${prompt}/input_ids`)?.data ?? Array.from({ length }, (_, i) => (i * 7 + 5) % 100);
    const input = { inputIds: Array.from(inputIds), visuals: [] as never[] };
    if (prompt) {
      const pixels = expected!.get(`${prompt}/pixel_values`)!;
      const grid = expected!.get(`${prompt}/image_grid_thw`)!.data;
      Object.assign(input, {
        visuals: [{ kind: 'image', pixels: pixels.data, shape: pixels.shape, grid: Array.from(grid) }],
      });
    }
    try {
      const count = 12;
      const how = { count, early: name.includes('before') ? 2 : undefined };
      const anew = await generated(model, input, how, (tokens, cache) => ({
        start: () => model.startStep(tokens, { cache, next: tokens, namesFilter: [] }),
      }));
      let recorded = 0;
      const record = gpu().record.bind(gpu());
      const again = await generated(model, input, how, (tokens, cache) => {
        gpu().record = (...args) => {
          recorded++;
          return record(...args);
        };
        return new Steps(model, tokens, cache);
      }).finally(() => {
        gpu().record = record;
      });
      expect(again).toEqual(anew);
      expect(new Set(again.ids).size).toBeGreaterThan(1);
      expect(recorded).toBeLessThan(count / 2);
    } finally {
      destroy();
    }
  });
});
