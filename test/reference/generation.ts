// Ours on the cases that generation.py wrote into a folder: npx tsx -C headlight-source test/reference/generation.ts FOLDER
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { openFolder } from '#platform';
import { openGpu } from '../../src/gpu/gpu.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';
import { greedyIds, type ScoreCase, scoresOf, type TextCase, wantedIds } from '../generation.ts';

const read = <T>(name: string) => JSON.parse(readFileSync(resolve(process.argv[2], name), 'utf8')) as T[];
const wrong = { scores: 0, texts: 0 };
const scores = read<ScoreCase>('scores.json');
for (const given of scores) {
  const { cut, nan, sum } = scoresOf(given);
  if (cut === given.cut && nan === given.nan && Math.abs(sum - given.sum) <= 1e-4 * Math.max(1, Math.abs(sum)))
    continue;
  wrong.scores++;
  console.log(JSON.stringify({ ...given, ours: { cut, nan, sum } }));
}
const texts = read<TextCase>('texts.json');
const gpu = await openGpu();
for (const checkpoint of new Set(texts.map((text) => text.checkpoint))) {
  const model = await VisionLanguageModel.load(await openFolder(fixturePath(checkpoint)), { gpu });
  for (const text of texts.filter((text) => text.checkpoint === checkpoint)) {
    const ids = await greedyIds(model, text);
    if (String(ids) === String(wantedIds(model, text))) continue;
    wrong.texts++;
    console.log(JSON.stringify({ ...text, ours: ids }));
  }
  model.destroy();
}
gpu.dispose();
console.log(`wrong: ${wrong.scores} of ${scores.length} scores, ${wrong.texts} of ${texts.length} texts`);
