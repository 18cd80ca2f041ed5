// LLaVA-1.5-7B's geometry, loaded: npx tsx -C headlight-source bench/load-7b.ts FOLDER [--weights q4] [--prefill FILE] [--json]
//
// FOLDER gets a synthetic checkpoint in bf16 where none is there yet (--layers and --tower-layers make it smaller; whole it is a file of
// 13 GB). Or it is one that `headlight quantize` has written. No tokenizer is there: it is loaded, not talked to.
//
// What is measured: as in load-memory.ts, the resident set of this process, less that of the idle process, less what has been written
// to the GPU's buffers, which on a software adapter are memory of this process too. What is left (`peakMiB`) is ours, Dawn's staging
// buffers, and the buffer being filled where it was zeroed ahead: an upper bound. Promise: the largest tensor + 64 MiB at most.
//
// --prefill runs a prompt with a picture, and writes input and results to FILE; test/reference/dequantised.py compares them with
// transformers on the dequantised weights.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openFolder } from '#platform';
import { openCheckpoint, storedAs } from '../src/checkpoint/checkpoint-files.ts';
import { loadTensors, type TensorSpec } from '../src/checkpoint/load.ts';
import { tensorOf, writeSafetensors } from '../src/checkpoint/safetensors-writer.ts';
import { formatBytes, matrixShape } from '../src/gpu/formats/format.ts';
import { openGpu } from '../src/gpu/gpu.ts';
import { elementCount } from '../src/gpu/tensor.ts';
import { pseudoRandom } from '../src/kernels/pseudo-random.ts';
import { readConfig } from '../src/model/families/read-config.ts';
import { unreadTensors, weightSpecs } from '../src/model/load-model.ts';
import { Model } from '../src/model/model.ts';
import { modelWeights } from '../src/model/run/forward.ts';
import { chosenFormat, type WeightsChoice } from '../src/model/weight-formats.ts';
import { writeSyntheticCheckpoint } from './synthetic-checkpoint.ts';

const MiB = 2 ** 20;
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    weights: { type: 'string' },
    layers: { type: 'string', default: '32' },
    'tower-layers': { type: 'string', default: '24' },
    prefill: { type: 'string' },
    json: { type: 'boolean' },
  },
});
const [path] = positionals;

const config = {
  architectures: ['LlavaForConditionalGeneration'],
  model_type: 'llava',
  image_token_index: 32000,
  projector_hidden_act: 'gelu',
  text_config: {
    model_type: 'llama',
    max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    vocab_size: 32064,
    num_hidden_layers: Number(options.layers),
  },
  torch_dtype: 'bfloat16',
  vision_config: {
    model_type: 'clip_vision_model',
    hidden_size: 1024,
    image_size: 336,
    intermediate_size: 4096,
    num_attention_heads: 16,
    num_hidden_layers: Number(options['tower-layers']),
    patch_size: 14,
    projection_dim: 768,
  },
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
};

if (!existsSync(join(path, 'config.json'))) writeSyntheticCheckpoint(path, config);
const folder = await openFolder(path);
const read = await readConfig(folder);
const specs = weightSpecs(read.config);
const formatOf = options.weights ? chosenFormat(options.weights as WeightsChoice) : undefined;
const gpu = await openGpu();
const { software, description } = gpu.capabilities;
const checkpoint = await openCheckpoint(folder);

/** Of all tensors in the order in which they are read: bytes of the files up to its end, and bytes of the GPU's buffers. */
const ends = readOrder().reduce<{ file: number; device: number }[]>((before, { file, device }) => {
  const last = before.at(-1) ?? { file: 0, device: 0 };
  return before.concat({ file: last.file + file, device: last.device + device });
}, []);

