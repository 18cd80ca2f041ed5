// Dry runs at the full geometry of published checkpoints, of which only config.json is here. The files are written as the
// hub has them (its repositories are the files' names, without what says nothing about the architecture); the numbers to
// compare with are transformers', made by test/reference/geometries.py.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { greatest } from '../../src/base/extremes.ts';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import { bf16 } from '../../src/gpu/formats/bf16.ts';
import { formatBytes } from '../../src/gpu/formats/format.ts';
import { byteSize, elementCount } from '../../src/gpu/tensor.ts';
import type { Architecture } from '../../src/model/families/family.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { KvCache } from '../../src/model/layers/kv-cache.ts';
import { dryModel, imageTokens, pricePrefill, recordPrefill, recordStep } from '../../src/model/plan/dry-run.ts';
import { configFormat, priceWeights } from '../../src/model/plan/price.ts';

const folder = 'test/fixtures/geometries';
const json = (file: string) => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'));
const expected: Record<
  string,
  { parameters: number; parts: Record<string, number>; unread: number; tokens?: [number, number, number][] }
> = json('expected.json');
const names = readdirSync(folder).flatMap((file) => (file.includes('--') ? [file.slice(0, -'.json'.length)] : []));
const partNames = {
  tower: 'vision tower',
  projector: 'projector',
  embeddings: 'embeddings',
  blocks: 'decoder blocks',
  lm_head: 'LM head',
} as const;
const mib = 2 ** 20;
// Of the hub's preprocessor_config.json files of Qwen2-VL and Qwen2.5-VL.
const preprocessor = { json: { min_pixels: 3136, max_pixels: 12845056 }, file: 'preprocessor_config.json' };

describe.each(names)('%s', (name) => {
  const config = parseConfig(json(`${name}.json`), name);
  const format = configFormat(json(`${name}.json`))!;

  it("has the parameters that transformers' class has, part by part", () => {
    const price = priceWeights(config, () => format);
    const { parts, unread, parameters } = expected[name];
    const read = Object.entries(parts).map(([part, n]) => [
      partNames[part as keyof typeof partNames],
      part === 'tower' ? n - unread : n,
    ]);
    const found = [...price.parts].map(([part, { parameters }]) => [part, parameters]);
    expect(Object.fromEntries(found)).toEqual(Object.fromEntries(read));
    expect(price.parameters).toBe(parameters - unread);
    expect(price.storedBytes).toBe(formatBytes(format, [1, price.parameters]));
    // Only vectors are widened, and they are few.
    expect(price.gpuBytes / price.storedBytes).toBeLessThan(1.002);
    expect(price.gpuBytes).toBeGreaterThan(price.storedBytes);
  });

  it('splits what a binding of 128 MiB does not hold, and nothing else', () => {
    const price = priceWeights(config, () => format, 128 * mib);
    for (const { name, bytes, shape, buffers } of price.tensors) {
      const rowBytes = bytes / shape[0];
      const perPart = Math.floor((128 * mib) / rowBytes);
      expect(buffers, name).toBe(Math.ceil(shape[0] / perPart));
    }
  });

  it.runIf(config.vision)("counts the tokens of images as transformers' processor does", () => {
    const counted = expected[name].tokens!.map(([height, width]) => [
      height,
      width,
      imageTokens(config, config.vision!.imageShape({ height, width }, preprocessor)),
    ]);
    expect(counted).toEqual(expected[name].tokens);
  });

  it('records the prefill of an image and a text, every shape checked', () => {
    const image = config.vision?.imageShape({ height: 480, width: 640 }, preprocessor);
    const price = pricePrefill(dryModel(config, format), 100, image);
    const { dModel, dMlp, vocabSize } = config.text;
    expect(price.tokens).toBe(100 + (image ? imageTokens(config, image) : 0));
    expect(price.largest.bytes).toBeGreaterThanOrEqual(Math.min(4 * price.tokens * dMlp, 64 * mib));
    expect(price.largest.bytes).toBeLessThanOrEqual(128 * mib); // what every adapter binds
    expect(price.arenaBytes).toBeGreaterThan(price.largest.bytes + 4 * price.tokens * dModel);
    // Two operations for every weight of a decoder's block and token, and the head's for one token alone.
    const blocks = expected[name].parts.blocks;
    const decoder = 2 * (price.tokens * blocks + vocabSize * dModel);
    expect(price.flops / decoder).toBeGreaterThan(0.99);
    if (!image) expect(price.flops / decoder).toBeLessThan(1.02);
  });
});

