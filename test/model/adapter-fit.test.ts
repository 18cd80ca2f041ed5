import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Capabilities } from '../../src/gpu/capabilities.ts';
import { guaranteed } from '../../src/gpu/dry-gpu.ts';
import { bf16 } from '../../src/gpu/formats/bf16.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import type { CacheFormat } from '../../src/model/layers/kv-cache.ts';
import { bindable, checkAdapter, showBytes } from '../../src/model/plan/adapter-fit.ts';
import { dryModel, pricePrefill } from '../../src/model/plan/dry-run.ts';
import { priceWeights } from '../../src/model/plan/price.ts';

const [mib, gib] = [2 ** 20, 2 ** 30];

interface Case {
  adapter?: Partial<Capabilities>;
  length?: number;
  memory?: number;
  image?: { width: number; height: number };
  textTokens?: number;
  cacheFormat?: CacheFormat;
}

function check(
  name: string,
  { adapter, length = 4096, memory, image, textTokens = 128, cacheFormat = 'f32' }: Case = {},
): string[] {
  const config = parseConfig(JSON.parse(readFileSync(`test/fixtures/geometries/${name}.json`, 'utf8')));
  const capabilities = { ...guaranteed, ...adapter };
  const weights = priceWeights(config, () => bf16, bindable(capabilities));
  const shape = image && config.vision!.imageShape(image, { json: {}, file: '' });
  const price = pricePrefill(dryModel(config, bf16, capabilities, undefined, cacheFormat), textTokens, shape);
  const load = { weights, text: config.text, length, cacheFormat, runs: [{ name: 'prompt', price }] };
  return checkAdapter(load, capabilities, memory).map(({ verdict, text }) => `${verdict}: ${text}`);
}

describe('checkAdapter', () => {
  it('says how weights are split, the layers of one name together', () => {
    expect(check('llava-hf--llava-onevision-qwen2-7b-ov-hf')).toEqual([
      'fits: language_model.embed_tokens.weight (1 GiB): split by rows into 9 buffers',
      'fits: language_model.layers.*.mlp.gate_proj.weight (28 tensors of 129.5 MiB): split by rows into 2 buffers',
      'fits: language_model.layers.*.mlp.up_proj.weight (28 tensors of 129.5 MiB): split by rows into 2 buffers',
      'fits: language_model.layers.*.mlp.down_proj.weight (28 tensors of 129.5 MiB): split by rows into 2 buffers',
      'fits: lm_head.weight (1 GiB): split by rows into 9 buffers',
      'fits: keys of one layer at 4096 positions (8 MiB)',
      'fits: prompt: largest activation blocks.0.mlp.gate_proj (9.3 MiB)',
      'unknown: 15.4 GiB in all: weights, key/value cache and activations; WebGPU does not tell how much memory the GPU has',
    ]);
  });

  it('finds nothing to say of a large adapter', () => {
    const adapter = { maxStorageBufferBindingSize: 4 * gib, maxBufferSize: 4 * gib };
    expect(check('Qwen--Qwen2-VL-2B-Instruct', { adapter, memory: 64 * gib })).toEqual([
      'fits: every weight fits one binding',
      'fits: keys of one layer at 4096 positions (4 MiB)',
      'fits: prompt: largest activation blocks.0.mlp.gate_proj (4.4 MiB)',
      'fits: 4.3 GiB in all: weights, key/value cache and activations, of 64 GiB',
    ]);
  });

  it('names the positions for which keys fit, exactly', () => {
    // 64 heads of 128 numbers in f32: 32 KiB a position
    const found = check('llava-hf--llava-next-72b-hf', { length: 4097 });
    expect(found.find((line) => line.includes('keys of one layer'))).toBe(
      'too large: keys of one layer at 4097 positions (128 MiB): more than the 128 MiB that this adapter binds; keep prompt and answer within 4096 positions (--length)',
    );
    expect(check('llava-hf--llava-next-72b-hf', { length: 4096 }).join()).not.toContain('too large');
    const halves = check('llava-hf--llava-next-72b-hf', { length: 8193, cacheFormat: 'f16' });
    expect(halves.find((line) => line.includes('keys of one layer'))).toContain('within 8192 positions');
  });

  it('names activations that no binding holds, and what to do', () => {
    const onevision = 'llava-hf--llava-onevision-qwen2-7b-ov-hf';
    // 128 MiB / (4 bytes x 3584): the MLP, which is wider, runs in chunks
    const long = check(onevision, { textTokens: 12_000, length: 12_000 });
    expect(long.find((line) => line.startsWith('too large'))).toBe(
      'too large: prompt: largest activation embed_tokens (164.1 MiB): more than the 128 MiB that this adapter binds; keep the prompt within 9362 tokens: fewer or smaller images, shorter text',
    );
    const tower = check('Qwen--Qwen2-VL-2B-Instruct', {
      image: { width: 900, height: 1100 },
      adapter: { maxBufferSize: 32 * mib },
    });
    expect(tower.find((line) => line.startsWith('too large: prompt'))).toMatch(
      /largest activation vision\..*; use a smaller image$/,
    );
  });

  it('names a row that no binding holds, and memory that is not there', () => {
    const found = check('Qwen--Qwen2-VL-2B-Instruct', { adapter: { maxBufferSize: 16384 }, memory: 2 * gib });
    expect(found).toContainEqual(
      'too large: language_model.layers.*.mlp.down_proj.weight (28 tensors of 26.3 MiB): a row of [1536,8960] exceeds the 16 KiB that this adapter binds; it needs another adapter',
    );
    expect(found.at(-1)).toMatch(
      /^too large: 4\.\d GiB in all.*, of 2 GiB; it needs a smaller checkpoint or a 16-bit one$/,
    );
    const short = check('Qwen--Qwen2-VL-2B-Instruct', { length: 32768, memory: 4.4 * gib });
    expect(short.at(-1)).toMatch(/it needs fewer positions \(--length\)$/);
  });
});

it.each([
  [0, '0 bytes'],
  [1023, '1023 bytes'],
  [1536, '1.5 KiB'],
  [128 * mib, '128 MiB'],
  [2.25 * gib, '2.3 GiB'],
])('%d is %s', (bytes, text) => expect(showBytes(bytes)).toBe(text));
