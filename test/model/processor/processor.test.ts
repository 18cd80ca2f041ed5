import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { decodeImage, openFolder } from '#platform';
import type { Message } from '../../../src/model/processor/chat-template.ts';
import type { Processor } from '../../../src/model/processor/processor.ts';
import { checkpointNames, fixturePath, loadProcessor, readJsonFixture, readTensors, valuesOf } from '../../fixtures.ts';
import { relativeError } from '../../kernels/check.ts';
import { checkpointFiles, memoryFolder } from './memory-folder.ts';

interface Entry {
  images: string[];
  videos?: { frames: string[]; fps: number }[];
  messages?: Message[];
  prompt: string;
  generated_ids: number[];
  generated_text: string;
}

const picture = { width: 20, height: 30, data: new Uint8Array(20 * 30 * 3).fill(99) };
const load = (changes: Record<string, string | undefined> = {}) => {
  const files = Object.entries({ ...checkpointFiles('llava-f32'), ...changes }).filter(
    ([, text]) => text !== undefined,
  );
  return loadProcessor(memoryFolder(Object.fromEntries(files) as Record<string, string>));
};

const image = (file: string) => decodeImage(new Uint8Array(readFileSync(fixturePath(`images/${file}`))), file);
const withExpectations = checkpointNames.filter((name) => valuesOf(name) === name && !/clip|siglip/.test(name));

describe.each(withExpectations)('%s equals HF’s processor', (name) => {
  const { inputs } = readJsonFixture<{ inputs: Record<string, Entry> }>(`${name}/expected.json`);
  const tensors = readTensors(`${name}/expected.safetensors`);

  test.each(Object.entries(inputs))('%s', async (input, entry) => {
    const processor = await loadProcessor(await openFolder(fixturePath(name)));
    if (entry.messages) expect(processor.applyChatTemplate(entry.messages)).toBe(entry.prompt);
    const images = await Promise.all(entry.images.map(image));
    const videos = await Promise.all(
      (entry.videos ?? []).map(async ({ frames, fps }) => ({ frames: await Promise.all(frames.map(image)), fps })),
    );
    const { inputIds, visuals } = processor.prepare({ prompt: entry.prompt, images, videos });
    expect(inputIds).toEqual(tensors.get(`${input}/input_ids`)!.data);
    if (!videos.length) {
      const sizes = images.map(({ width, height }) => ({ width, height }));
      const shapes = visuals.map(({ pixels: _, areas: __, ...shape }) => shape);
      expect(processor.shape({ prompt: entry.prompt, images: sizes })).toEqual({ inputIds, visuals: shapes });
    }
    for (const kind of ['image', 'video'] as const) {
      const own = visuals.filter((visual) => visual.kind === kind);
      const tokens = own.reduce((sum, visual) => sum + processor.tokens(visual), 0);
      expect(tokens).toBe(Array.from(inputIds).filter((id) => id === processor[kind]?.id).length);
      const expected = tensors.get(`${input}/${kind === 'image' ? 'pixel_values' : 'pixel_values_videos'}`)?.data ?? [];
      const found = own.flatMap(({ pixels }) => Array.from(pixels));
      if (kind === 'image') expect(found).toEqual(Array.from(expected));
      // These frames went through HF's processors of images, which normalise in two roundings where those of videos have one.
      else if (found.length) expect(relativeError(found, expected)).toBeLessThan(1e-6);
      expect(found.length).toBe(expected.length);
      const grids = tensors.get(`${input}/${kind}_grid_thw`);
      if (grids) expect(own.flatMap(({ grid }) => grid)).toEqual(Array.from(grids.data));
    }
    const seconds = tensors.get(`${input}/second_per_grid_ts`);
    if (seconds) expect(visuals.flatMap((v) => v.secondsPerPatch ?? [])).toEqual(Array.from(seconds.data));
    expect(processor.tokenizer.decode(entry.generated_ids)).toBe(entry.generated_text);
  });
});

