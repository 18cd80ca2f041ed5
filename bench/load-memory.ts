// Peak host memory while a 2 GB checkpoint is loaded: npx tsx -C headlight-source bench/load-memory.ts [--json]
//
// The checkpoint is synthetic: five shards of f16 tensors, the largest 192 MiB, as sparse files in a temporary folder
// (their bytes are zeros, which cost as much to load as any others).
//
// What is measured: the resident set of this process (RSS), every 5 ms and at every chunk, less the RSS of the idle process
// (Dawn running, device open, nothing loaded). On a software adapter the GPU's buffers are memory of this process too, so
// there the bytes that have been written to them are subtracted. What is left is `peakMiB`: chunks read and not yet
// collected, Dawn's staging buffers, headers, growth of the JavaScript heap, and also the part of the buffer being filled
// that Dawn has zeroed ahead of our writes (it clears a buffer whole when the first write covers a part of it). So it is an
// upper bound of what is ours. `beyondBuffersMiB` takes the whole of that buffer off, a lower bound.
// Requirement: at most the largest tensor + 64 MiB.
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openFolder } from '#platform';
import { openCheckpoint } from '../src/checkpoint/checkpoint-files.ts';
import { loadTensors, type TensorSpec } from '../src/checkpoint/load.ts';
import { modelId } from '../src/checkpoint/model-id.ts';
import { byteLength } from '../src/checkpoint/safetensors-dtypes.ts';
import { safetensorsHeader } from '../src/checkpoint/safetensors-writer.ts';
import { openGpu } from '../src/gpu/gpu.ts';

const MiB = 2 ** 20;
const dModel = 3072;
const shards = 5;
const specs: TensorSpec[] = [
  { name: 'language_model.embed_tokens.weight', shape: [32768, dModel], role: 'matrix' },
  ...Array.from({ length: 7 }, (_, l) => layer(l)).flat(),
  { name: 'language_model.norm.weight', shape: [dModel], role: 'vector' },
];

function layer(l: number): TensorSpec[] {
  const matrix = (name: string, rows: number, columns: number): TensorSpec => ({
    name: `language_model.layers.${l}.${name}.weight`,
    shape: [rows, columns],
    role: 'matrix',
  });
  return [
    { name: `language_model.layers.${l}.input_layernorm.weight`, shape: [dModel], role: 'vector' },
    ...['q', 'k', 'v', 'o'].map((p) => matrix(`self_attn.${p}_proj`, dModel, dModel)),
    { name: `language_model.layers.${l}.post_attention_layernorm.weight`, shape: [dModel], role: 'vector' },
    matrix('mlp.gate_proj', 11264, dModel),
    matrix('mlp.up_proj', 11264, dModel),
    matrix('mlp.down_proj', dModel, 11264),
  ];
}

function writeSparseCheckpoint(folder: string): void {
  const weightMap: Record<string, string> = {};
  const perShard = Math.ceil(specs.length / shards);
  for (let s = 0; s < shards; s++) {
    const file = `model-${String(s + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
    const tensors = specs
      .slice(s * perShard, (s + 1) * perShard)
      .map(({ name, shape }) => ({ name, shape, dtype: 'F16' as const }));
    for (const { name } of tensors) weightMap[name] = file;
    const header = safetensorsHeader(tensors, { format: 'pt' });
    const size = tensors.reduce((sum, { dtype, shape }) => sum + byteLength(dtype, shape)!, header.length);
    const descriptor = openSync(join(folder, file), 'w');
    writeSync(descriptor, header);
    ftruncateSync(descriptor, size);
    closeSync(descriptor);
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}

const path = mkdtempSync(join(tmpdir(), 'headlight-load-'));
try {
  writeSparseCheckpoint(path);
  const gpu = await openGpu();
  const { software, description } = gpu.capabilities;
  const folder = await openFolder(path);
  const idle = process.memoryUsage.rss();

  const checkpoint = await openCheckpoint(folder);
  const sizes = [...checkpoint.tensors.values()].map((t) => t.end - t.start);
  const largest = Math.max(...sizes);
  // Bytes loaded when each tensor is finished, in the order of loading.
  const ends: number[] = [];
  for (const tensor of [...checkpoint.tensors.values()].sort((a, b) =>
    a.file < b.file ? -1 : a.file > b.file ? 1 : a.start - b.start,
  ))
    ends.push((ends.at(-1) ?? 0) + tensor.end - tensor.start);

  let onGpu = 0;
  let peak = 0;
  let beyondBuffers = 0;
  const sample = () => {
    const grown = process.memoryUsage.rss() - idle;
    peak = Math.max(peak, grown - (software ? onGpu : 0));
    const buffers = ends.find((end) => end > onGpu) ?? onGpu;
    beyondBuffers = Math.max(beyondBuffers, grown - (software ? buffers : 0));
  };
  const timer = setInterval(sample, 5);
  const started = performance.now();
  const weights = await loadTensors(gpu, checkpoint, specs, {
    visionLayers: 0,
    onProgress: ({ loaded }) => {
      sample();
      onGpu = loaded;
    },
  });
  sample();
  clearInterval(timer);
  const seconds = (performance.now() - started) / 1000;
  const hashStarted = performance.now();
  await modelId({}, checkpoint);
  const hashSeconds = (performance.now() - hashStarted) / 1000;

  const limit = largest + 64 * MiB;
  const result = {
    adapter: description,
    software,
    checkpointMiB: Math.round(checkpoint.bytes / MiB),
    gpuMiB: Math.round(weights.bytes / MiB),
    largestTensorMiB: Math.round(largest / MiB),
    idleMiB: Math.round(idle / MiB),
    peakMiB: Math.round(peak / MiB),
    beyondBuffersMiB: Math.round(beyondBuffers / MiB),
    limitMiB: Math.round(limit / MiB),
    holds: peak <= limit,
    loadSeconds: Number(seconds.toFixed(2)),
    modelIdSeconds: Number(hashSeconds.toFixed(2)),
  };
  if (process.argv.includes('--json')) console.log(JSON.stringify(result));
  else for (const [name, value] of Object.entries(result)) console.log(`${name.padEnd(20)} ${value}`);
  weights.destroy();
  gpu.dispose();
  process.exitCode = result.holds ? 0 : 1;
} finally {
  rmSync(path, { recursive: true });
}
