// For a researcher: how spread out each head's attention is, from a kernel that returns it beside hook_z. No pattern reaches
// memory: for 640 positions of LLaVA-1.5-7B the patterns would take 1.6 GiB, the entropies 2.5 MiB.
// Run: npx tsx -C headlight-source docs/examples/entropy-per-head.ts
import { readFile } from 'node:fs/promises';
import { openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import kernels from './kernels/entropy.ts';

const gpu = await openGpu();
const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const folder = 'weights/tiny-llava/tasks';
const row = JSON.parse((await readFile(`${folder}/novel-words.test.jsonl`, 'utf8')).split('\n')[0]);
const images = [new Uint8Array(await readFile(`${folder}/${row.image}`))];
const input = await model.input({ images, prompt: 'What is in the image?' });

// The last token's entropies: a row for each layer, a column for each head; at most log(positions).
const last = await model
  .with({ kernels })
  .runWithCache(input, { namesFilter: 'blocks.*.attn.hook_entropy', posSlice: -1 });
for (const [name, { data, shape }] of last)
  console.log(`${name} [${shape}] ${[...data].map((nats) => nats.toFixed(2)).join(' ')}`);

// The same from the patterns, of every position and of the tower, whose queries see every patch.
let largest = 0;
const namesFilter = ['*.hook_entropy', '*.hook_pattern'];
const all = await model.with({ kernels }).runWithCache(input, { namesFilter });
for (const [name, { data, shape }] of all) {
  if (!name.endsWith('hook_pattern')) continue;
  const entropies = all.get(name.replace('pattern', 'entropy'))!.data;
  const [heads, queries, keys] = shape.slice(-3);
  for (let r = 0; r < data.length / keys; r++) {
    const [sequence, head, query] = [Math.floor(r / (heads * queries)), Math.floor(r / queries) % heads, r % queries];
    let nats = 0;
    for (const p of data.subarray(r * keys, (r + 1) * keys)) if (p > 0) nats -= p * Math.log(p);
    largest = Math.max(largest, Math.abs(nats - entropies[(sequence * queries + query) * heads + head]));
  }
}
console.log(`largest difference from the patterns' entropy ${largest.toExponential(1)}`);
model.destroy();
gpu.dispose();
