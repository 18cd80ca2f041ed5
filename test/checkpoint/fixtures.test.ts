// The same reader on files that Python wrote (test/reference), in the three layouts of names.
import { describe, expect, test } from 'vitest';
import { openFolder } from '#platform';
import { openCheckpoint, readRange } from '../../src/checkpoint/checkpoint-files.ts';
import { decodeFloats } from '../../src/checkpoint/decode.ts';
import { modelId } from '../../src/checkpoint/model-id.ts';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import { writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';

const fixture = (name: string) => openFolder(new URL(`../fixtures/checkpoints/${name}/`, import.meta.url));

describe.each([
  ['llava-f32', 'hub', 'F32', 1],
  ['llava-f16', 'hub', 'F16', 1],
  ['llava-bf16', 'transformers', 'BF16', 3],
  ['llava-f16-original', 'bare', 'F16', 1],
] as const)('%s', (name, layout, dtype, files) => {
  test('opens, with every name in the canonical layout', async () => {
    const checkpoint = await openCheckpoint(await fixture(name));
    expect(checkpoint.layout).toBe(layout);
    expect(checkpoint.files).toHaveLength(files);
    for (const tensor of checkpoint.tensors.values()) {
      expect(tensor.dtype).toBe(dtype);
      expect(tensor.canonical).toMatch(
        /^(language_model\.(layers\.\d+\.|norm\.|embed_tokens\.)|lm_head\.|vision_tower\.vision_model\.|multi_modal_projector\.linear_[12]\.)/,
      );
    }
  });

  test('norm weights are numbers near what they were initialised with', async () => {
    const checkpoint = await openCheckpoint(await fixture(name));
    const norm = checkpoint.tensors.get('language_model.norm.weight')!;
    const values = decodeFloats(norm, await readRange(checkpoint.folder, norm.file, norm.start, norm.end));
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    expect(values.length).toBe(norm.shape[0]);
    expect(Math.abs(mean - 1)).toBeLessThan(0.5);
    expect(Math.max(...values.map(Math.abs))).toBeLessThan(3);
  });
});

test("the original repositories' names give the model that the hub's names give", async () => {
  const ids = [];
  for (const name of ['llava-f16', 'llava-f16-original'])
    ids.push(await modelId({}, await openCheckpoint(await fixture(name))));
  expect(ids[0]).toBe(ids[1]);
});

test('our writer writes the bytes that the reference writer writes', async () => {
  const bytes = await (await fixture('llava-f32')).read('model.safetensors');
  const header = parseSafetensors('model.safetensors', bytes);
  const tensors = [...header.tensors.values()].reverse().map((info) => ({
    ...info,
    data: tensorBytes('model.safetensors', header, bytes, info.name),
  }));
  expect(Buffer.compare(writeSafetensors(tensors, header.metadata), bytes)).toBe(0);
});
