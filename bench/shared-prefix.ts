// Head vectors (or with --answers what `eval` asks the model for beside them) of many questions about the same pictures, each prompt whole
// and with a shared prefix, in turn in one process:
//
//     npx tsx -C headlight-source bench/shared-prefix.ts [--model DIR] [--questions 10] [--pictures 1] [--same-length] [--answers] [--rounds 9] [--json]
//
// Questions differ in length, unless --same-length makes them as long as the first. Shown: the share of the tokens that all prompts begin
// with, the median time of both ways, their ratio, and how far the vectors are apart, relative to the largest value.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { greatest } from '../src/base/extremes.ts';
import { sharedTokens } from '../src/model/run/shared-prefix.ts';
import { VisionLanguageModel } from '../src/model/vision-language-model.ts';
import { readAnswers } from '../src/sav/answers.ts';
import { type Example, extractFeatures } from '../src/sav/features.ts';
import { median } from '../src/verify/benchmark.ts';

const { values: options } = parseArgs({
  options: {
    model: { type: 'string', default: 'tiny-llava' },
    questions: { type: 'string', default: '10' },
    pictures: { type: 'string', default: '1' },
    'same-length': { type: 'boolean', default: false },
    answers: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '9' },
    json: { type: 'boolean', default: false },
  },
});
const things = ['color', 'shape', 'size', 'texture', 'border', 'place', 'number', 'symmetry', 'edge', 'side'];
const picture = new Uint8Array(readFileSync('weights/tiny-llava/tasks/images/warm-cool/test-000.png'));
const images = Array<Uint8Array>(Number(options.pictures)).fill(picture);
const examples = Array.from({ length: Number(options.questions) }, (_, i): Example => {
  const thing = things[i % things.length];
  const more = options['same-length'] ? '' : ' of it'.repeat(i % 4);
  return {
    source: `question ${i + 1}`,
    prompt: options['same-length'] ? `Number ${i % 10}: what is it?` : `What ${thing}${more} is the object?`,
    images: images.map(() => 'picture.png'),
    loadImages: async () => images,
  };
});

const model = await VisionLanguageModel.load(options.model);
const vectorsOf = async (sharePrefix: boolean): Promise<readonly Float32Array[]> => {
  if (!options.answers) return (await extractFeatures(model, examples, { sharePrefix })).vectors;
  return (await readAnswers(model, examples, ['red', 'blue'], { sharePrefix })).map(({ headVectors }) => headVectors);
};
const times: Record<'whole' | 'shared', number[]> = { whole: [], shared: [] };
const vectors: Partial<Record<keyof typeof times, readonly Float32Array[]>> = {};
for (let round = 0; round <= Number(options.rounds); round++)
  for (const way of ['whole', 'shared'] as const) {
    const start = performance.now();
    vectors[way] = await vectorsOf(way === 'shared');
    if (round > 0) times[way].push(performance.now() - start); // the first compiles
  }
const inputs = [];
for (const { prompt } of examples) inputs.push(await model.input({ prompt, images }));
const tokens = inputs.map(({ inputIds }) => inputIds.length);
const shared = sharedTokens(inputs, model.config.vision);
const distance = greatest(
  vectors.whole!.map((own, i) => {
    const size = greatest(Array.from(own, Math.abs));
    return greatest(Array.from(own, (value, j) => Math.abs(value - vectors.shared![i][j]))) / size;
  }),
);
const result = {
  adapter: model.gpu.capabilities.description,
  questions: examples.length,
  tokens: [...new Set(tokens)],
  sharedTokens: shared,
  /** Of the tokens of all prompts, those that need not run. */
  saved: ((tokens.length - 1) * shared) / tokens.reduce((sum, n) => sum + n, 0),
  wholeMs: median(times.whole),
  sharedMs: median(times.shared),
  ratio: median(times.whole) / median(times.shared),
  distance,
};
if (options.json) console.log(JSON.stringify(result));
else console.table(result);
model.destroy();
