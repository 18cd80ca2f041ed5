// q, k and v in one product, turned and put into the cache by it, the gate and what it is for in another, where nobody looks: the same numbers, bit for bit.
import { describe, expect, it } from 'vitest';
import { allocate } from '../../src/checkpoint/allocate.ts';
import type { Format } from '../../src/gpu/formats/format.ts';
import { matrixShape } from '../../src/gpu/formats/format.ts';
import { formats } from '../../src/gpu/formats/index.ts';
import { byteSize, elementCount, type Tensor } from '../../src/gpu/tensor.ts';
import { shapeClass } from '../../src/gpu/tuning.ts';
import type { CustomKernel, Kernels } from '../../src/kernels/custom/kernels.ts';
import { matmulQuestion } from '../../src/kernels/matmul/candidates.ts';
import { pseudoRandom } from '../../src/kernels/pseudo-random.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { type CacheFormat, KvCache } from '../../src/model/layers/kv-cache.ts';
import { weightSpecs } from '../../src/model/load-model.ts';
import { Model } from '../../src/model/model.ts';
import { modelWeights } from '../../src/model/run/forward.ts';
import { useGpu } from '../gpu.ts';

/** For three rows of f32, whatever the product: untuned, a software adapter takes several rows by a variant without such endings. */
const threeRows = [256, 128, 64].map((n) =>
  shapeClass(matmulQuestion({ rows: 3, n, k: 64 }, 'f32', { subgroupMatrix: undefined })),
);
const gpu = useGpu({ tuning: { matmul: Object.fromEntries(threeRows.map((each) => [each, 'matvec 4 of 64'])) } });

