// A checkpoint that was written in fewer bits is, once loaded, what the original becomes when it is loaded in those bits.
import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { loadTensors } from '../../src/checkpoint/load.ts';
import { specKey } from '../../src/checkpoint/specs.ts';
import { bufferBytes } from '../../src/gpu/formats/format.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { byteSize, type Tensor } from '../../src/gpu/tensor.ts';
import { buffersOf } from '../../src/gpu/weight.ts';
import { readConfig } from '../../src/model/families/read-config.ts';
import { unreadTensors, weightSpecs } from '../../src/model/load-model.ts';
import { quantize } from '../../src/model/quantize.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { chosenFormat, type WeightsChoice } from '../../src/model/weight-formats.ts';
import type { QuantizeOptions } from '../../src/model/write-quantized.ts';
import type { Folder } from '../../src/platform/types.ts';
import { MemoryFolder } from '../checkpoint/memory-folder.ts';
import { useGpu } from '../gpu.ts';
import { randomCheckpoint, wide } from './random-checkpoint.ts';
import { bits } from './subject.ts';

const gpu = useGpu();

/** What is written, as a folder. */
async function written(source: Folder | 'tiny-llava', options: Partial<QuantizeOptions> = {}) {
  const files: Record<string, Uint8Array> = {};
  let longest = 0;
  const result = await quantize(source, {
    gpu: gpu(),
    write: async (name, pieces) => {
      const all: Uint8Array[] = [];
      for await (const piece of pieces) {
        longest = Math.max(longest, piece.length);
        all.push(piece);
      }
      files[name] = new Uint8Array(Buffer.concat(all));
    },
    ...options,
  });
  return { folder: new MemoryFolder(files), result, longest };
}

/** What is in the GPU's buffers of all weights, by the keys of their specs; without what pads them. */
async function buffers(on: Gpu, folder: Folder, weights?: WeightsChoice): Promise<Map<string, unknown>> {
  const { config } = await readConfig(folder);
  const specs = weightSpecs(config);
  const formatOf = weights && chosenFormat(weights);
  const loaded = await loadTensors(on, await openCheckpoint(folder), specs, { ...unreadTensors(config), formatOf });
  const found = new Map<string, unknown>();
  for (const spec of specs) {
    const weight = spec.role === 'matrix' ? loaded.matrix(spec.name, [], spec) : undefined;
    const tensors: Tensor[] = weight ? buffersOf(weight) : [loaded.vector(spec.name, [], spec)];
    const rec = on.record('read weights');
    const reads = tensors.map((t) => rec.read({ ...t, dtype: 'u32', shape: [byteSize(t.dtype, t.shape) / 4] }));
    await rec.submit();
    found.set(specKey(spec), [
      weight?.format.name,
      tensors.map(({ label }) => label),
      reads.map(({ bytes }, i) => bits(bytes!.subarray(0, bufferBytes(tensors[i])))),
    ]);
  }
  loaded.destroy();
  return found;
}

const small = useGpu({ maxStorageBufferBindingSize: 1024 });

