// For a researcher: attention to the last 8 positions alone, in some layers, from WGSL source of one's own.
// Run: npx tsx -C headlight-source docs/examples/sliding-window.ts
import { checkKernels, Model, openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { relativeDifference } from './kernels/compare.ts';
import { slidingWindow } from './kernels/sliding-window.ts';

const gpu = await openGpu();
const model = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const input = await model.input({ prompt: 'Name what you see, its colour, its shape and where it stands.' });
const kernels = slidingWindow(8);

const { passed, rows } = await checkKernels(gpu, kernels);
console.log(`${rows.length} problems against float64: ${passed ? 'all pass' : 'wrong'}`);

// The same by the config that Mistral and Qwen2 have, as this library's own kernel does it.
const namesFilter = 'blocks.*.attn.hook_z';
const { config, weights } = model;
const windows = config.text.windows.map(() => 8);
const builtIn = new Model({ gpu, config: { ...config, text: { ...config.text, windows } }, weights });
const ours = await builtIn.runWithCache(input, { namesFilter });
const mine = await model.with({ kernels }).runWithCache(input, { namesFilter });
console.log(`relative difference from the built-in window ${relativeDifference(mine, ours).toExponential(1)}`);

const full = await model.runWithCache(input, { namesFilter });
console.log(`relative difference from full attention ${relativeDifference(mine, full).toExponential(1)}`);

// In the last two layers alone: what comes before them stays as it was.
const last = await model
  .with({ kernels: slidingWindow(8, ['blocks.4.*', 'blocks.5.*']) })
  .runWithCache(input, { namesFilter });
for (const [name, { data }] of last) {
  const changed = data.some((value, i) => value !== full.get(name)!.data[i]);
  console.log(`${name} ${changed ? 'changed' : 'as before'}`);
}
model.destroy();
gpu.dispose();