describe('prepare', () => {
  const { prompts } = readJsonFixture<{ prompts: { prompt: string; images: number; ids: number[] }[] }>(
    'processor/expected.json',
  );

  test.each(prompts)('$prompt', async ({ prompt, images, ids }) => {
    const processor = await load();
    const input = processor.prepare({ prompt, images: Array(images).fill(picture) });
    expect(Array.from(input.inputIds)).toEqual(ids);
    expect(input.visuals).toHaveLength(images);
  });

  test('wants one image token for each image', async () => {
    const processor = await load();
    expect(() => processor.prepare({ prompt: 'a <image>', images: [picture, picture] })).toThrow(
      'the prompt has 1 <image>, but 2 images came with it; write <image> once for each image',
    );
    expect(() => processor.prepare({ prompt: 'a <image>' })).toThrow(
      'the prompt has 1 <image>, but 0 images came with it',
    );
    expect(() => processor.prepare({ prompt: 'a', images: [picture] })).toThrow(
      'the prompt has 0 <image>, but 1 image came',
    );
  });

  test('leaves special tokens away when told to', async () => {
    const processor = await load();
    const first = processor.prepare({ prompt: 'a' }).inputIds[0];
    expect(first).toBe(processor.tokenizer.requireId('<s>'));
    expect(processor.prepare({ prompt: 'a', addSpecialTokens: false }).inputIds).not.toContain(first);
  });
});

describe('load', () => {
  const tokensPerImage = async (processor: Processor) =>
    processor.tokens(processor.prepare({ prompt: '<image>', images: [picture] }).visuals[0]);

  test('takes from config.json what an older processor_config.json leaves out', async () => {
    expect(await tokensPerImage(await load())).toBe(16);
    expect(await tokensPerImage(await load({ 'processor_config.json': undefined }))).toBe(16);
    const full = JSON.parse(checkpointFiles('llava-f32')['config.json']);
    full.vision_feature_select_strategy = 'full';
    const processor = await load({ 'processor_config.json': '{}', 'config.json': JSON.stringify(full) });
    expect(await tokensPerImage(processor)).toBe(17);
  });

  test('takes the image processor that transformers 5 nests in processor_config.json', async () => {
    const image_processor = { size: 32, crop_size: 32, do_rescale: false, do_normalize: false };
    const nested = JSON.stringify({ image_processor });
    for (const other of [undefined, '{"size": 16, "crop_size": 16}']) {
      const processor = await load({ 'processor_config.json': nested, 'preprocessor_config.json': other });
      const [{ shape, pixels }] = processor.prepare({ prompt: '<image>', images: [picture] }).visuals;
      expect(shape).toEqual([1, 3, 32, 32]);
      expect(Math.max(...pixels)).toBe(99); // as they are in the picture
    }
  });

  test('wraps a question with images in the chat template', async () => {
    const processor = await load();
    expect(processor.chat(2, 'Same?')).toBe('USER: <image>\n<image>\nSame? ASSISTANT:');
    expect(processor.chat(0, 'Hello?')).toBe('USER: Hello? ASSISTANT:');
    const without = await load({ 'chat_template.json': undefined });
    expect(without.hasChatTemplate).toBe(false);
    expect(() => without.chat(1, 'What?')).toThrow('has no chat template; write the prompt out');
  });

  test.each([
    ['preprocessor_config.json', undefined, 'preprocessor_config.json: not in memory'],
    ['tokenizer.json', undefined, 'tokenizer.json: not in memory'],
    ['tokenizer.json', '{', 'tokenizer.json: not valid JSON'],
    ['tokenizer.json', '\ud800', 'tokenizer.json: not valid JSON'],
    ['processor_config.json', '{"image_token": 7}', 'processor_config.json: image_token'],
    [
      'config.json',
      '{"model_type": "llava", "vision_feature_select_strategy": "cls"}',
      'vision_feature_select_strategy',
    ],
    [
      'config.json',
      '{"model_type": "llava", "image_token_index": 7}',
      'tokenizer.json: <image> is token 419, config.json says 7',
    ],
    ['preprocessor_config.json', '{"size": {"longest_edge": 3}}', 'preprocessor_config.json: size: supported'],
  ])('%s %s is refused', async (file, text, message) => {
    await expect(load({ [file]: text })).rejects.toThrow(message);
  });

  test('an image of another size than the tower’s is refused', async () => {
    const processor = await load({ 'preprocessor_config.json': '{"do_resize": false, "crop_size": 4}' });
    expect(() => processor.prepare({ prompt: '<image>', images: [picture] })).toThrow(
      'pixel values: [1,3,4,4] of 48 numbers, expected [crops, 3, 32, 32]',
    );
  });
});
