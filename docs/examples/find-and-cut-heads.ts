// Do the heads that SAVs choose for a task carry it? Cut them, and as many others, and count (docs/recipes/find-and-cut-heads.md).
// Run: npx tsx -C headlight-source docs/examples/find-and-cut-heads.ts [questions of each kind] [random sets]
import { type Edit, openFolder, openGpu, VisionLanguageModel } from 'headlight-vlm';
import { extractFeatures, fitClassifier, parity, readExamples, wilsonInterval } from 'headlight-vlm/sav';
import { askColor, askShape, likeliest, logProbability, mean, type Query } from './lib/answers.ts';
import { sample, seeded, someThings } from './lib/scenes.ts';

const [count, sets] = [Number(process.argv[2] ?? 12), Number(process.argv[3] ?? 8)];
const gpu = await openGpu();
const vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu });
const data = await openFolder('weights/tiny-llava/tasks');
const { nLayers, nHeads, dHead } = vlm;

interface Head {
  readonly layer: number;
  readonly head: number;
}
const all: Head[] = Array.from({ length: nLayers * nHeads }, (_, i) => ({
  layer: Math.floor(i / nHeads),
  head: i % nHeads,
}));

/** The heads that SAVs choose for a task, best first: the published rule, from 20 examples a class. */
async function chosen(task: string, k: number): Promise<readonly Head[]> {
  const train = await readExamples(data, `${task}.train.jsonl`);
  const labels = train.map((row) => row.label!);
  const features = await extractFeatures(vlm, train);
  const { classifier } = await fitClassifier(features, labels, { ...parity, k, calibrate: false });
  return classifier.data.heads;
}

// Questions that the model answers in its own words: none of them is of the tasks that choose the heads.
const random = seeded(1);
const questions = (make: typeof askColor): Query[] =>
  Array.from({ length: count }, () => {
    const things = someThings(random, 3);
    return make(vlm, { things }, things[0]);
  });
const kinds = { color: questions(askColor), shape: questions(askShape) };

// Mean ablation puts a head's mean over other questions, of both kinds, in the place of its output.
const means = new Float32Array(nLayers * nHeads * dHead);
const others = [...questions(askColor), ...questions(askShape)];
for (const { input } of others)
  for (const [i, x] of (await vlm.headVectorsAtEnd([input]))[0].entries()) means[i] += x / others.length;

/** Cut where SAVs read: at the last token of the prompt, from which the answer is said. */
function cut(heads: readonly Head[], how: 'zero' | 'mean'): Edit[] {
  return heads.map(({ layer, head }) => {
    const at = (layer * nHeads + head) * dHead;
    const set = how === 'zero' ? 0 : means.slice(at, at + dHead);
    return { at: `blocks.${layer}.attn.hook_z`, heads: [head], positions: -1, set };
  });
}

interface Outcome {
  right: number;
  logP: number[];
}

/** Every list of edits on every question of a kind: one pass over each prompt, then one position for each list. */
async function outcomes(queries: readonly Query[], variations: readonly Edit[][]): Promise<Outcome[]> {
  const found: Outcome[] = variations.map(() => ({ right: 0, logP: [] }));
  for (const { input, answer } of queries) {
    const caches = await vlm.runVariations(input, variations, { namesFilter: 'logits', posSlice: -1 });
    for (const [v, cache] of caches.entries()) {
      const logits = cache.get('logits')!;
      if (likeliest(logits) === answer) found[v].right++;
      found[v].logP.push(logProbability(logits, answer));
    }
  }
  return found;
}

const percent = (x: number) => (100 * x).toFixed(0).padStart(3);
const show = ({ right, logP }: Outcome) => {
  const [low, high] = wilsonInterval(right, count);
  return `${percent(right / count)} % [${percent(low)},${percent(high)}] log p ${mean(logP).toFixed(2).padStart(6)}`;
};
const print = (what: string, color: string, shape: string) => console.log(`${what.padEnd(30)} | ${color} | ${shape}`);

const [warm, round] = [await chosen('warm-cool', 10), await chosen('round-angular', 10)];
const names = (heads: readonly Head[]) => heads.map(({ layer, head }) => `${layer}.${head}`).join(' ');
console.log(`SAV heads of warm-cool: ${names(warm)}; of round-angular: ${names(round)}`);
const rows: [string, readonly Head[]][] = [
  ['nothing', []],
  ...[1, 2, 5, 10].map((k): [string, Head[]] => [`warm-cool, best ${k}`, warm.slice(0, k)]),
  ...[5, 10].map((k): [string, Head[]] => [`round-angular, best ${k}`, round.slice(0, k)]),
];
// Five others than warm-cool's five: from anywhere, and as many of each layer.
const five = warm.slice(0, 5);
const rest = all.filter((h) => !five.some((w) => w.layer === h.layer && w.head === h.head));
const pools = new Map([[rest, five.length]]);
const layerPools = new Map<Head[], number>();
for (let layer = 0; layer < nLayers; layer++) {
  const pool = rest.filter((h) => h.layer === layer);
  layerPools.set(pool, five.filter((h) => h.layer === layer).length);
}
const draw = seeded(5);
const setsOf = (from: ReadonlyMap<Head[], number>) =>
  Array.from({ length: sets }, () => [...from].flatMap(([pool, k]) => sample(draw, pool, k)));
const lists = [...rows.map(([, heads]) => heads), ...setsOf(pools), ...setsOf(layerPools)];

const variations = [
  ...lists.map((heads) => cut(heads, 'zero')),
  ...lists.map((heads) => cut(heads, 'mean')),
  ...all.map((head) => cut([head], 'zero')),
];
const found = { color: await outcomes(kinds.color, variations), shape: await outcomes(kinds.shape, variations) };
const cell = (list: number, kind: 'color' | 'shape') => show(found[kind][list]);
const range = (list: number, kind: 'color' | 'shape') => {
  const shares = found[kind].slice(list, list + sets).map(({ right }) => right / count);
  return `${percent(mean(shares))} % (${sets} sets: ${percent(Math.min(...shares))} to ${percent(Math.max(...shares))})`;
};
for (const [h, how] of ['set to zero', 'set to the mean'].entries()) {
  const start = h * lists.length;
  print(how, `colour, ${count} questions`, `shape, ${count} questions`);
  for (const [i, [what]] of rows.entries()) print(what, cell(start + i, 'color'), cell(start + i, 'shape'));
  for (const [i, what] of ['any 5 others', '5 others, same layers'].entries()) {
    const at = start + rows.length + i * sets;
    print(what, range(at, 'color'), range(at, 'shape'));
  }
}
// What SAVs do not say: which head's loss alone hurts.
for (const kind of ['color', 'shape'] as const) {
  const alone = found[kind]
    .slice(2 * lists.length)
    .map(({ right, logP }, i) => ({ right, logP: mean(logP), ...all[i] }));
  const worst = alone.sort((a, b) => a.logP - b.logP).slice(0, 3);
  const text = worst.map((o) => `${o.layer}.${o.head} ${percent(o.right / count)} % log p ${o.logP.toFixed(2)}`);
  console.log(`one head alone set to zero, ${kind}: ${text.join(', ')}`);
}
vlm.destroy();
gpu.dispose();
