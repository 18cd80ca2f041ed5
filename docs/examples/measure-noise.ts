// How far numbers that should be equal are apart: what to compare a finding with (docs/recipes/gotchas.md).
// Run: npx tsx -C headlight-source docs/examples/measure-noise.ts
import { type Edit, openFolder, openGpu, type RunOptions, VisionLanguageModel } from 'headlight-vlm';
import { askColor, firstPatch } from './lib/answers.ts';
import { seeded, someThings } from './lib/scenes.ts';

const gpu = await openGpu();
const vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const random = seeded(4);
const [one, two] = [0, 1].map(() => {
  const things = someThings(random, 3);
  return askColor(vlm, { things }, things[0]).input;
});
const last = { namesFilter: 'logits', posSlice: -1 } as const;
const logits = async (options: Partial<RunOptions> = {}, edits: Edit[] = []) =>
  (await vlm.with({ edits }).runWithCache(one, { ...last, ...options })).get('logits')!.data;
const plain = await logits();

/** Largest difference over the largest value. */
function report(what: string, a: Float32Array, b: Float32Array) {
  const largest = Math.max(...b.map(Math.abs));
  const error = Math.max(...a.map((x, i) => Math.abs(x - b[i]))) / largest;
  console.log(`${what.padEnd(52)} ${error === 0 ? 'bit for bit' : error.toExponential(1)}`);
}

report('the same run again', await logits(), plain);
report(
  'all outputs of heads and blocks read',
  await logits({ namesFilter: ['*.hook_z', '*hook_resid_p*', 'logits'] }),
  plain,
);
report(
  'scores and patterns read',
  await logits({ namesFilter: ['*.hook_attn_scores', '*.hook_pattern', 'logits'] }),
  plain,
);
report('hook_z times 1', await logits({}, [{ at: 'blocks.*.attn.hook_z', scale: 1 }]), plain);
report('hook_attn_scores times 1', await logits({}, [{ at: 'blocks.*.attn.hook_attn_scores', scale: 1 }]), plain);
report('hook_pattern times 1', await logits({}, [{ at: 'blocks.*.attn.hook_pattern', scale: 1 }]), plain);

report('hook_result times 1', await logits({}, [{ at: 'blocks.*.attn.hook_result', scale: 1 }]), plain);
report('hook_scale times 1', await logits({}, [{ at: 'blocks.*.hook_scale', scale: 1 }]), plain);

// Read a residual stream and put it back: nothing is lost on the way to the host.
const name = 'blocks.3.hook_resid_pre';
const back: Edit = { at: name, set: (await vlm.runWithCache(one, { namesFilter: name })).get(name)!.data };
report('hook_resid_pre read and set again', await logits({}, [back]), plain);

const [[alone], [first]] = [await vlm.headVectorsAtEnd([one]), await vlm.headVectorsAtEnd([one, two])];
report('two prompts in a batch, or alone: hook_z', first, alone);
const cut: Edit[] = [{ at: 'blocks.2.attn.hook_z', heads: [0], positions: -1, set: 0 }];
const [, varied] = await vlm.runVariations(one, [[], cut], last);
report('runVariations, or runWithCache', varied.get('logits')!.data, await logits({}, cut));
const everywhere = (await vlm.runWithCache(one, { namesFilter: 'logits' })).get('logits')!.data;
report('posSlice -1, or all positions and then the last', plain, everywhere.subarray(-plain.length));
const deepest = 'blocks.5.attn.hook_z';
const [narrow, all] = [
  await vlm.runWithCache(one, { namesFilter: deepest, posSlice: -1 }),
  await vlm.runWithCache(one, { namesFilter: deepest }),
];
report('a last block of one position, or of all: hook_z', narrow.get(deepest)!.data, all.get(deepest)!.at(-1).data);
report('an edit that matters: head 2.0 cut', await logits({}, cut), plain);

// Positions count tokens after expansion: 36 for this picture.
const start = firstPatch(vlm, one);
const text = Array.from(one.inputIds, (id, p) =>
  p >= start && p < start + 36 ? '' : `${p}:${vlm.processor.tokenizer.decode([id])}`,
);
console.log(JSON.stringify(text.filter(Boolean).join(' ')), `patches ${start} to ${start + 35}`);

// Edits of one hook point apply in the order of the list.
const z = 'blocks.0.attn.hook_z';
const value = async (edits: Edit[]) =>
  (await vlm.with({ edits }).runWithCache(one, { namesFilter: z, posSlice: -1 })).get(z)!.data[0].toFixed(2);
const [set, add]: Edit[] = [
  { at: z, set: 1 },
  { at: z, add: 2 },
];
console.log(`set 1, add 2: ${await value([set, add])}; add 2, set 1: ${await value([add, set])}`);
await logits({}, [{ at: 'blocks.0.hook_z', set: 0 }]).catch((e: Error) => console.log(e.message));
vlm.destroy();
gpu.dispose();
