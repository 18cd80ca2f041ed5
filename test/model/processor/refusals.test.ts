// What a family's processor refuses, and how it says so.
import { describe, expect, test } from 'vitest';
import { openFolder } from '#platform';
import type { Processor } from '../../../src/model/processor/processor.ts';
import { fixturePath, loadProcessor, readJsonFixture } from '../../fixtures.ts';
import { checkpointFiles, memoryFolder, textFiles } from './memory-folder.ts';
import { frames, picture } from './pictures.ts';

const folders = {
  llava: checkpointFiles('llava-f32'),
  next: textFiles('processor-families/llava-next'),
  onevision: textFiles('processor-families/llava-onevision'),
  qwen: textFiles('processor-families/qwen2-vl'),
};
type Changes = Record<string, object | string | undefined>;

/** A fixture's folder with settings of its JSON files changed, or whole files replaced. */
function load(name: keyof typeof folders, changes: Changes = {}): Promise<Processor> {
  const files: Record<string, string> = { ...folders[name] };
  for (const [file, change] of Object.entries(changes)) {
    if (change === undefined) delete files[file];
    else
      files[file] =
        typeof change === 'string' ? change : JSON.stringify({ ...JSON.parse(files[file] ?? '{}'), ...change });
  }
  return loadProcessor(memoryFolder(files));
}

describe('a text model', () => {
  const joining = "{% for m in messages %}[{{ m['content'] + ']' }}{% endfor %}";
  const text = (model_type = 'llama', chat_template = joining) =>
    load('llava', {
      'config.json': JSON.stringify({ model_type }),
      'preprocessor_config.json': undefined,
      'processor_config.json': undefined,
      'chat_template.json': undefined,
      'tokenizer_config.json': { chat_template },
    });

  test.each(['llama', 'mistral', 'qwen2'])(
    '%s takes text, in parts too, and needs no image processor',
    async (type) => {
      const processor = await text(type);
      expect([processor.image, processor.video]).toEqual([undefined, undefined]);
      expect(processor.chat(0, 'Hello?')).toBe('[Hello?]');
      expect(
        processor.chat([
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ]),
      ).toBe('[ab]');
      const { inputIds, visuals } = processor.prepare({ prompt: 'a <image> b' });
      expect(visuals).toEqual([]);
      expect(inputIds).toContain(processor.tokenizer.id('<image>'));
    },
  );

  test('whose template goes through parts is given them', async () => {
    const { inputs } = readJsonFixture<{ inputs: { text: { prompt: string } } }>(
      'families/llama-text-f32/expected.json',
    );
    const processor = await loadProcessor(await openFolder(fixturePath('families/llama-text-f32')));
    expect(processor.chat(0, 'Is a circle round? Answer with Yes or No.')).toBe(inputs.text.prompt);
  });

  test('whose template refuses what it is asked says why', async () => {
    const chat_template = "{{ raise_exception('not ' ~ messages[0]['content']) }}";
    const processor = await text('llama', chat_template);
    expect(() => processor.chat(0, 'this')).toThrow('the chat template refuses the conversation: not this');
  });

  test('takes no pictures', async () => {
    const processor = await text();
    const message = 'memory: LlamaForCausalLM takes text only, but an image was given';
    expect(() => processor.chat(1, 'What?')).toThrow(message);
    expect(() => processor.prepare({ prompt: '<image>', images: [picture(2, 2)] })).toThrow(message);
    expect(() => processor.sampleFrames({ totalFrames: 9, fps: 1 })).toThrow('takes text only, but a video was given');
  });
});

test('a model without videos takes none', async () => {
  const processor = await load('next');
  const videos = [{ frames: frames(8, 8, 2) }];
  const message = 'LlavaNextForConditionalGeneration takes images and text only, but a video was given';
  expect(() => processor.prepare({ prompt: '<video>', videos })).toThrow(message);
  expect(() => processor.sampleFrames({ totalFrames: 9, fps: 1 })).toThrow(message);
});