describe('published figures', () => {
  const priced = (name: string) => {
    const config = parseConfig(json(`${name}.json`));
    return { config, price: priceWeights(config, () => bf16, 128 * mib) };
  };

  it.each([
    // 2 (keys, values) x 4 bytes x layers x key/value heads x head size
    ['llava-hf--llava-1.5-7b-hf', 1024 * 1024],
    ['llava-hf--llava-next-72b-hf', 5120 * 1024],
    ['Qwen--Qwen2-VL-72B-Instruct', 640 * 1024],
    ['Qwen--Qwen2.5-VL-7B-Instruct', 112 * 1024],
    ['mistralai--Mistral-7B-v0.1', 256 * 1024],
  ])('%s keeps %d bytes of keys and values a token, half of it in f16', (name, bytes) => {
    const { config } = priced(name);
    expect(KvCache.price(config.text, 1, 'f32')).toBe(bytes);
    expect(KvCache.price(config.text, 1, 'f16')).toBe(bytes / 2);
    expect(KvCache.price(config.text, 4096, 'f32')).toBe(4096 * bytes);
  });

  it.each([
    ['llava-hf--llava-1.5-7b-hf', 'language_model.embed_tokens.weight', 2],
    ['Qwen--Qwen2-VL-7B-Instruct', 'lm_head.weight', 9], // 1039.5 MiB, in parts of whole rows
    ['Qwen--Qwen2-VL-7B-Instruct', 'language_model.layers.0.mlp.down_proj.weight', 2],
    ['Qwen--Qwen2-VL-7B-Instruct', 'language_model.layers.0.self_attn.q_proj.weight', 1],
    ['Qwen--Qwen2-VL-72B-Instruct', 'language_model.embed_tokens.weight', 19],
    ['Qwen--Qwen2-VL-72B-Instruct', 'visual.blocks.0.attn.qkv.weight[2/3]', 1],
  ])('%s: %s takes %d buffers of 128 MiB', (name, tensor, buffers) => {
    expect(priced(name).price.tensors.find((t) => t.name === tensor)?.buffers).toBe(buffers);
  });
});

describe('where a binding holds 128 MiB, as WebGPU grants everywhere', () => {
  /** Bytes of the largest binding of a run, and what is bound. */
  const widest = (dispatches: readonly Dispatch[]) => {
    const tensors = dispatches.flatMap(({ bindings }) => bindings.map(({ tensor }) => tensor));
    const bytes = tensors.map(({ dtype, shape }) => byteSize(dtype, shape));
    const most = greatest(bytes, 0);
    return { bytes: most, label: tensors[bytes.indexOf(most)].label };
  };
  const inputOf = (config: Architecture, width: number, height: number, text: number): ModelInput => {
    const shape = config.vision!.imageShape({ width, height }, preprocessor);
    const pixels = new Float32Array(elementCount(shape.shape));
    const placeholders = new Array<number>(imageTokens(config, shape)).fill(config.vision!.imageTokenId);
    return { inputIds: [...placeholders, ...new Array<number>(text).fill(0)], visuals: [{ ...shape, pixels }] };
  };

  it.each([
    ['llava-hf--llava-1.5-7b-hf', 640, 480, 576],
    ['llava-hf--llava-v1.6-mistral-7b-hf', 672, 672, 2928], // the most tokens that its tiles make
    ['llava-hf--llava-onevision-qwen2-7b-ov-hf', 640, 480, 2929],
    ['llava-hf--llava-onevision-qwen2-7b-ov-hf', 1920, 1080, 7269],
    ['llava-hf--llava-onevision-qwen2-7b-ov-hf', 2304, 2304, 7371], // 36 tiles, the most
    ['lmms-lab--llava-onevision-qwen2-7b-ov', 2304, 2304, 7371],
    ['Qwen--Qwen2-VL-7B-Instruct', 1920, 1080, 2691],
    ['Qwen--Qwen2.5-VL-7B-Instruct', 1920, 1080, 2691],
    ['Qwen--Qwen2.5-VL-7B-Instruct', 2560, 1960, 6370],
  ])('%s with a picture of %dx%d, %d tokens, and 128 of text', (name, width, height, tokens) => {
    const config = parseConfig(json(`${name}.json`), name);
    const model = dryModel(config, bf16); // on such an adapter
    const input = inputOf(config, width, height, 128);
    expect(input.inputIds.length).toBe(tokens + 128);
    const heads = model.dispatches(input, { namesFilter: 'blocks.*.attn.hook_z', posSlice: -1 });
    for (const run of [recordPrefill(model, input).recorded, recordStep(model, tokens + 128).recorded, heads]) {
      const { bytes, label } = widest(run);
      expect(bytes, label).toBeLessThanOrEqual(128 * mib);
    }
  });

  it("a tower's own rows bound the pictures of Qwen2-VL: 26,214 patches of 1280 numbers are 128 MiB", () => {
    const config = parseConfig(json('Qwen--Qwen2-VL-7B-Instruct.json'));
    const { largest } = pricePrefill(
      dryModel(config, bf16),
      128,
      config.vision!.imageShape({ width: 4000, height: 4000 }, preprocessor), // 65,536 patches, the most
    );
    expect(largest).toEqual({ label: 'vision.patch_embedding', bytes: 4 * 1280 * 65536 });
  });
});
