// LLaVA-OneVision-7B's geometry with made-up weights, one prompt with a picture of 640x480:
//
//     npx tsx -C headlight-source bench/onevision-7b.ts [--layers 2] [--tower-layers 2] [--weights bf16] [--whole] [--json]
//
// Shown: that no dispatch binds more than the adapter can (128 MiB where it must), how many submissions the run takes and how long
// the longest was. --whole asks for hook_post, which keeps the MLP whole: it is refused where a binding holds 128 MiB. `values` are
// the first of the logits: with and without --whole they are to be equal up to rounding.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { allocate } from '../src/checkpoint/allocate.ts';
import { matrixShape } from '../src/gpu/formats/format.ts';
import { type FormatName, formats } from '../src/gpu/formats/index.ts';
import { openGpu } from '../src/gpu/gpu.ts';
import { byteSize, elementCount, type Tensor } from '../src/gpu/tensor.ts';
import { pseudoRandom } from '../src/kernels/pseudo-random.ts';
import { parseConfig } from '../src/model/families/index.ts';
import { weightSpecs } from '../src/model/load-model.ts';
import { Model } from '../src/model/model.ts';
import { modelWeights } from '../src/model/run/forward.ts';

const { values: options } = parseArgs({
  options: {
    layers: { type: 'string', default: '2' },
    'tower-layers': { type: 'string', default: '2' },
    weights: { type: 'string', default: 'bf16' },
    whole: { type: 'boolean' },
    json: { type: 'boolean' },
  },
});
const file = 'test/fixtures/geometries/llava-hf--llava-onevision-qwen2-7b-ov-hf.json';
const json = JSON.parse(readFileSync(file, 'utf8'));
json.text_config.num_hidden_layers = Number(options.layers);
json.vision_config.num_hidden_layers = Number(options['tower-layers']);
const config = parseConfig(json, file);
const format = formats[options.weights as FormatName];
const gpu = await openGpu();
const { maxStorageBufferBindingSize: limit, description, software } = gpu.capabilities;

/** A piece of any matrix: rows of made-up numbers, packed once, and written again and again. */
const columns = 4096;
const piece = format.pack(
  Float32Array.from(pseudoRandom(512 * columns, 1), (x) => 0.03 * x),
  [512, columns],
);
function fill(tensor: Tensor, data: Uint8Array<ArrayBuffer>): void {
  const { storage, offset } = tensor;
  const bytes = byteSize(tensor.dtype, tensor.shape);
  for (let at = 0; at < bytes; at += data.length)
    gpu.device.queue.writeBuffer(storage.buffer!, offset + at, data.subarray(0, Math.min(data.length, bytes - at)));
}
const specs = weightSpecs(config);
const weights = allocate(specs, {
  formatOf: ({ shape }) => (format.obstacle(matrixShape(shape)[1]) ? formats.bf16 : format),
  limit,
  make: (...tensor) => gpu.tensor(...tensor),
});
for (const spec of specs) {
  const { name, shape, role } = spec;
  if (role === 'vector') {
    const value = /norm\d?\.weight$/.test(name) ? 1 : 0.01;
    fill(weights.vector(name, shape, spec), new Uint8Array(new Float32Array(1024).fill(value).buffer));
  } else
    for (const part of weights.matrix(name, shape, spec).parts)
      for (const [i, buffer] of part.buffers.entries())
        fill(buffer, part.format === format ? piece[i] : new Uint8Array(2 ** 20));
}
const model = new Model({ gpu, config, weights: modelWeights(config, weights) });

const { shape, size, kind } = config.vision!.imageShape({ width: 640, height: 480 }, { json: {}, file });
const pixels = Float32Array.from(pseudoRandom(elementCount(shape), 2));
const visual = { kind, shape, size, pixels };
const tokens = config.vision!.tokens(visual);
const text = Array.from({ length: 20 }, (_, i) => 1000 + i);
const input = {
  inputIds: [...text, ...new Array(tokens).fill(config.vision!.imageTokenId), ...text],
  visuals: [visual],
};
const wanted = { namesFilter: options.whole ? ['logits', 'blocks.*.mlp.hook_post'] : ['logits'], posSlice: -1 };

const dispatches = model.dispatches(input, wanted);
const bound = dispatches.flatMap(({ bindings }) => bindings.map(({ tensor: t }) => byteSize(t.dtype, t.shape)));
const work = dispatches.reduce((sum, { cost }) => sum + cost.flops, 0);
await gpu.device.queue.onSubmittedWorkDone();
let submissions = 1;
let [since, longest] = [performance.now(), 0];
const started = since;
const watched = model.with({
  onProgress(done, total) {
    submissions++;
    longest = Math.max(longest, performance.now() - since);
    since = performance.now();
    if (!options.json) console.error(`${((100 * done) / total).toFixed(1)} %`);
  },
});
const logits = (await watched.runWithCache(input, wanted)).get('logits')!.data;
const result = {
  adapter: description,
  software,
  bindingMiB: limit / 2 ** 20,
  tokens: input.inputIds.length,
  largestBoundMiB: Math.max(...bound) / 2 ** 20,
  teraflop: work / 1e12,
  seconds: (performance.now() - started) / 1000,
  submissions,
  longestMs: Math.max(longest, performance.now() - since),
  finite: logits.every(Number.isFinite),
  values: Array.from(logits.slice(0, 4)),
};
console.log(options.json ? JSON.stringify(result) : result);
gpu.dispose();