test('images and videos are counted', async () => {
  const processor = await load('onevision');
  const videos = [{ frames: frames(8, 8, 2) }];
  const images = [picture(8, 8)];
  expect(() => processor.prepare({ prompt: '<image> <video>', images })).toThrow(
    'the prompt has 1 <video>, but 0 videos came with it; write <video> once for each video',
  );
  expect(() => processor.prepare({ prompt: '<image><image>', images, videos })).toThrow(
    'the prompt has 2 <image>, but 1 image came with it',
  );
  expect(() => processor.prepare({ prompt: '<image>', images, videos })).toThrow(
    'the prompt has 0 <video>, but 1 video came with it',
  );
  expect(processor.prepare({ prompt: '<video><image>', images, videos }).visuals.map((v) => v.kind)).toEqual([
    'video',
    'image',
  ]);
});

test.each([
  ['onevision', '<video>'],
  ['qwen', '<|video_pad|>'],
] as const)('%s: frames of a video are there, and of one size', async (name, prompt) => {
  const processor = await load(name);
  const run = (video: ReturnType<typeof frames>) => processor.prepare({ prompt, videos: [{ frames: video }] });
  expect(() => run([])).toThrow('a video without frames');
  expect(() => run([picture(8, 8), picture(9, 8)])).toThrow('the frames of a video must have one size: 8x8 and 9x8');
});

test('a tokenizer older than the family’s videos', async () => {
  const json = JSON.parse(folders.onevision['tokenizer.json']);
  json.added_tokens = json.added_tokens.filter((t: { content: string }) => t.content !== '<video>');
  const processor = await load('onevision', { 'tokenizer.json': JSON.stringify(json) });
  expect(processor.video).toBeUndefined();
  expect(() => processor.prepare({ prompt: 'a', videos: [{ frames: frames(8, 8, 2) }] })).toThrow('a video was given');
});

test.each<[keyof typeof folders, Changes, string]>([
  [
    'next',
    { 'config.json': { model_type: 'blip_2' } },
    'model_type "blip_2" is not supported; supported: llava (LLaVA-1.5); llava_next (LLaVA-NeXT)',
  ],
  ['next', { 'config.json': { model_type: undefined } }, 'config.json: model_type'],
  ['next', { 'preprocessor_config.json': undefined }, 'preprocessor_config.json: not in memory'],
  ['next', { 'config.json': { image_grid_pinpoints: [[56, 28]] } }, 'are not those of config.json, [[56,28]]'],
  [
    'next',
    { 'config.json': { vision_config: { model_type: 'pixtral' } } },
    'vision_config.model_type: "pixtral" is not a supported tower; supported: clip_vision_model',
  ],
  [
    'next',
    { 'preprocessor_config.json': { image_processor_type: 'CLIPImageProcessor' } },
    'supported: LlavaNextImageProcessor',
  ],
  [
    'next',
    { 'preprocessor_config.json': { image_grid_pinpoints: [[30, 28]] } },
    '[30, 28] is not a multiple of the tile',
  ],
  [
    'next',
    { 'preprocessor_config.json': { image_grid_pinpoints: [] } },
    'preprocessor_config.json: image_grid_pinpoints',
  ],
  ['next', { 'preprocessor_config.json': { image_grid_pinpoints: [[28, 99999]] } }, 'image_grid_pinpoints.0.1'],
  [
    'next',
    { 'preprocessor_config.json': { crop_size: { height: 28, width: 14 } } },
    'tiles of 28x14 pixels are not supported',
  ],
  [
    'next',
    { 'preprocessor_config.json': { do_resize: false, do_center_crop: false, size: 30 } },
    'the whole image becomes 30x30 pixels, its tiles 28x28',
  ],
  [
    'next',
    { 'preprocessor_config.json': { crop_size: 1, size: 16384, do_center_crop: false } },
    '[28, 56] is too large',
  ],
  ['onevision', { 'config.json': { vision_aspect_ratio: 'anyres' } }, 'vision_aspect_ratio: expected "anyres_max_"'],
  ['onevision', { 'config.json': { video_token_index: 3 } }, '<video> is token 408, config.json says 3'],
  ['onevision', { 'config.json': { image_token_index: -200 } }, 'image_token_index'],
  [
    'onevision',
    { 'video_preprocessor_config.json': { do_center_crop: true } },
    'video_preprocessor_config.json: do_center_crop without',
  ],
  [
    'qwen',
    { 'preprocessor_config.json': { size: { height: 3, width: 3 } } },
    'size: expected {"shortest_edge": pixels',
  ],
  ['qwen', { 'preprocessor_config.json': { max_pixels: 1e9 } }, 'preprocessor_config.json: max_pixels'],
  ['qwen', { 'preprocessor_config.json': { patch_size: 0, merge_size: 1.5 } }, 'patch_size'],
  ['qwen', { 'video_preprocessor_config.json': { fps: -1 } }, 'video_preprocessor_config.json: fps'],
])('%s %j is refused', async (name, changes, message) => {
  await expect(load(name, changes)).rejects.toThrow(message);
});

