import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { modelId, sampledRanges } from '../../src/checkpoint/model-id.ts';
import { type StoredTensor, tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { MemoryFolder } from './memory-folder.ts';

const config = { model_type: 'llava', text_config: { hidden_size: 2, layers: [1, 2] } };
const norm = (...values: number[]) =>
  tensorOf('language_model.model.norm.weight', [values.length], Float32Array.from(values));
const head = tensorOf('language_model.lm_head.weight', [1, 2], Float32Array.of(3, 4));
const id = async (tensors: StoredTensor[], c: unknown = config) =>
  modelId(
    c,
    await openCheckpoint(new MemoryFolder({ 'model.safetensors': writeSafetensors(tensors, { format: 'pt' }) })),
  );

test('is a hash that stays: stored features depend on it', async () => {
  expect(await id([norm(1, 2), head])).toBe('5ce9a6cc5bbcbdd58c9e89181d3e58ecf66dcd6c13304cb19f5e09831971cce4');
});

test('is the same under other names, other shards, other bookkeeping', async () => {
  const expected = await id([norm(1, 2), head]);
  const renamed = [
    { ...norm(1, 2), name: 'model.language_model.norm.weight' },
    { ...head, name: 'lm_head.weight' },
  ];
  expect(await id(renamed)).toBe(expected);
  const sharded = new MemoryFolder({
    'a.safetensors': writeSafetensors([norm(1, 2)]),
    'b.safetensors': writeSafetensors([head]),
    'model.safetensors.index.json': JSON.stringify({
      weight_map: { [norm(1).name]: 'a.safetensors', [head.name]: 'b.safetensors' },
    }),
  });
  expect(await modelId(config, await openCheckpoint(sharded))).toBe(expected);
  const extra = tensorOf('language_model.model.layers.0.self_attn.rotary_emb.inv_freq', [1], Float32Array.of(1));
  expect(await id([norm(1, 2), head, extra])).toBe(expected);
  const reordered = { text_config: { layers: [1, 2], hidden_size: 2 }, transformers_version: '5', model_type: 'llava' };
  expect(await id([norm(1, 2), head], reordered)).toBe(expected);
});

test('differs with a weight, a dtype, a shape, a setting, the order of a list', async () => {
  const others = [
    await id([norm(1, 2.0000002), head]),
    await id([norm(1, 2), { ...head, dtype: 'I32' }]),
    await id([norm(1, 2), { ...head, shape: [2, 1] }]),
    await id([norm(1, 2), head], { ...config, vision_feature_layer: -2 }),
    await id([norm(1, 2), head], { ...config, text_config: { hidden_size: 2, layers: [2, 1] } }),
    await id([norm(1, 2)]),
    await id([norm(1, 2), head]),
  ];
  expect(new Set(others).size).toBe(others.length);
});

test('large tensors are sampled from first to last byte, small ones read whole', () => {
  expect(sampledRanges(0)).toEqual([[0, 0]]);
  expect(sampledRanges(1 << 20)).toEqual([[0, 1 << 20]]);
  const size = 64 << 20;
  const ranges = sampledRanges(size);
  expect(ranges).toHaveLength(4);
  expect(ranges[0][0]).toBe(0);
  expect(ranges[3][1]).toBe(size);
  for (const [start, end] of ranges) expect(end - start).toBe(16 << 10);
});
