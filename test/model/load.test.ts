import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const path = fixturePath('families/llama-text-f32');
const names = ['config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
const files = () => names.map((name) => new File([readFileSync(`${path}/${name}`)], name));

it.each([
  ['a path', () => path],
  ['a URL', () => pathToFileURL(path)],
  ['the text of a URL', () => String(pathToFileURL(path))],
  ['files', files],
])('takes %s, and opens the GPU itself where none is given', async (name, source) => {
  const options = name === 'a path' ? {} : { gpu: gpu() };
  const model = await VisionLanguageModel.load(source(), options);
  expect(model.nLayers).toBeGreaterThan(0);
  model.destroy();
});

it('refuses prompts that are not as types say, so that no picture is passed over', async () => {
  const model = await VisionLanguageModel.load('tiny-llava', { gpu: gpu() });
  const given = (prompt: unknown) => model.headVectors(prompt as { prompt: string });
  try {
    await expect(given({ image: [path], prompt: 'x' })).rejects.toThrow(
      'prompt: no option image; did you mean images?',
    );
    await expect(given({ images: path, prompt: 'x' })).rejects.toThrow('images: expected a list, [image], got string');
    await expect(given({ images: new Blob(), prompt: 'x' })).rejects.toThrow('[image], got Blob');
    await expect(given({ images: [path], question: 'x' })).rejects.toThrow('prompt: no option question');
    await expect(given({ images: [path] })).rejects.toThrow('prompt: expected text, got undefined');
    await expect(given({ prompt: 5 })).rejects.toThrow('prompt: expected text, got number');
    await expect(given({ prompt: 'x', videos: [path] })).rejects.toThrow(/^video 1: give \{ file \} or/);
    for (const prompt of ['x', undefined, null]) await expect(given(prompt)).rejects.toThrow(/^a prompt is an object/);
  } finally {
    model.destroy();
  }
});

it('refuses what is no checkpoint, and options that there are not', async () => {
  const load = (source: unknown, options: object = { gpu: gpu() }) =>
    VisionLanguageModel.load(source as string, options).then((model) => model.destroy());
  await expect(load(5)).rejects.toThrow(/^number is no checkpoint and no folder: give a path, a URL, "tiny-llava"/);
  await expect(load(null)).rejects.toThrow(/^null is no checkpoint/);
  await expect(load([new Blob(['x'])])).rejects.toThrow(/a Blob has none: new File/);
  await expect(load(`${path}/config.json`)).rejects.toThrow(/it is a file; give the folder that it is in/);
  await expect(load('nowhere')).rejects.toThrow(/nowhere: there is no such folder/);
  await expect(load(path, { device: 1 })).rejects.toThrow(/^load: no option device; there are gpu/);
});

it('loads the checkpoint of the package by name, and returns every hook where none is named', async () => {
  const model = await VisionLanguageModel.load('tiny-llava', { gpu: gpu() });
  try {
    const input = await model.input({ prompt: 'Which colour?' });
    const cache = await model.runWithCache(input, { posSlice: -1 });
    expect([...cache.keys()]).toEqual(
      model.hookPoints.map(({ name }) => name).filter((n) => !/^(vision|projector)\./.test(n)),
    );
    const first = await model.runWithCache(input, { posSlice: -1, stopAtLayer: 1 });
    expect(first.has('blocks.0.hook_resid_post') && !first.has('blocks.1.hook_resid_pre')).toBe(true);
    await expect(model.runWithCache(input, { names_filter: 'logits' } as object)).rejects.toThrow(
      'runWithCache: no option names_filter; did you mean namesFilter?',
    );
    await expect(model.with({ maxResultBytes: 1000 }).runWithCache(input)).rejects.toThrow(
      /more than 1000 \(blocks.*: ask for fewer names/,
    );
    await expect(model.runWithCache(input, { namesFilter: /hook_z/ } as object)).rejects.toThrow(
      /^namesFilter: give a/,
    );
    const prompt = { prompt: 'Which colour?' };
    for (const run of [() => model.runWithCache(prompt as never), () => model.generate(prompt as never).next()])
      await expect(run()).rejects.toThrow('what `await model.input({ prompt, images })` gives');
    await expect(model.generate(input, { max_new_tokens: 3 } as object).next()).rejects.toThrow(
      'did you mean maxNewTokens?',
    );
  } finally {
    model.destroy();
  }
});
