// Random checkpoints with rows of whole groups of 32, in the layout and with the settings of a small one of test/fixtures/.
import { readdirSync, readFileSync } from 'node:fs';
import { type StoredTensor, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { storedFormats } from '../../src/checkpoint/stored-formats.ts';
import { matrixShape } from '../../src/gpu/formats/format.ts';
import { elementCount } from '../../src/gpu/tensor.ts';
import { pseudoRandom } from '../../src/kernels/pseudo-random.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { weightSpecs } from '../../src/model/load-model.ts';
import { MemoryFolder } from '../checkpoint/memory-folder.ts';
import { fixturePath } from '../fixtures.ts';

type Json = { [key: string]: unknown };

/** One checkpoint of each family, and widths that groups divide. */
export const wide: Readonly<Record<string, Json>> = {
  'checkpoints/llava-f32': {
    text_config: { hidden_size: 64, intermediate_size: 96, head_dim: 16 },
    vision_config: { hidden_size: 32, intermediate_size: 64 },
  },
  'families/next-qwen2-bf16': {
    text_config: { hidden_size: 96, intermediate_size: 64 },
    vision_config: { hidden_size: 32, intermediate_size: 64 },
  },
  'families/onevision-f16': {
    text_config: { hidden_size: 64, intermediate_size: 96 },
    // No whole groups in the second matrix of its MLP, as in SigLIP so400m.
    vision_config: { hidden_size: 32, intermediate_size: 40 },
  },
  'families/qwen2-vl-f32': {
    hidden_size: 32,
    intermediate_size: 64,
    vision_config: { embed_dim: 32, hidden_size: 32 },
  },
  'families/qwen2_5-vl-f16': {
    text_config: {
      hidden_size: 64,
      intermediate_size: 96,
      rope_scaling: { mrope_section: [4, 6, 6], rope_type: 'default', type: 'default' },
    },
    vision_config: { hidden_size: 32, intermediate_size: 64, out_hidden_size: 64 },
  },
  'families/llama-text-f32': { hidden_size: 64, intermediate_size: 96, head_dim: 16 },
};

const merged = (json: Json, changes: Json): Json => ({
  ...json,
  ...Object.fromEntries(
    Object.entries(changes).map(([key, value]) => {
      const isPart = typeof value === 'object' && !Array.isArray(value) && key.endsWith('_config');
      return [key, isPart ? merged((json[key] ?? {}) as Json, value as Json) : value];
    }),
  ),
});

/** @param files how many files of weights. */
export function randomCheckpoint(name: string, files = 1): MemoryFolder {
  const path = fixturePath(name);
  const read = (file: string) => new Uint8Array(readFileSync(`${path}/${file}`));
  const json = merged(JSON.parse(new TextDecoder().decode(read('config.json'))), wide[name]);
  const fixture = Object.fromEntries(
    readdirSync(path)
      .filter((file) => !/^(expected|model)/.test(file))
      .map((file) => [file, read(file)]),
  );
  const dtype = /-(f32|f16|bf16)$/.exec(name)![1].toUpperCase() as 'F32' | 'F16' | 'BF16';
  const specs = new Map(weightSpecs(parseConfig(json)).map((spec) => [spec.name, spec]));
  const tensors = [...specs.values()].map(({ name, shape }, i): StoredTensor => {
    const values = pseudoRandom(elementCount(shape), i + 1);
    const data = storedFormats[dtype]!.pack(values, matrixShape(shape))[0];
    return { name, dtype, shape, data: data.subarray(0, elementCount(shape) * (dtype === 'F32' ? 4 : 2)) };
  });
  const settings = { ...fixture, 'config.json': JSON.stringify(json) };
  if (files === 1) return new MemoryFolder({ ...settings, 'model.safetensors': writeSafetensors(tensors) });
  const shardOf = (i: number) => `model-${i % files}.safetensors`;
  const shards = Array.from({ length: files }, (_, f) => [
    shardOf(f),
    writeSafetensors(tensors.filter((_, i) => i % files === f)),
  ]);
  const weight_map = Object.fromEntries(tensors.map(({ name }, i) => [name, shardOf(i)]));
  return new MemoryFolder({
    ...settings,
    ...Object.fromEntries(shards),
    'model.safetensors.index.json': JSON.stringify({ weight_map }),
  });
}
