// For a researcher: any activation by its TransformerLens name, here one head's attention over the image patches.
// Run: npx tsx -C development docs/examples/read-a-head.ts
import { readFile } from 'node:fs/promises';
import { openFolder, openGpu, VisionLanguageModel } from '../../src/index.ts';

const gpu = await openGpu();
const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const folder = 'weights/tiny-llava/tasks';
const row = JSON.parse((await readFile(`${folder}/novel-words.test.jsonl`, 'utf8')).split('\n')[0]);
const images = [new Uint8Array(await readFile(`${folder}/${row.image}`))];
const input = await model.input({ images, prompt: 'What is in the image?' });

// Asking for a name selects the kernel that yields it; what nobody asks for is never computed or copied.
const cache = await model.runWithCache(input, {
  namesFilter: ['blocks.*.attn.hook_z', 'blocks.2.attn.hook_pattern'],
  posSlice: -1,
});
for (const [name, { shape }] of cache) console.log(name, shape);

// The last token's attention of head 2.0 to the 6 x 6 patches: image tokens stand together in the sequence.
const { data, shape } = cache.get('blocks.2.attn.hook_pattern')!; // [nHeads, 1, keys]
const first = Array.from(input.inputIds).indexOf(model.model.config.vision!.imageTokenId);
const head = 0;
for (let y = 0; y < 6; y++) {
  const cells = Array.from({ length: 6 }, (_, x) => data[head * shape[2] + first + y * 6 + x]);
  console.log(cells.map((p) => (100 * p).toFixed(0).padStart(3)).join(' '));
}
model.destroy();
gpu.dispose();
