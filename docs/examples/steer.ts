// A vector added to the residual stream changes the answer; attention cut between picture and text shows where the picture is
// read (docs/recipes/steer.md).
// Run: npx tsx -C headlight-source docs/examples/steer.ts [scenes of each colour]
import { type Edit, openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { askColor, askShape, firstPatch, likeliest, mean, type Query, wordId } from './lib/answers.ts';
import { colorNames, seeded, shapeNames, someThings, type Thing } from './lib/scenes.ts';

const perColor = Number(process.argv[2] ?? 1);
const gpu = await openGpu();
const vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const { nLayers, dModel } = vlm.config.text;
const layers = Array.from({ length: nLayers }, (_, l) => l);
const residual = (l: number) => `blocks.${l}.hook_resid_post`;
const last = { namesFilter: 'logits', posSlice: -1 } as const;

const random = seeded(9);
const scenes = (count: number) =>
  colorNames.map((color) =>
    Array.from({ length: count }, () => {
      const [asked, ...rest] = someThings(random, 3);
      return [{ ...asked, color }, ...rest.filter((thing) => thing.color !== color)];
    }),
  );

// The mean of the last token's residual stream for each colour that is the answer, over scenes of its own.
const means = new Map<string, Float32Array[]>(); // [color][layer], dModel
for (const [c, own] of scenes(4).entries()) {
  const sums = layers.map(() => new Float32Array(dModel));
  for (const things of own) {
    const { input } = askColor(vlm, { things }, things[0]);
    const cache = await vlm.runWithCache(input, { namesFilter: 'blocks.*.hook_resid_post', posSlice: -1 });
    for (const l of layers) for (const [i, x] of cache.get(residual(l))!.data.entries()) sums[l][i] += x / own.length;
  }
  means.set(colorNames[c], sums);
}
const direction = (from: string, to: string, layer: number) =>
  means.get(to)![layer].map((x, i) => x - means.get(from)![layer][i]);
const steer = (layer: number, vector: Float32Array, strength: number): Edit[] => [
  { at: residual(layer), positions: -1, add: vector.map((x) => x * strength) },
];

const test = scenes(perColor).flat();
const turn = (thing: Thing) => colorNames[(colorNames.indexOf(thing.color) + 3) % colorNames.length];
const share = (values: readonly boolean[]) => `${(100 * mean(values.map(Number))).toFixed(0).padStart(3)} %`;

// From each scene's colour to another: how often the answer becomes that one, and a question about the shape stays right.
// All layers and strengths are variations of one prompt, which is read once.
const strengths = [0, 0.5, 1, 2];
const length = (vector: Float32Array) => Math.hypot(...vector);
const noises = layers.map(() => test.map(() => new Float32Array(dModel).map(() => random() - 0.5)));
const turned = layers.map(() => strengths.map((): boolean[] => []));
const kept = layers.map(() => strengths.map((): boolean[] => []));
const byChance = layers.map((): boolean[] => []);
for (const [t, things] of test.entries()) {
  const [asked] = things;
  const target = wordId(vlm, turn(asked));
  const variations = layers.flatMap((l) => {
    const [vector, noise] = [direction(asked.color, turn(asked), l), noises[l][t]];
    return [...strengths.map((s) => steer(l, vector, s)), steer(l, noise, length(vector) / length(noise))];
  });
  const says = async ({ input }: Query) =>
    (await vlm.runVariations(input, variations, last)).map((cache) => likeliest(cache.get('logits')!));
  const [color, shape] = [askColor(vlm, { things }, asked), askShape(vlm, { things }, asked)];
  const [ofColor, ofShape] = [await says(color), await says(shape)];
  for (const l of layers) {
    const first = l * (strengths.length + 1);
    for (const i of strengths.keys()) {
      turned[l][i].push(ofColor[first + i] === target);
      kept[l][i].push(ofShape[first + i] === shape.answer);
    }
    byChance[l].push(ofColor[first + strengths.length] !== color.answer);
  }
}
console.log(`after block, strength ${strengths.join(', ')} x the difference of means; a random vector as long`);
for (const l of layers)
  console.log(
    `${l}: becomes the other colour ${turned[l].map(share).join(' ')}; shape still right ${kept[l].map(share).join(' ')}; random changes ${share(byChance[l])}`,
  );

// In the model's own words.
const [things] = test;
const textWith = async (edits: Edit[]) => {
  let text = '';
  const { input } = askColor(vlm, { things }, things[0]);
  for await (const piece of vlm.with({ edits }).generate(input, { maxNewTokens: 4 })) text += piece;
  return text.trim();
};
const vector = direction(things[0].color, turn(things[0]), 3);
console.log(
  `${things[0].color} ${things[0].shape}: "${await textWith([])}", steered: "${await textWith(steer(3, vector, 1))}"`,
);

// Attention cut: scores of text queries to picture keys become what masked ones are.
const masked = -3.4028234663852886e38;
const cutOff = (blocks: readonly number[], positions: Edit['positions'], keys: Edit['keys']): Edit[] =>
  blocks.map((l) => ({ at: `blocks.${l}.attn.hook_attn_scores`, positions, keys, set: masked }));
const cuts: [string, (first: number, length: number) => Edit[]][] = [
  ['nothing cut', () => []],
  ['text to picture, all blocks', (first) => cutOff(layers, [first + 36], [first, first + 36])],
  ['text to picture, block 1', (first) => cutOff([1], [first + 36], [first, first + 36])],
  ['text to picture, all but block 1', (first) => cutOff([0, 2, 3, 4, 5], [first + 36], [first, first + 36])],
  ['last token to picture, block 1', (first) => cutOff([1], -1, [first, first + 36])],
  ['question to picture, all blocks', (first, n) => cutOff(layers, [first + 36, n - 1], [first, first + 36])],
  ['last token to question, block 0', (first, n) => cutOff([0], -1, [first + 36, n - 1])],
  ['last token to question, all but block 0', (first, n) => cutOff([1, 2, 3, 4, 5], -1, [first + 36, n - 1])],
];
const vocabulary = { color: colorNames.map((c) => wordId(vlm, c)), shape: shapeNames.map((s) => wordId(vlm, s)) };
const right = { color: cuts.map((): boolean[] => []), shape: cuts.map((): boolean[] => []) };
const kindKept: boolean[][] = cuts.map(() => []); // a colour is said where a colour is asked for, a shape where a shape is
for (const things of test)
  for (const [kind, { input, answer }] of [
    ['color', askColor(vlm, { things }, things[0])],
    ['shape', askShape(vlm, { things }, things[0])],
  ] as ['color' | 'shape', Query][]) {
    const first = firstPatch(vlm, input);
    const variations = cuts.map(([, edits]) => edits(first, input.inputIds.length));
    for (const [i, cache] of (await vlm.runVariations(input, variations, last)).entries()) {
      const said = likeliest(cache.get('logits')!);
      right[kind][i].push(said === answer);
      kindKept[i].push(vocabulary[kind].includes(said));
    }
  }
for (const [i, [what]] of cuts.entries())
  console.log(
    `${what.padEnd(40)} colour right ${share(right.color[i])}, shape right ${share(right.shape[i])}, kind right ${share(kindKept[i])}`,
  );
vlm.destroy();
gpu.dispose();
