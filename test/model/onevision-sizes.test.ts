// Pictures whose features are shrunk at a whole quotient, and very narrow ones, from pixels to text
// (test/reference/onevision_sizes.py).
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { generate } from '../../src/model/generation/generate.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import type { Folder } from '../../src/platform/types.ts';
import { fixturePath, readJsonFixture } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';
import { memoryFolder, textFiles } from './processor/memory-folder.ts';
import { picture } from './processor/pictures.ts';

const checkpoint = 'families/onevision-f32';
const { settings, prompt, inputs } = readJsonFixture<{
  settings: object;
  prompt: string;
  inputs: Record<string, { size: [height: number, width: number]; ids: number[]; logits: number[]; greedy: number[] }>;
}>('onevision-sizes.json');

const gpu = useGpu();
let model: VisionLanguageModel;
beforeAll(async () => {
  const files = textFiles(checkpoint);
  for (const name of ['config.json', 'preprocessor_config.json', 'processor_config.json'])
    files[name] = JSON.stringify({ ...JSON.parse(files[name]), ...settings });
  const folder = over(memoryFolder(files), await openFolder(fixturePath(checkpoint)));
  model = await VisionLanguageModel.load(folder, { gpu: gpu() });
});
afterAll(() => model?.destroy());

/** The files of one folder before those of another. */
function over(first: Folder, second: Folder): Folder {
  const of = async (name: string) => ((await first.has(name)) ? first : second);
  return {
    location: second.location,
    has: async (name) => (await of(name)).has(name),
    size: async (name) => (await of(name)).size(name),
    read: async (name, start, end) => (await of(name)).read(name, start, end),
  };
}

it.each(Object.entries(inputs))("a picture of %s equals HF's: ids, logits, greedy ids", async (_, expected) => {
  const [height, width] = expected.size;
  const input = model.processor.prepare({ prompt, images: [picture(width, height)] });
  expect(Array.from(input.inputIds)).toEqual(expected.ids);
  const cache = await model.runWithCache(input, { namesFilter: 'logits', posSlice: -1 });
  expect(relativeError(cache.get('logits')!.data, Float32Array.from(expected.logits))).toBeLessThan(1e-4);
  const ids: number[] = [];
  for await (const id of generate(model, input, { maxNewTokens: 6, endTokens: model.endTokens })) ids.push(id);
  expect(ids).toEqual(expected.greedy.filter((id) => !model.endTokens.has(id)));
});
