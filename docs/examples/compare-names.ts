// What names mean here, checked by arithmetic on one run (docs/recipes/compare-with-transformerlens.md).
// Run: npx tsx -C headlight-source docs/examples/compare-names.ts
import { openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { askColor } from './lib/answers.ts';
import { seeded, someThings } from './lib/scenes.ts';

const gpu = await openGpu();
const vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const things = someThings(seeded(1), 3);
const { input } = askColor(vlm, { things }, things[0]);
const cache = await vlm.runWithCache(input, { namesFilter: ['blocks.2.*', 'vision.blocks.0.*', 'logits'] });
const read = (name: string) => cache.get(`blocks.2.${name}`)!;
const { nHeads, dHead, dModel } = vlm.config.text;

function same(what: string, a: ArrayLike<number>, b: ArrayLike<number>) {
  let [error, largest] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    error = Math.max(error, Math.abs(a[i] - b[i]));
    largest = Math.max(largest, Math.abs(b[i]));
  }
  const verdict = a.length === b.length && error < 1e-5 * largest ? 'equal' : 'NOT equal';
  console.log(`${what}: ${verdict} (${(error / largest).toExponential(0)})`);
}
const plus = (a: Float32Array, b: Float32Array) => a.map((x, i) => x + b[i]);

same(
  'resid_pre + attn_out = resid_mid',
  plus(read('hook_resid_pre').data, read('hook_attn_out').data),
  read('hook_resid_mid').data,
);
same(
  'resid_mid + mlp_out = resid_post',
  plus(read('hook_resid_mid').data, read('hook_mlp_out').data),
  read('hook_resid_post').data,
);
const { data: result, shape } = read('attn.hook_result'); // [pos, nHeads, dModel]
const summed = Float32Array.from({ length: shape[0] * dModel }, (_, i) => {
  let sum = 0;
  for (let h = 0; h < nHeads; h++) sum += result[(Math.floor(i / dModel) * nHeads + h) * dModel + (i % dModel)];
  return sum;
});
same('heads of hook_result summed = attn_out (Llama has no b_O)', summed, read('hook_attn_out').data);
const { data: pattern, shape: square } = read('attn.hook_pattern'); // [nHeads, q, k]
const z = Float32Array.from({ length: square[1] * nHeads * dHead }, (_, i) => {
  const [q, h, d] = [Math.floor(i / (nHeads * dHead)), Math.floor(i / dHead) % nHeads, i % dHead];
  let sum = 0;
  for (let k = 0; k < square[2]; k++)
    sum += pattern[(h * square[1] + q) * square[2] + k] * read('attn.hook_v').data[(k * nHeads + h) * dHead + d];
  return sum;
});
same('pattern times v = z', z, read('attn.hook_z').data);
console.log(`a masked score: ${read('attn.hook_attn_scores').data[1]}, its pattern: ${pattern[1]}`);

// TransformerLens's hook_normalized comes before the norm's weight; here it is what the projections read.
const scale = read('ln1.hook_scale').data;
const divided = read('hook_resid_pre').data.map((x, i) => x / scale[Math.floor(i / dModel)]);
const weight = read('ln1.hook_normalized').data.map((x, i) => x / divided[i]);
same(
  'normalized / (x / scale) is one vector for all positions: the weight',
  weight.slice(0, dModel),
  weight.slice(7 * dModel, 8 * dModel),
);
console.log(`its first values: ${Array.from(weight.slice(0, 3), (x) => x.toFixed(3)).join(' ')}`);
for (const name of [
  'blocks.2.attn.hook_z',
  'blocks.2.attn.hook_pattern',
  'vision.blocks.0.attn.hook_z',
  'vision.blocks.0.attn.hook_pattern',
])
  console.log(`${name} [${cache.get(name)!.shape}]`);
vlm.destroy();
gpu.dispose();
