// The same library code, unbundled, in headless Chromium: head outputs and text equal Node's.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import type { Edit } from '../src/model/interventions/edits.ts';
import { VisionLanguageModel } from '../src/model/vision-language-model.ts';
import { chromiumPath, RepositoryPage } from './chromium.ts';
import { useGpu } from './gpu.ts';
import { relativeError } from './kernels/check.ts';

const task = readFileSync('weights/tiny-llava/tasks/novel-words.test.jsonl', 'utf8').split('\n')[0];
const pictures = ['scene', 'wide'].map((name) => `test/fixtures/images/${name}.png`);

interface Case {
  checkpoint: string;
  images: string[];
  prompt: string;
  edits: Edit[];
}
const cases: Case[] = [
  {
    checkpoint: 'weights/tiny-llava',
    images: [`weights/tiny-llava/tasks/${JSON.parse(task).image}`],
    prompt: 'What is in the image?',
    edits: [],
  },
  // tiles, newlines, a resized map; frames, windows, positions of three axes: with pictures amid the text, and a head cut
  ...['onevision-f32', 'qwen2_5-vl-f32'].map((name) => ({
    checkpoint: `test/fixtures/families/${name}`,
    images: pictures.slice(0, name.startsWith('qwen') ? 2 : 1),
    prompt: name.startsWith('qwen') ? 'Is <image> the same as <image>?' : 'What is in <image>?',
    edits: [{ at: 'blocks.0.attn.hook_z', heads: [0], set: 0 }],
  })),
];
const namesFilter = 'blocks.*.attn.hook_z';

const title = 'the library in Chromium';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const gpu = useGpu();
  let browser: RepositoryPage;
  beforeAll(async () => {
    browser = await RepositoryPage.open();
  });
  afterAll(() => browser?.close());

  it.each(cases)(
    'gives Node’s head outputs and Node’s text: $checkpoint',
    async ({ checkpoint, images, prompt, edits }) => {
      const model = await VisionLanguageModel.load(await openFolder(checkpoint), { gpu: gpu() });
      const input = await model.input({ images: images.map((file) => new Uint8Array(readFileSync(file))), prompt });
      const expected = await model.with({ edits }).runWithCache(input, { namesFilter });
      let text = '';
      for await (const piece of model.with({ edits }).generate(input, { maxNewTokens: 24 })) text += piece;

      // As text: Vitest would rewrite the imports of a function.
      const found = await browser.page.evaluate<{
        ids: number[];
        z: [string, number[]][];
        text: string;
      }>(`(async () => {
      const { openFolder, openGpu, VisionLanguageModel } = await import('/src/index.ts');
      const loaded = await VisionLanguageModel.load(await openFolder('/${checkpoint}'), { gpu: await openGpu() });
      const images = await Promise.all(${JSON.stringify(images)}.map(async (file) =>
        new Uint8Array(await (await fetch('/' + file)).arrayBuffer())));
      const model = loaded.with({ edits: ${JSON.stringify(edits)} });
      const input = await model.input({ images, prompt: ${JSON.stringify(prompt)} });
      const cache = await model.runWithCache(input, { namesFilter: '${namesFilter}' });
      let text = '';
      for await (const piece of model.generate(input, { maxNewTokens: 24 })) text += piece;
      return { ids: [...input.inputIds], z: [...cache].map(([name, { data }]) => [name, [...data]]), text };
    })()`);

      expect(found.ids).toEqual([...Array.from(input.inputIds)]);
      expect(found.z.map(([name]) => name)).toEqual([...expected.keys()]);
      for (const [name, data] of found.z)
        expect(relativeError(data, expected.get(name)!.data), name).toBeLessThan(1e-4);
      expect(found.text).toBe(text);
      expect(text.length).toBeGreaterThan(5);
      model.destroy();
    },
  );

  it('a page keeps what it was tuned to, also when it is loaded again', async () => {
    const kept = (after: string) =>
      browser.page.evaluate<{ before: unknown; location?: string; taken: unknown; damaged?: string }>(`(async () => {
        const { openGpu } = await import('/src/index.ts');
        const { keepTuning, keptTuning } = await import('/src/tuning/index.ts');
        const gpu = await openGpu();
        const before = await keptTuning(gpu.capabilities);
        ${after}
        const { tuning } = await openGpu({ tuning: keptTuning });
        return { before, location, taken: tuning.choices };
      })()`);
    const choices = { matmul: { 'rows up to 16, n 40, k 28, format f32': 'tile 8x4' } };
    const first = await kept(`const location = await keepTuning(gpu.capabilities, ${JSON.stringify(choices)});`);
    expect(first).toMatchObject({ before: undefined, taken: choices });
    expect(first.location).toMatch(/^IndexedDB "headlight tuning", 0\.1\.0-[0-9a-f]{16}$/);
    await browser.page.reload();
    const again = await kept('const location = await keepTuning(gpu.capabilities, {});');
    expect(again).toEqual({ before: choices, location: first.location, taken: {} });
  });

  it('a lost device is called that, wherever it is met', async () => {
    const said = await browser.page.evaluate<Record<string, string>>(`(async () => {
      const { DeviceLostError, openFolder, openGpu, VisionLanguageModel } = await import('/src/index.ts');
      // Each device compiles all kernels again: those of a small model of texts.
      const folder = await openFolder('/test/fixtures/families/llama-text-f32');
      const work = {
        async generate(model, input, lose) {
          for await (const _ of model.generate(input, { maxNewTokens: 24 })) lose();
        },
        async runWithCache(model, input, lose) {
          // While its result is awaited: the loss is told after the failure.
          const { queue } = model.gpu.device;
          queue.submit = (commands) => {
            GPUQueue.prototype.submit.call(queue, commands);
            lose();
          };
          await model.runWithCache(input, { namesFilter: '${namesFilter}' });
        },
        async headVectors(model, input, lose) {
          const run = model.headVectors({ prompt: 'What?' });
          setTimeout(lose, 20);
          await run;
          await model.headVectors({ prompt: 'What?' });
        },
        async afterwards(model, input, lose) {
          lose();
          await new Promise((done) => setTimeout(done, 100));
          await model.runWithCache(input, { namesFilter: 'logits' });
        },
      };
      const said = {};
      for (const [name, run] of Object.entries(work)) {
        const gpu = await openGpu();
        const model = await VisionLanguageModel.load(folder, { gpu });
        const input = await model.input({ prompt: 'What is in the image?' });
        try {
          await run(model, input, () => gpu.device.destroy());
          said[name] = 'nothing';
        } catch (e) {
          said[name] = e instanceof DeviceLostError ? 'DeviceLostError' : e.name + ': ' + e.message;
        }
      }
      return said;
    })()`);
    for (const [name, error] of Object.entries(said)) expect(error, name).toBe('DeviceLostError');
    expect(Object.keys(said)).toHaveLength(4);
  });
});