describe.each(Object.keys(wide))('%s', (name) => {
  it.each<[WeightsChoice, number]>([
    ['q4', 1],
    ['q8', 3],
    [{ decoder: 'q8', head: 'q4', tower: 'f16' }, 1],
  ])('in %j, from %i files', async (weights, files) => {
    const source = randomCheckpoint(name, files);
    let expected = 0;
    const { folder, result } = await written(source, {
      weights,
      onSize: (bytes) => {
        expected = bytes;
      },
    });
    const config = result.files.find((file) => file.name === 'config.json')!.bytes - (await source.size('config.json'));
    expect(result.files.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(expected + config);
    expect(result.left).toEqual([]);
    expect(Object.keys(result.formats)).toContain(weights === 'q4' ? 'q4' : 'q8');
    const wanted = await buffers(gpu(), source, weights);
    expect([...wanted.values()].filter((value) => /^q\d$/.test((value as string[])[0])).length).toBeGreaterThan(10);
    expect(await buffers(gpu(), folder)).toEqual(wanted);
    expect(await buffers(gpu(), folder, weights)).toEqual(wanted);
  });

  it('in parts, where a binding holds a few rows, and in several files', async () => {
    const source = randomCheckpoint(name);
    const one = await written(source);
    const { folder, result } = await written(source, { gpu: small(), shardBytes: 9000 });
    expect(result.files.filter((file) => file.name.endsWith('.safetensors')).length).toBeGreaterThan(3);
    const index = JSON.parse(new TextDecoder().decode(await folder.read('model.safetensors.index.json')));
    const checkpoint = await openCheckpoint(folder);
    for (const { name, file } of [...checkpoint.packed.values()].flatMap((matrix) => matrix.buffers))
      expect(index.weight_map[name]).toBe(file);
    expect(index.metadata.total_size).toBe(checkpoint.bytes);
    const parts = await buffers(small(), source, 'q4');
    expect([...parts.values()].some((value) => (value as string[][])[1].length > 3)).toBe(true);
    expect(await buffers(small(), folder)).toEqual(parts);
    expect(await buffers(small(), one.folder)).toEqual(parts);
    expect(await buffers(gpu(), folder)).toEqual(await buffers(gpu(), one.folder));
  });

  it('has the files that the processor reads, and the same name for caches', async () => {
    const source = randomCheckpoint(name);
    const { folder, result } = await written(source);
    const load = (from: Folder, weights?: WeightsChoice) => VisionLanguageModel.load(from, { gpu: gpu(), weights });
    const [kept, stored] = [await load(source, 'q4'), await load(folder)];
    expect(stored.modelId).toBe(kept.modelId);
    expect(result.modelId).toBe(kept.modelId);
    expect(stored.precision).toBe(kept.precision);
    expect(stored.madeWith).toEqual(kept.madeWith);
    expect([...stored.endTokens]).toEqual([...kept.endTokens]);
    const prompt = { prompt: 'What is this?', images: [] };
    expect(bits(await stored.headVectors(prompt))).toEqual(bits(await kept.headVectors(prompt)));
    for (const model of [kept, stored]) model.destroy();
  });
});

describe('tiny-llava', () => {
  const image = 'weights/tiny-llava/tasks/images/warm-cool/test-000.png';
  const load = (from: Folder | 'tiny-llava', weights?: WeightsChoice) =>
    VisionLanguageModel.load(from, { gpu: gpu(), weights });

  it('gives every activation bit for bit as when it is quantised on load', async () => {
    const { folder, result, longest } = await written('tiny-llava');
    const [kept, stored] = [await load('tiny-llava', 'q4'), await load(folder)];
    const prompt = { images: [image], prompt: 'What color is it?' };
    const [a, b] = [
      await kept.runWithCache(await kept.input(prompt)),
      await stored.runWithCache(await stored.input(prompt)),
    ];
    expect([...b.keys()]).toEqual([...a.keys()]);
    for (const [key, { data }] of a) expect(bits(b.at(key).data), key).toEqual(bits(data));
    for (const model of [kept, stored]) model.destroy();
    expect(longest).toBeLessThanOrEqual(4 << 20);
    expect((await openCheckpoint(folder)).bytes).toBeLessThan(0.42 * result.storedBytes);
    expect(result.left).toEqual([
      'vision_tower.vision_model.post_layernorm.bias',
      'vision_tower.vision_model.post_layernorm.weight',
    ]);
  });

  it('is not turned into other formats, and is told apart where its tensors were changed', async () => {
    const { folder } = await written('tiny-llava', { weights: { decoder: 'q4' } });
    await expect(load(folder, 'q8')).rejects.toThrow(
      'weights: decoder is q4 in memory and cannot become q8; leave it out, or give the checkpoint that it was quantised from',
    );
    await expect(quantize(folder, { gpu: gpu(), write: async () => {} })).rejects.toThrow(
      /^memory: it is quantised already \(language_model\.model\.layers\.0\.mlp\.down_proj\.weight is q4\); give the checkpoint/,
    );
    const models = [await load(folder), await load(folder, 'q4'), await load('tiny-llava', 'q4')];
    expect(models.map(({ precision }) => precision)).toEqual([
      'decoder=q4',
      'decoder=q4,embeddings=q8,head=q8,projector=q8,tower=q8',
      models[2].precision,
    ]);
    expect(new Set(models.map(({ modelId }) => modelId)).size).toBe(1);
    for (const model of models) model.destroy();

    const weights = folder.files.get('model.safetensors')!;
    weights[weights.length - 1] ^= 1;
    const changed = await load(folder);
    expect(changed.precision).toBeUndefined();
    expect(changed.modelId).not.toBe(models[0].modelId);
    changed.destroy();
    const json = JSON.parse(new TextDecoder().decode(folder.files.get('config.json')!));
    const withEntry = (entry: unknown) =>
      new MemoryFolder({
        ...Object.fromEntries(folder.files),
        'config.json': JSON.stringify({ ...json, quantization_config: entry }),
      });
    const bare = withEntry(undefined);
    await expect(load(bare, 'q8')).rejects.toThrow(
      /^weights: language_model\.layers\.0\.self_attn\.q_proj\.weight is stored as q4 and cannot become q8; leave it/,
    );
    const other = await load(bare);
    expect(other.modelId).toBe(changed.modelId);
    other.destroy();
    for (const [entry, message] of [
      [{ quant_method: 'headlight' }, /config\.json: quantization_config\.weights: /],
      [{ ...json.quantization_config, weights: { decoder: 'q3' } }, /quantization_config\.weights\.decoder: /],
      [{ ...json.quantization_config, model_id: 'x' }, /quantization_config\.model_id: /],
      [{ quant_method: 'awq' }, /quantization_config is not supported/],
    ] as const)
      await expect(load(withEntry(entry)), JSON.stringify(entry)).rejects.toThrow(message);
  });

  it('refuses what would change nothing, and a writer that does not read', async () => {
    const onevision = await openFolder('test/fixtures/families/onevision-f32');
    await expect(quantize(onevision, { gpu: gpu(), write: async () => {} })).rejects.toThrow(
      /^weights: no matrix of .*onevision-f32 would change/,
    );
    await expect(quantize('tiny-llava', { gpu: gpu(), write: async () => {} })).rejects.toThrow(
      'write: model.safetensors was not read to its end',
    );
    const controller = new AbortController();
    const onProgress = (read: number) => read > 0 && controller.abort(new Error('enough'));
    const { signal } = controller;
    await expect(written('tiny-llava', { signal, onProgress })).rejects.toThrow('enough');
  });
});