const text = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 90,
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
};
const mistral = { ...text, architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: 9 };
const qwen = { ...text, architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2' };
/** Whose keys' and values' biases would begin where none can be bound. */
const narrowHeads = { ...qwen, head_dim: undefined, num_attention_heads: 4 };
/** Whose heads eight columns do not divide, as a software adapter takes them at once. */
const oddHeads = { ...text, head_dim: 20 };
/** Whose up_proj would begin where none can be bound. */
const oddMlp = { ...text, intermediate_size: 91 };

/** A decoder of random weights. */
function randomModel(settings: Record<string, unknown>, format: Format, cacheFormat: CacheFormat) {
  const config = parseConfig(settings);
  const specs = weightSpecs(config);
  const made: Tensor[] = [];
  const weights = allocate(specs, {
    formatOf: ({ shape }) => (format.obstacle(matrixShape(shape)[1]) ? formats.f32 : format),
    limit: gpu().capabilities.maxStorageBufferBindingSize,
    make(...tensor) {
      made.push(gpu().tensor(...tensor));
      return made.at(-1)!;
    },
  });
  for (const [i, spec] of specs.entries()) {
    const { name, shape, role } = spec;
    const values = pseudoRandom(elementCount(shape), i + 1).map((x) => 0.4 * x);
    if (role === 'vector')
      gpu().write(weights.vector(name, shape, spec), /norm/.test(name) ? values.map((x) => 1 + x) : values);
    else {
      const { parts, format } = weights.matrix(name, shape, spec);
      for (const [b, data] of format.pack(values, matrixShape(shape)).entries()) gpu().write(parts[0].buffers[b], data);
    }
  }
  const model = new Model({ gpu: gpu(), config, weights: modelWeights(config, weights), cacheFormat });
  return { model, destroy: () => gpu().destroy(...made) };
}

/** Logits of a prompt's next tokens, and what the cache then holds. */
async function run(model: Model, { batch, count, names }: { batch: number; count: number; names: string[] }) {
  const prompts = Array.from({ length: batch }, (_, b) => ({
    inputIds: Array.from({ length: 6 }, (_, i) => (i * 7 + 5 * b) % 90),
    visuals: [],
  }));
  const cache = new KvCache(gpu(), model.config.text, { capacity: 6 + count, batch, format: model.cacheFormat });
  const tokens = gpu().tensor(
    'tokens',
    'u32',
    [batch],
    Uint32Array.from(prompts, (_, b) => b + 40),
  );
  try {
    await model.step(prompts, { cache });
    const { recorded } = model.recordedStep(tokens, { cache, namesFilter: names });
    const labels = recorded.map((d) => d.label);
    const turning = recorded.filter((d) => d.kernel.startsWith('rotatedMatmul.')).length;
    const logits: Float32Array[] = [];
    for (let i = 0; i < count; i++)
      logits.push((await (await model.startStep(tokens, { cache, namesFilter: names })).result).logits!);
    const rec = gpu().record('read');
    const kept = [...cache.keys, ...cache.values].map((tensor) => rec.read(tensor));
    await rec.submit();
    return { labels, turning, logits, kept: kept.map(({ bytes }) => bytes) };
  } finally {
    cache.destroy();
    gpu().destroy(tokens);
  }
}

/** What a step after four positions is recorded with. */
function stepOf(model: Model) {
  const cache = new KvCache(gpu(), model.config.text, { capacity: 9 });
  cache.reserve(9);
  cache.length = 4;
  const tokens = gpu().tensor('tokens', 'u32', [1]);
  const free = () => {
    cache.destroy();
    gpu().destroy(tokens);
  };
  return { cache, tokens, free };
}

const ends = (labels: readonly string[], end: string) => labels.filter((label) => label.endsWith(end)).length;

it.each([
  ['a llama', text, 'f32', 'f32', 1, 2, 2, 2],
  ['three texts of a llama, tuned', text, 'f32', 'f16', 3, 2, 2, 2],
  ['three texts of a llama', text, 'f16', 'f16', 3, 2, 'GPU', 'GPU'],
  ['a llama of q8', text, 'q8', 'f16', 1, 2, 2, 2],
  ['a llama of q4', text, 'q4', 'f32', 1, 2, 2, 2],
  ['a mistral with a window', mistral, 'bf16', 'f16', 1, 2, 2, 2],
  ['a qwen2 with biases', qwen, 'f16', 'f32', 1, 2, 2, 2],
  ['a qwen2 of q4, with as many buffers as can be bound', qwen, 'q4', 'f16', 1, 2, 2, 2],
  ['a qwen2 whose biases cannot lie together', narrowHeads, 'f16', 'f16', 1, 0, 0, 2],
  ['a llama whose MLP’s matrices cannot lie together', oddMlp, 'f16', 'f16', 1, 2, 2, 0],
  ['a llama of odd heads', oddHeads, 'f16', 'f32', 1, 2, 'GPU', 2],
] as const)('%s', async (_, settings, format, cacheFormat, batch, qkv, turning, gateUp) => {
  const { model, destroy } = randomModel({ ...settings }, formats[format], cacheFormat);
  try {
    const unseen = await run(model, { batch, count: 3, names: [] });
    const here = (count: number | 'GPU') => (count === 'GPU' ? (gpu().capabilities.software ? 0 : 2) : count);
    expect([ends(unseen.labels, 'qkv_proj'), ends(unseen.labels, 'q_proj')]).toEqual([qkv, 2 - qkv]);
    const [turned, gated] = [here(turning), here(gateUp)];
    expect([unseen.turning, ends(unseen.labels, 'rot_q, k and v')]).toEqual([turned, qkv - turned]);
    expect([ends(unseen.labels, 'gate_up_proj'), ends(unseen.labels, 'gate_proj')]).toEqual([gated, 2 - gated]);
    const seen = await run(model, { batch, count: 3, names: ['blocks.*.attn.hook_q', 'blocks.*.mlp.hook_pre'] });
    expect([ends(seen.labels, 'qkv_proj'), ends(seen.labels, 'gate_up_proj'), seen.turning]).toEqual([0, 0, 0]);
    expect(seen.logits).toEqual(unseen.logits);
    expect(seen.kept).toEqual(unseen.kept);
    expect(new Set(unseen.logits.map((row) => row.join())).size).toBe(3);
  } finally {
    destroy();
  }
});

it('whoever looks at a part gets it, in the blocks that are asked for', () => {
  const { model, destroy } = randomModel(text, formats.f32, 'f32');
  const { cache, tokens, free } = stepOf(model);
  const labels = (name: string) =>
    model.recordedStep(tokens, { cache, namesFilter: [name] }).recorded.map((d) => d.label);
  for (const each of ['q', 'k', 'v', 'rot_q', 'rot_k'])
    expect([
      ends(labels(`blocks.1.attn.hook_${each}`), 'qkv_proj'),
      ends(labels(`*.hook_${each}`), 'qkv_proj'),
    ]).toEqual([1, 0]);
  for (const each of ['pre', 'pre_linear'])
    expect([
      ends(labels(`blocks.1.mlp.hook_${each}`), 'gate_up_proj'),
      ends(labels(`*.hook_${each}`), 'gate_up_proj'),
    ]).toEqual([1, 0]);
  for (const each of ['attn.hook_z', 'mlp.hook_post', 'hook_resid_mid'])
    expect([ends(labels(`*.${each}`), 'qkv_proj'), ends(labels(`*.${each}`), 'gate_up_proj')]).toEqual([2, 2]);
  free();
  destroy();
});

it('a custom kernel of a part takes its place, and nobody else’s', async () => {
  const { model, destroy } = randomModel(text, formats.f32, 'f32');
  const { cache, tokens, free } = stepOf(model);
  const labelsWith = (kernels: Kernels) =>
    model
      .with({ kernels })
      .recordedStep(tokens, { cache, namesFilter: [] })
      .recorded.map((d) => d.label);
  const mine = (...labels: string[]): CustomKernel => ({
    name: 'mine',
    wgsl: '@compute @workgroup_size(1) fn main() {}',
    labels,
  });
  for (const part of ['q', 'k', 'v']) {
    const labels = labelsWith({ matmul: mine(`blocks.1.attn.${part}_proj`) });
    expect([ends(labels, 'qkv_proj'), ends(labels, 'q_proj'), ends(labels, 'gate_up_proj')]).toEqual([1, 1, 2]);
  }
  const whole = labelsWith({ matmul: mine('blocks.1.attn.qkv_proj') });
  expect([ends(whole, 'qkv_proj'), ends(whole, '0.attn.rot_q, k and v'), ends(whole, '1.attn.rot_q, k and v')]).toEqual(
    [2, 0, 1],
  );
  for (const kernels of [{ rotary: mine('*.rot_q') }, { rotary: mine('*.rot_k') }, { copyRows: mine('*') }])
    expect(ends(labelsWith(kernels), 'qkv_proj')).toBe(0);
  for (const kernels of [
    { matmul: mine('*gate_proj') },
    { matmul: mine('*up_proj') },
    { gatedActivation: mine('*.act') },
  ]) {
    const labels = labelsWith(kernels);
    expect([ends(labels, 'gate_up_proj'), ends(labels, 'qkv_proj')]).toEqual([0, 2]);
  }
  free();
  destroy();
});

it('edits are made where they are asked for', async () => {
  const { model, destroy } = randomModel(text, formats.f32, 'f32');
  const plain = await run(model, { batch: 1, count: 2, names: [] });
  for (const [at, other] of [
    ['blocks.0.attn.hook_v', 'gate_up_proj'],
    ['blocks.0.attn.hook_rot_q', 'gate_up_proj'],
    ['blocks.0.mlp.hook_pre', 'qkv_proj'],
    ['blocks.0.mlp.hook_pre_linear', 'qkv_proj'],
  ]) {
    const edited = await run(model.with({ edits: [{ at, scale: 0.5 }] }), { batch: 1, count: 2, names: [] });
    expect(ends(edited.labels, other)).toBe(2);
    expect(ends(edited.labels, other === 'qkv_proj' ? 'gate_up_proj' : 'qkv_proj')).toBe(1);
    expect(edited.logits).not.toEqual(plain.logits);
  }
  destroy();
});

describe('memory for a stack', () => {
  const allocated = (
    sizes: readonly number[],
    { columns = 64, format = formats.f16 as Format, limit = 2 ** 20 } = {},
  ) => {
    const made: string[] = [];
    const specs = sizes.map((rows, i) => ({
      name: `w${i}`,
      shape: [rows, columns],
      role: 'matrix' as const,
      stack: 'all',
    }));
    const found = allocate(specs, {
      formatOf: () => format,
      limit,
      make(label, dtype, shape) {
        made.push(label);
        const size = byteSize(dtype, shape);
        return { label, dtype, shape, offset: 0, storage: { label, size, buffer: undefined } };
      },
    });
    const places = sizes.map((_, i) =>
      found.matrix(`w${i}`).parts[0].buffers.map(({ offset, label }) => [label, offset]),
    );
    return { made, places };
  };
  it('is one tensor for each buffer of the format', () => {
    expect(allocated([4, 2, 6])).toEqual({ made: ['all'], places: [[['w0', 0]], [['w1', 512]], [['w2', 768]]] });
    expect(allocated([64, 64], { format: formats.q4 })).toEqual({
      made: ['all', 'all scales'],
      places: [
        [
          ['w0', 0],
          ['w0 scales', 0],
        ],
        [
          ['w1', 2048],
          ['w1 scales', 256],
        ],
      ],
    });
  });
  it('is each one’s own where a view could not be bound, or the whole is too large', () => {
    for (const { made } of [
      allocated([3, 2]),
      allocated([64, 8], { format: formats.q4, columns: 96 }),
      allocated([4, 2, 6], { limit: 1000 }),
      allocated([32, 64], { format: formats.q4 }),
    ])
      expect(made.filter((label) => label.startsWith('all'))).toEqual([]);
  });
});
