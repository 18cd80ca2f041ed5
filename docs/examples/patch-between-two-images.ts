// Two pictures that differ in the colour of one shape: where in the model does the answer change hands?
// (docs/recipes/patch-between-two-images.md)
// Run: npx tsx -C headlight-source docs/examples/patch-between-two-images.ts [pairs]
import { type ActivationCache, type Edit, openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { ask, firstPatch, likeliest, mean, wordId } from './lib/answers.ts';
import { colorNames, patchesOf, sample, seeded, someThings } from './lib/scenes.ts';

const pairs = Number(process.argv[2] ?? 3);
const gpu = await openGpu();
const vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const { nLayers, nHeads, dModel, dHead } = vlm.config.text;
const layers = Array.from({ length: nLayers }, (_, l) => l);
const residual = (l: number) => `blocks.${l}.hook_resid_pre`;
const last = { namesFilter: 'logits', posSlice: -1 } as const;

/** A run's activations at some positions, to be put into the other's. */
function patch(from: ActivationCache, layer: number, at: readonly number[]): Edit {
  const { data } = from.get(residual(layer))!;
  const set = Float32Array.from(at.flatMap((p) => Array.from(data.subarray(p * dModel, (p + 1) * dModel))));
  return { at: residual(layer), positions: { at }, set };
}

const random = seeded(3);
const parts = ['its 4 patches', 'the other 32', 'the question', 'the last token'];
const moved = layers.map(() => parts.map(() => [] as number[])); // [layer][part][pair]
const flips = layers.map(() => parts.map(() => 0));
const headMoved = layers.map(() => Array.from({ length: nHeads }, () => [] as number[]));
const map: number[] = [];
let identical = true;

for (let pair = 0; pair < pairs; pair++) {
  const [thing, neighbour] = someThings(random, 2);
  const [color] = sample(
    random,
    colorNames.filter((c) => c !== thing.color && c !== neighbour.color),
    1,
  );
  const question = `What color is the ${thing.shape}?`;
  const input = ask(vlm, { things: [thing, neighbour] }, question);
  const other = ask(vlm, { things: [{ ...thing, color }, neighbour] }, question);
  const [own, wanted] = [wordId(vlm, thing.color), wordId(vlm, color)];
  const lead = (cache: ActivationCache) => {
    const { data } = cache.get('logits')!;
    const row = data.subarray(-vlm.config.text.vocabSize); // the last position's
    return row[wanted] - row[own];
  };

  // The other run whole, and this one's answer: 0 is this run's lead of the other colour's logit, 1 the other run's.
  const theirs = await vlm.runWithCache(other, {
    namesFilter: ['blocks.*.hook_resid_pre', 'blocks.*.attn.hook_z', 'logits'],
  });
  const zero = lead(await vlm.runWithCache(input, last));
  const share = (cache: ActivationCache) => (lead(cache) - zero) / (lead(theirs) - zero);

  const length = input.inputIds.length;
  const first = firstPatch(vlm, input);
  const picture = Array.from({ length: 36 }, (_, i) => first + i);
  const its = patchesOf(thing).map((i) => first + i);
  const positions = [
    its,
    picture.filter((p) => !its.includes(p)),
    Array.from({ length: length - 1 - first - 36 }, (_, i) => first + 36 + i),
    [length - 1],
  ];
  for (const [i, at] of positions.entries()) {
    const variations = layers.map((l) => [patch(theirs, l, at)]);
    for (const [l, cache] of (await vlm.runVariations(input, variations, last)).entries()) {
      moved[l][i].push(share(cache));
      if (likeliest(cache.get('logits')!) === wanted) flips[l][i]++;
    }
  }

  // Each head's output at the last token.
  const variations = layers.flatMap((l) =>
    Array.from({ length: nHeads }, (_, h): Edit[] => {
      const at = ((length - 1) * nHeads + h) * dHead;
      const set = theirs.get(`blocks.${l}.attn.hook_z`)!.data.slice(at, at + dHead);
      return [{ at: `blocks.${l}.attn.hook_z`, heads: [h], positions: -1, set }];
    }),
  );
  for (const [i, cache] of (await vlm.runVariations(input, variations, last)).entries())
    headMoved[Math.floor(i / nHeads)][i % nHeads].push(share(cache));

  // Everything patched is the other run, bit for bit; and, for one pair, what each patch alone moves.
  const everything = Array.from({ length }, (_, p) => p);
  const whole = await vlm
    .with({ edits: [patch(theirs, 1, everything)] })
    .runWithCache(input, { namesFilter: 'logits' });
  const [a, b] = [whole, theirs].map((cache) => cache.get('logits')!.data);
  identical &&= a.every((x, i) => x === b[i]);
  if (pair === 0) {
    const each = await vlm.runVariations(
      input,
      picture.map((p) => [patch(theirs, 1, [p])]),
      last,
    );
    map.push(...each.map(share));
    console.log(`pair 1: ${thing.color} or ${color} ${thing.shape} in cell ${thing.cell}, ${length} positions`);
  }
}

console.log(`everything patched: the other run, ${identical ? 'bit for bit' : 'NOT bit for bit'}`);
console.log(`residual stream before block, share of the way to the other answer, and answers flipped, of ${pairs}`);
console.log(`block  ${parts.map((p) => p.padEnd(17)).join('')}`);
for (const l of layers)
  console.log(
    `  ${l}    ${parts.map((_, i) => `${mean(moved[l][i]).toFixed(2).padStart(5)} ${flips[l][i]}`.padEnd(17)).join('')}`,
  );
console.log('each patch of pair 1 alone, before block 1');
for (let y = 0; y < 6; y++)
  console.log(
    map
      .slice(y * 6, y * 6 + 6)
      .map((x) => x.toFixed(2).padStart(6))
      .join(''),
  );
console.log('each head alone, at the last token');
for (const l of layers) console.log(`${l} ${headMoved[l].map((x) => mean(x).toFixed(2).padStart(6)).join('')}`);
vlm.destroy();
gpu.dispose();
