// For a researcher: any activation by its TransformerLens name, and what two heads look at (docs/recipes/read-a-head.md).
// Run: npx tsx -C headlight-source docs/examples/read-a-head.ts
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { openFolder, openGpu, VisionLanguageModel, writeSafetensors } from 'headlight-vlm';
import { ask, askColor, askShape, firstPatch, mean, wordId } from './lib/answers.ts';
import { patchesOf, seeded, someThings } from './lib/scenes.ts';

const gpu = await openGpu();
const vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const things = someThings(seeded(1), 3);
const input = ask(vlm, { things }, `What color is the ${things[0].shape}?`);

// Names: one, a glob, a list of both, or a predicate. Positions: one, or [start, end); negative ones count from the end.
const cache = await vlm.runWithCache(input, {
  namesFilter: ['blocks.*.attn.hook_z', 'blocks.1.attn.hook_pattern', 'projector.hook_out'],
  posSlice: -1,
});
for (const [name, { shape }] of cache) console.log(`${name} [${shape}]`);
const early = (name: string) => /^blocks\.[01]\..*resid/.test(name);
const stream = await vlm.runWithCache(input, { namesFilter: early, posSlice: [-3], stopAtLayer: 2 });
for (const [name, { shape }] of stream) console.log(`${name} [${shape}]`);

// The price, before the run: exact, and without touching the GPU's memory.
for (const namesFilter of ['blocks.0.attn.hook_z', 'blocks.*.attn.hook_pattern', '*'])
  for (const posSlice of [undefined, -1]) {
    const { resultBytes, arenaBytes, dispatches } = vlm.price(input, { namesFilter, posSlice });
    const where = posSlice === undefined ? 'everywhere' : 'at the last position';
    console.log(
      `${namesFilter} ${where}: ${resultBytes} bytes of results, ${arenaBytes} to work in, ${dispatches} kernels`,
    );
  }

// Left on the GPU: tensors for kernels of your own, here the length of each head's output. They live until you destroy them.
const kept = await vlm.runOnGpu(input, { namesFilter: 'blocks.3.attn.hook_z' });
const z = kept.tensors.get('blocks.3.attn.hook_z')!; // [pos, nHeads, dHead]
const [rows, heads, size] = z.shape;
const rec = gpu.record('lengths of heads');
const lengths = rec.temp('lengths', 'f32', [rows, heads]);
rec.dispatch({
  kernel: 'lengths',
  label: 'blocks.3.attn.z lengths',
  code: /* wgsl */ `
@group(0) @binding(0) var<storage, read> z: array<f32>;
@group(0) @binding(1) var<storage, read_write> lengths: array<f32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= ${rows * heads}u) { return; }
  var sum = 0.0;
  for (var d = 0u; d < ${size}u; d++) { let x = z[id.x * ${size}u + d]; sum += x * x; }
  lengths[id.x] = sqrt(sum);
}`,
  bindings: [
    { tensor: z, access: 'read' },
    { tensor: lengths, access: 'read_write' },
  ],
  workgroups: [Math.ceil((rows * heads) / 64)],
  cost: { flops: 2 * rows * heads * size, bytes: 4 * rows * heads * (size + 1) },
});
const found = rec.read(lengths);
await rec.submit();
const ofLast = Array.from(found.f32.subarray(-heads), (length) => length.toFixed(2));
console.log(`lengths of block 3's heads at the last position: ${ofLast.join(' ')}`);
kept.destroy();

// While it writes: the prompt's activations first, then one position for each token.
const steps: string[] = [];
let text = '';
for await (const piece of vlm.generate(ask(vlm, { things }, 'Describe the image.'), {
  maxNewTokens: 6,
  namesFilter: 'blocks.1.attn.hook_pattern',
  posSlice: -1,
  onActivations: (found, position) => steps.push(`${position}: [${found.get('blocks.1.attn.hook_pattern')!.shape}]`),
}))
  text += piece;
console.log(`${text.trim()} | ${steps.join(' ')}`);

// For Python: safetensors.numpy.load_file(path)['blocks.0.attn.hook_z']. (`headlight capture` does this from the shell.)
const tensors = [...cache].map(([name, { data, shape }]) => ({
  name,
  shape,
  dtype: 'F32' as const,
  data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
}));
await writeFile(`${tmpdir()}/read-a-head.safetensors`, writeSafetensors(tensors, { modelId: vlm.modelId }));

// A finding: how much of the last token's attention lies on the word of the question that says which thing is meant, on the
// four patches of that thing, and on those of another one?
const lookers = [
  [0, 7],
  [0, 4],
  [1, 5],
  [1, 6],
];
const random = seeded(2);
const share = new Map<string, number[]>();
for (let i = 0; i < 8; i++) {
  const scene = { things: someThings(random, 3) };
  const [asked, other] = scene.things;
  for (const [kind, { input }, word] of [
    ['colour', askColor(vlm, scene, asked), wordId(vlm, asked.shape)],
    ['shape', askShape(vlm, scene, asked), wordId(vlm, asked.color)],
  ] as const) {
    const patterns = await vlm.runWithCache(input, { namesFilter: 'blocks.*.attn.hook_pattern', posSlice: -1 });
    const start = firstPatch(vlm, input);
    const places = {
      'the word': [Array.from(input.inputIds).indexOf(word)],
      'its patches': patchesOf(asked).map((patch) => start + patch),
      "another's patches": patchesOf(other).map((patch) => start + patch),
    };
    for (const [layer, head] of lookers)
      for (const [what, keys] of Object.entries(places)) {
        const { data, shape } = patterns.get(`blocks.${layer}.attn.hook_pattern`)!; // [nHeads, 1, keys]
        const onIt = keys.reduce((sum, key) => sum + data[head * shape[2] + key], 0);
        const name = `${kind} asked, ${layer}.${head}, ${what}`;
        share.set(name, [...(share.get(name) ?? []), onIt]);
      }
  }
}
for (const [name, values] of share) console.log(`${name}: ${(100 * mean(values)).toFixed(0)} %`);
vlm.destroy();
gpu.dispose();
