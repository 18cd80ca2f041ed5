// What a generated token costs the host: npx tsx -C headlight-source bench/host-time.ts [--layers 32] [--tokens 200] [--json]
//
// A decoder of many narrow layers, so that the GPU has little to do: dispatches, bind groups and pipelines of a step, and the time
// of the process's own JavaScript (CPU of the main thread between the start of a step and its submission).
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { allocate } from '../src/checkpoint/allocate.ts';
import { f16 } from '../src/gpu/formats/f16.ts';
import { matrixShape } from '../src/gpu/formats/format.ts';
import { openGpu } from '../src/gpu/gpu.ts';
import { elementCount } from '../src/gpu/tensor.ts';
import { pseudoRandom } from '../src/kernels/pseudo-random.ts';
import { parseConfig } from '../src/model/families/index.ts';
import { PromptRun } from '../src/model/generation/generate.ts';
import { Steps } from '../src/model/generation/steps.ts';
import { KvCache } from '../src/model/layers/kv-cache.ts';
import { weightSpecs } from '../src/model/load-model.ts';
import { Model } from '../src/model/model.ts';
import { modelWeights } from '../src/model/run/forward.ts';
import { median } from '../src/verify/benchmark.ts';

const { values: options } = parseArgs({
  options: {
    layers: { type: 'string', default: '32' },
    tokens: { type: 'string', default: '200' },
    json: { type: 'boolean' },
  },
});
const tokens = Number(options.tokens);
const config = parseConfig({
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 512,
  hidden_size: 128,
  intermediate_size: 256,
  num_hidden_layers: Number(options.layers),
  num_attention_heads: 2,
  num_key_value_heads: 2,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-5,
});
const gpu = await openGpu();
let seed = 0;
const values = (count: number) => Float32Array.from(pseudoRandom(count, ++seed), (x) => 0.1 * x);
const specs = weightSpecs(config);
const { maxStorageBufferBindingSize: limit } = gpu.capabilities;
const weights = allocate(specs, { formatOf: () => f16, limit, make: (...tensor) => gpu.tensor(...tensor) });
for (const spec of specs) {
  const { name, shape, role } = spec;
  const tensor =
    role === 'vector' ? weights.vector(name, shape, spec) : weights.matrix(name, shape, spec).parts[0].buffers[0];
  const made = values(elementCount(shape));
  const data = role === 'vector' ? made.map((x) => 1 + x) : f16.pack(made, matrixShape(shape))[0];
  gpu.device.queue.writeBuffer(tensor.storage.buffer!, tensor.offset, data);
}
const model = new Model({ gpu, config, weights: modelWeights(config, weights) });

const prompt = { inputIds: Array.from({ length: 20 }, (_, i) => i), visuals: [] };
const next = gpu.tensor('next', 'u32', [1]);
const cache = new KvCache(gpu, config.text, { format: model.cacheFormat, capacity: 1024 });
await model.step([prompt], { cache, next });
const { dispatches } = model.recordedStep(next, { cache, next, namesFilter: [] });
const count = { groups: 0 };
const createBindGroup = gpu.device.createBindGroup.bind(gpu.device);
gpu.device.createBindGroup = (descriptor) => {
  count.groups++;
  return createBindGroup(descriptor);
};

/** Milliseconds and bind groups made of each step of a generation. */
async function generation() {
  const run = await PromptRun.start(model, [prompt], { room: tokens, logits: false, namesFilter: [] });
  const steps: { ms: number; groups: number }[] = [];
  let before = performance.now();
  count.groups = 0;
  for await (const _ of run.generate({ maxNewTokens: tokens, endTokens: new Set() })) {
    const now = performance.now();
    steps.push({ ms: now - before, groups: count.groups });
    before = now;
    count.groups = 0;
  }
  run.destroy();
  return steps;
}
const first = await generation();
const second = await generation();

/** The process's own part of a step, in milliseconds: recorded anew, and run again. */
async function hostMs(steps: Pick<Steps, 'start'>) {
  const times: number[] = [];
  for (let i = 0; i < 60; i++) {
    const before = performance.now();
    const { result } = await steps.start();
    times.push(performance.now() - before);
    await result;
  }
  return times;
}
const stepOptions = { cache, next, namesFilter: [] };
const anew = await hostMs({ start: () => model.startStep(next, stepOptions) });
const again = await hostMs(new Steps(model, next, cache));
const groupsOf = (steps: typeof first) => steps.map(({ groups }) => groups).filter((n) => n > 0);
const result = {
  adapter: gpu.capabilities.description,
  dispatches,
  hostMs: { anew: median(anew), again: median(again) },
  leastHostMs: { anew: Math.min(...anew), again: Math.min(...again) },
  msPerToken: median(second.map(({ ms }) => ms)),
  bindGroups: [groupsOf(first), groupsOf(second)],
};
if (options.json) console.log(JSON.stringify(result));
else console.log(result);
gpu.dispose();