function readOrder() {
  const sizes = specs.flatMap((spec: TensorSpec) => {
    const { format, buffers } = storedAs(checkpoint, spec.name)!;
    const kept = spec.role === 'matrix' ? (formatOf?.(spec, format!) ?? format!) : undefined;
    const device = kept ? formatBytes(kept, matrixShape(spec.shape)) : 4 * elementCount(spec.shape);
    const file = buffers.reduce((sum, { start, end }) => sum + end - start, 0);
    return buffers.map((buffer) => ({
      buffer,
      file: buffer.end - buffer.start,
      device: (device * (buffer.end - buffer.start)) / file,
    }));
  });
  return sizes.sort(({ buffer: a }, { buffer: b }) =>
    a.file === b.file ? a.start - b.start : a.file < b.file ? -1 : 1,
  );
}

/** What has been written to the GPU's buffers when so much of the files has been read. */
function onDevice(loaded: number): number {
  const i = ends.findIndex(({ file }) => file > loaded);
  if (i < 0) return ends.at(-1)!.device;
  const before = ends[i - 1] ?? { file: 0, device: 0 };
  const share = (loaded - before.file) / (ends[i].file - before.file);
  return before.device + share * (ends[i].device - before.device);
}

const largest = Math.max(
  ...specs.map(({ name }) => storedAs(checkpoint, name)!.buffers.reduce((sum, b) => sum + b.end - b.start, 0)),
);
const idle = process.memoryUsage.rss();
let written = 0;
let peak = 0;
const sample = () => {
  peak = Math.max(peak, process.memoryUsage.rss() - idle - (software ? onDevice(written) : 0));
};
const timer = setInterval(sample, 20);
const started = performance.now();
const weights = await loadTensors(gpu, checkpoint, specs, {
  ...unreadTensors(read.config),
  formatOf,
  onProgress: ({ loaded }) => {
    sample();
    written = loaded;
  },
});
sample();
clearInterval(timer);
const loadSeconds = (performance.now() - started) / 1000;
const result: Record<string, unknown> = {
  adapter: description,
  weights: options.weights ?? 'as stored',
  checkpointMiB: Math.round(checkpoint.bytes / MiB),
  gpuMiB: Math.round(weights.bytes / MiB),
  largestTensorMiB: Math.round(largest / MiB),
  peakMiB: Math.round(peak / MiB),
  limitMiB: Math.round(largest / MiB + 64),
  holds: peak <= largest + 64 * MiB,
  loadSeconds: Number(loadSeconds.toFixed(1)),
};
if (options.prefill) {
  const model = new Model({ gpu, config: read.config, weights: modelWeights(read.config, weights) });
  const side = config.vision_config.image_size;
  const pixels = pseudoRandom(3 * side * side, 7);
  const text = (count: number, seed: number) =>
    Array.from(pseudoRandom(count, seed), (x) => 3 + Math.floor(Math.abs(x) * 31_000));
  const image = Array<number>((side / 14) ** 2).fill(32000);
  const inputIds = Int32Array.from([1, ...text(7, 3), ...image, ...text(24, 5)]);
  const before = performance.now();
  const visuals = [{ kind: 'image', pixels, shape: [1, 3, side, side] } as const];
  const cache = await model.runWithCache(
    { inputIds, visuals },
    { namesFilter: ['blocks.*.attn.hook_z', 'logits'], posSlice: -1 },
  );
  result.prefillTokens = inputIds.length;
  result.prefillSeconds = Number(((performance.now() - before) / 1000).toFixed(1));
  const found = [...cache].map(([name, { data, shape }]) => tensorOf(name, shape, data));
  const given = [
    tensorOf('input_ids', [1, inputIds.length], inputIds),
    tensorOf('pixel_values', [1, 3, side, side], pixels),
  ];
  writeFileSync(options.prefill, writeSafetensors([...given, ...found]));
}
if (options.json) console.log(JSON.stringify(result));
else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(20)} ${value}`);
weights.destroy();
gpu.dispose();
process.exitCode = result.holds ? 0 : 1;