describe('hostile pictures', () => {
  test('Qwen2-VL: too narrow, not made of blocks, too many frames', async () => {
    const prompt = '<|image_pad|>';
    const processor = await load('qwen');
    expect(() => processor.prepare({ prompt, images: [picture(201, 1)] })).toThrow(
      'sides may differ 200 times at most',
    );
    const unsized = await load('qwen', { 'preprocessor_config.json': { do_resize: false } });
    expect(() => unsized.prepare({ prompt, images: [picture(16, 12)] })).toThrow('not made of blocks of 8x8');
    const huge = { width: 8192, height: 8192, data: new Uint8Array() };
    expect(() => unsized.prepare({ prompt, images: [huge] })).toThrow('2 frames of 8192x8192 pixels are too many');
  });

  test('more tokens than can be written out', async () => {
    const vision_config = { model_type: 'clip_vision_model', image_size: 1100, patch_size: 1 };
    const processor = await load('llava', {
      'config.json': { vision_config },
      'preprocessor_config.json': { size: 1100, crop_size: 1100 },
    });
    expect(() => processor.prepare({ prompt: '<image>', images: [picture(28, 28)] })).toThrow(
      'the pictures of the prompt take more than 1048576 tokens',
    );
  });

  test('LLaVA-NeXT: a needle', async () => {
    const processor = await load('next', {
      'preprocessor_config.json': { image_grid_pinpoints: [[28, 28]] },
      'config.json': { image_grid_pinpoints: [[28, 28]] },
    });
    const { visuals } = processor.prepare({ prompt: '<image>', images: [picture(1, 20000)] });
    expect(visuals[0].shape).toEqual([2, 3, 28, 28]);
  });
});

describe('settings of Qwen2-VL', () => {
  const gridOf = async (changes: Changes, size: [number, number] = [100, 60], prompt = '<|image_pad|>') =>
    (await load('qwen', changes)).prepare({ prompt, images: [picture(...size)] }).visuals[0].grid;
  const grids = async (frameCount: number, changes: Changes) =>
    (await load('qwen', changes)).prepare({ prompt: '<|video_pad|>', videos: [{ frames: frames(64, 32, frameCount) }] })
      .visuals[0].grid;

  test('pixel bounds in every form that HF takes', async () => {
    const bounds = { 'preprocessor_config.json': { size: undefined, min_pixels: 64, max_pixels: 640 } };
    const sized = { 'preprocessor_config.json': { size: { shortest_edge: 64, longest_edge: 640 } } };
    const both = {
      'preprocessor_config.json': { size: { min_pixels: 1, max_pixels: 2 }, min_pixels: 64, max_pixels: 640 },
    };
    expect(await gridOf(bounds)).toEqual([1, 4, 8]);
    expect(await gridOf(sized)).toEqual([1, 4, 8]);
    expect(await gridOf(both)).toEqual([1, 4, 8]);
    expect(await gridOf({})).toEqual([1, 8, 14]);
  });

  test('videos take the image settings where they have none, and a bound on all their pixels', async () => {
    expect(await grids(3, {})).toEqual([2, 4, 10]);
    expect(await grids(3, { 'video_preprocessor_config.json': undefined })).toEqual([2, 8, 16]);
    const nested = {
      image_processor: JSON.parse(folders.qwen['preprocessor_config.json']),
      video_processor: { size: { shortest_edge: 64, longest_edge: 256 }, patch_size: 4 },
    };
    expect(await grids(3, { 'processor_config.json': nested })).toEqual([2, 2, 4]);
    const capped = { cap_pixels_per_frame: true, max_video_tokens: 20 };
    // as HF says
    expect(await grids(3, { 'video_preprocessor_config.json': capped })).toEqual([2, 4, 8]);
    expect(await grids(8, { 'video_preprocessor_config.json': capped })).toEqual([4, 2, 6]);
  });
});
