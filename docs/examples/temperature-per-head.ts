// For a researcher: another softmax, here with a temperature for each head, without a new compilation when they change.
// Run: npx tsx -C headlight-source docs/examples/temperature-per-head.ts
import { readFile } from 'node:fs/promises';
import { checkKernels, openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { relativeDifference } from './kernels/compare.ts';
import { temperatureSoftmax } from './kernels/temperature-softmax.ts';

const gpu = await openGpu();
const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const folder = 'weights/tiny-llava/tasks';
const row = JSON.parse((await readFile(`${folder}/novel-words.test.jsonl`, 'utf8')).split('\n')[0]);
const images = [new Uint8Array(await readFile(`${folder}/${row.image}`))];
const input = await model.input({ images, prompt: 'What is in the image?' });

const { passed, rows } = await checkKernels(
  gpu,
  temperatureSoftmax((head) => 0.5 + 0.25 * head),
);
console.log(`${rows.length} problems against float64: ${passed ? 'all pass' : 'wrong'}`);

const namesFilter = 'blocks.*.attn.hook_z';
const ours = await model.runWithCache(input, { namesFilter });
const ones = await model.with({ kernels: temperatureSoftmax(() => 1) }).runWithCache(input, { namesFilter });
console.log(`relative difference at temperature 1 ${relativeDifference(ones, ours).toExponential(1)}`);
const hot = await model.with({ kernels: temperatureSoftmax(() => 2) }).runWithCache(input, { namesFilter });
console.log(`relative difference at temperature 2 ${relativeDifference(hot, ours).toExponential(1)}`);

// One hot head in layer 5: the other heads of that layer stay as they were.
const one = await model
  .with({ kernels: temperatureSoftmax((head) => (head === 3 ? 4 : 1), 'blocks.5.*') })
  .runWithCache(input, { namesFilter: 'blocks.5.attn.hook_z', posSlice: -1 });
const before = ours.get('blocks.5.attn.hook_z')!;
const [{ data, shape }] = one.values();
for (let head = 0; head < shape[1]; head++) {
  const at = head * shape[2];
  const from = before.data.length - data.length + at; // the last position
  let change = 0;
  for (let d = 0; d < shape[2]; d++) change = Math.max(change, Math.abs(data[at + d] - before.data[from + d]));
  console.log(`head 5.${head} ${change > 1e-5 ? 'changed' : 'as before'}`);
}

let text = '';
for await (const piece of model.with({ kernels: temperatureSoftmax(() => 4) }).generate(input, { maxNewTokens: 12 }))
  text += piece;
console.log(`at temperature 4 of every head: ${JSON.stringify(text)}`);
model.destroy();
gpu.dispose();
