// The same library code, unbundled, in headless Chromium: head outputs and text equal Node's.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { VisionLanguageModel } from '../src/model/vision-language-model.ts';
import { chromiumPath, RepositoryPage } from './chromium.ts';
import { useGpu } from './gpu.ts';
import { relativeError } from './kernels/check.ts';

const checkpoint = 'weights/tiny-llava';
const task = readFileSync(`${checkpoint}/tasks/novel-words.test.jsonl`, 'utf8').split('\n')[0];
const image = `${checkpoint}/tasks/${JSON.parse(task).image}`;
const prompt = 'What is in the image?';
const namesFilter = 'blocks.*.attn.hook_z';

const title = 'the library in Chromium';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const gpu = useGpu();
  let browser: RepositoryPage;
  beforeAll(async () => {
    browser = await RepositoryPage.open();
  });
  afterAll(() => browser?.close());

  it('gives Node’s head outputs and Node’s text', async () => {
    const model = await VisionLanguageModel.load(await openFolder(checkpoint), { gpu: gpu() });
    const input = await model.input({ images: [new Uint8Array(readFileSync(image))], prompt });
    const expected = await model.runWithCache(input, { namesFilter });
    let text = '';
    for await (const piece of model.generate(input, { maxNewTokens: 24 })) text += piece;

    // As text: Vitest would rewrite the imports of a function.
    const found = await browser.page.evaluate<{ ids: number[]; z: [string, number[]][]; text: string }>(`(async () => {
      const { openFolder, openGpu, VisionLanguageModel } = await import('/src/index.ts');
      const model = await VisionLanguageModel.load(await openFolder('/${checkpoint}'), { gpu: await openGpu() });
      const bytes = new Uint8Array(await (await fetch('/${image}')).arrayBuffer());
      const input = await model.input({ images: [bytes], prompt: ${JSON.stringify(prompt)} });
      const cache = await model.runWithCache(input, { namesFilter: '${namesFilter}' });
      let text = '';
      for await (const piece of model.generate(input, { maxNewTokens: 24 })) text += piece;
      return { ids: [...input.inputIds], z: [...cache].map(([name, { data }]) => [name, [...data]]), text };
    })()`);

    expect(found.ids).toEqual([...Array.from(input.inputIds)]);
    expect(found.z.map(([name]) => name)).toEqual([...expected.keys()]);
    for (const [name, data] of found.z) expect(relativeError(data, expected.get(name)!.data), name).toBeLessThan(1e-4);
    expect(found.text).toBe(text);
    expect(text.length).toBeGreaterThan(5);
    model.destroy();
  });
});
