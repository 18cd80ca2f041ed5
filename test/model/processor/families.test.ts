import { describe, expect, test } from 'vitest';
import { openFolder } from '#platform';
import { parseConfig } from '../../../src/model/families/index.ts';
import type { ContentPart } from '../../../src/model/processor/chat-template.ts';
import { parseImageProcessor, processImage } from '../../../src/model/processor/image-processor.ts';
import { parsePatching, smartSize } from '../../../src/model/processor/patches.ts';
import type { Processor } from '../../../src/model/processor/processor.ts';
import { sampleFrames, uniformFrames } from '../../../src/model/processor/sample-frames.ts';
import { ProcessorFiles } from '../../../src/model/processor/visual-processor.ts';
import { fixturePath, loadProcessor, readJsonFixture, readTensors } from '../../fixtures.ts';
import { memoryFolder, textFiles } from './memory-folder.ts';
import { frames, picture } from './pictures.ts';

interface Found {
  prompts: Record<string, { content: ContentPart[]; prompt: string; ids: number[] }>;
  counts: [width: number, height: number, tokens: number][];
  grids: Record<string, number[]>;
  videos: Record<string, [width: number, height: number, frames: number]>;
  videoGrids: Record<string, number[]>;
}
interface Report extends Record<'llava-next' | 'llava-onevision' | 'qwen2-vl', Found> {
  sizes: Record<string, [width: number, height: number]>;
  images: string[];
  video: [size: string, frames: number];
  siglip: object;
}

const report = readJsonFixture<Report>('processor-families/expected.json');
const names = ['llava-next', 'llava-onevision', 'qwen2-vl'] as const;
const folderOf = (name: string) => openFolder(fixturePath(`processor-families/${name}`));
const pictureOf = (size: string) => picture(...report.sizes[size]);
const placeholder = (processor: Processor, kind: 'image' | 'video') => processor[kind]!.text;

/** A family's pixels before rescaling and normalising. */
async function rawVisuals(name: string) {
  const files = textFiles(`processor-families/${name}`);
  const off = { do_rescale: false, do_normalize: false };
  for (const file of ['preprocessor_config.json', 'video_preprocessor_config.json'])
    if (files[file]) files[file] = JSON.stringify({ ...JSON.parse(files[file]), ...off });
  const { vision } = parseConfig(JSON.parse(files['config.json']));
  return vision!.processing.load(await ProcessorFiles.read(memoryFolder(files)));
}

describe.each(names)('%s equals HF', (name) => {
  const found = report[name];
  const tensors = readTensors(`processor-families/${name}/expected.safetensors`);

  test.each(Object.keys(report.sizes))('pixels of the %s image, bit for bit', async (size) => {
    const visual = (await rawVisuals(name)).image(pictureOf(size), 1);
    const expected = tensors.get(`image/${size}/raw`)!;
    expect(visual.shape).toEqual(expected.shape);
    expect(Array.from(visual.pixels)).toEqual(Array.from(expected.data));
    if (found.grids[size]) expect(visual.grid).toEqual(found.grids[size]);
    else expect(visual.size).toEqual({ width: report.sizes[size][0], height: report.sizes[size][1] });
  });

  test('normalised pixels', async () => {
    const processor = await loadProcessor(await folderOf(name));
    const { visuals } = processor.prepare({ prompt: placeholder(processor, 'image'), images: [pictureOf('tall')] });
    expect(visuals[0].pixels).toEqual(tensors.get('image/tall/pixels')!.data);
  });

  test.each(Object.entries(found.prompts))('%s prompt: text and token ids', async (_, { content, prompt, ids }) => {
    const processor = await loadProcessor(await folderOf(name));
    expect(processor.chat(content)).toBe(prompt);
    const count = (type: string) => content.filter((part) => part.type === type).length;
    const images = report.images.slice(0, count('image')).map(pictureOf);
    const [size, n] = report.video;
    const videos = count('video') ? [{ frames: frames(...report.sizes[size], n) }] : [];
    const input = processor.prepare({ prompt, images, videos });
    expect(Array.from(input.inputIds)).toEqual(ids);
    const kinds = input.visuals.map((visual) => visual.kind);
    const inPrompt = [...prompt.matchAll(/<(?:\|)?(image|video)/g)].map(([, kind]) => kind);
    expect(kinds).toEqual(inPrompt);
  });

  test('as many tokens, for images of many sizes', async () => {
    const processor = await loadProcessor(await folderOf(name));
    const prompt = placeholder(processor, 'image');
    const counted = found.counts.map(([width, height]) => {
      const { visuals } = processor.prepare({ prompt, images: [picture(width, height)] });
      return [width, height, processor.tokens(visuals[0])];
    });
    expect(counted).toEqual(found.counts);
    expect(new Set(found.counts.map(([, , tokens]) => tokens)).size).toBeGreaterThan(10);
  });
});

test('SiglipImageProcessor', () => {
  const tensors = readTensors('processor-families/siglip.safetensors');
  const config = parseImageProcessor({ json: report.siglip, file: 'siglip' });
  const raw = { ...config, rescaleFactor: undefined, normalize: undefined };
  for (const size of ['wide', 'tiny', 'large']) {
    expect(Array.from(processImage(pictureOf(size), raw).pixels)).toEqual([...tensors.get(`${size}/raw`)!.data]);
    expect(processImage(pictureOf(size), config).pixels).toEqual(tensors.get(`${size}/pixels`)!.data);
  }
});

test('OneVision pads each of several images to a square', async () => {
  const expected = readTensors('processor-families/llava-onevision/expected.safetensors').get('pair/raw')!;
  const visuals = await rawVisuals('llava-onevision');
  const crops = report.images.map((size) => visuals.image(pictureOf(size), 2));
  expect(crops.flatMap(({ pixels }) => [...pixels])).toEqual([...expected.data]);
  expect(crops.map(({ shape }) => shape)).toEqual([
    [1, 3, 28, 28],
    [1, 3, 28, 28],
  ]);
});

describe.each(['llava-onevision', 'qwen2-vl'] as const)('videos of %s', (name) => {
  const found = report[name];
  const tensors = readTensors(`processor-families/${name}/expected.safetensors`);
  const pixelsOf = async (video: string) => {
    const processor = await loadProcessor(await folderOf(name));
    const prompt = placeholder(processor, 'video');
    const { visuals } = processor.prepare({ prompt, videos: [{ frames: frames(...found.videos[video]) }] });
    return visuals[0];
  };

  test('frames that need no resizing equal HF, bit for bit', async () => {
    const { kind, pixels, shape, grid } = await pixelsOf('fitting');
    const expected = tensors.get('video/fitting/hf')!;
    expect(kind).toBe('video');
    expect(shape).toEqual(expected.shape);
    expect(pixels).toEqual(expected.data);
    if (name === 'qwen2-vl') expect(grid).toEqual(found.videoGrids.fitting);
  });

  test('resized frames equal HF with Pillow as its resize, bit for bit', async () => {
    const { pixels, shape } = await pixelsOf('resized');
    const expected = tensors.get('video/resized/pillow')!;
    expect(shape).toEqual(expected.shape);
    expect(pixels).toEqual(expected.data);
  });

  // HF's video processors resize tensors with torch, whose fixed point is coarser than Pillow's: off by one level of 255
  // at most, measured at 0.2 % (OneVision) and 0.4 % (Qwen2-VL) of these pixels.
  test('resized frames equal HF within a level', async () => {
    const { pixels } = await pixelsOf('resized');
    const expected = tensors.get('video/resized/hf')!.data;
    const level = 1 / 255 / 0.25; // the smallest standard deviation of the settings
    const off = pixels.map((value, i) => Math.abs(value - expected[i]));
    expect(Math.max(...off)).toBeLessThan(1.01 * level);
    expect(off.filter((d) => d > 1e-5).length).toBeLessThan(0.005 * off.length);
  });
});

test('only cap_pixels_per_frame makes max_video_tokens a bound, and only on videos', () => {
  const bound = (json: object, kind: 'image' | 'video') => parsePatching({ json, file: 'x' }, kind).maxVideoTokens;
  expect(bound({ max_video_tokens: 10 }, 'video')).toBeUndefined();
  expect(bound({ max_video_tokens: 10, cap_pixels_per_frame: true }, 'video')).toBe(10);
  expect(bound({ cap_pixels_per_frame: true }, 'video')).toBe(128_000);
  expect(bound({ max_video_tokens: 10, cap_pixels_per_frame: true }, 'image')).toBeUndefined();
});

test('Qwen2-VL takes two frames a second where the checkpoint does not say', async () => {
  const files = textFiles('processor-families/qwen2-vl');
  const sample = async (fps?: number) => {
    const settings = {
      ...JSON.parse(files['video_preprocessor_config.json'] ?? files['preprocessor_config.json']),
      fps,
    };
    const changed = { ...files, 'video_preprocessor_config.json': JSON.stringify(settings) };
    return (await loadProcessor(memoryFolder(changed))).sampleFrames({ totalFrames: 100, fps: 25 });
  };
  expect(await sample()).toHaveLength(8);
  expect(await sample(5)).toHaveLength(20);
});

test('num_frames of the settings of videos is how many frames are taken, at equal distances', async () => {
  const frames = async (name: string, settings: object, totalFrames = 100) => {
    const files = textFiles(`processor-families/${name}`);
    const video = JSON.parse(files['video_preprocessor_config.json'] ?? files['preprocessor_config.json']);
    const changed = { ...files, 'video_preprocessor_config.json': JSON.stringify({ ...video, ...settings }) };
    return (await loadProcessor(memoryFolder(changed))).sampleFrames({ totalFrames, fps: 25 });
  };
  expect(await frames('llava-onevision', {})).toHaveLength(16);
  expect(await frames('llava-onevision', { num_frames: 3, fps: 5 })).toEqual([0, 33, 66]);
  expect(await frames('llava-onevision', { fps: 1 })).toEqual([0, 25, 50, 75]);
  await expect(frames('llava-onevision', { num_frames: 3 }, 2)).rejects.toThrow('num_frames of the video processor');
  expect(await frames('qwen2-vl', { num_frames: 4, fps: null })).toEqual([0, 25, 50, 75]);
  await expect(frames('qwen2-vl', { num_frames: 6, fps: null }, 5)).rejects.toThrow('num_frames asks for 6');
  await expect(frames('qwen2-vl', { num_frames: 4, fps: 1 })).rejects.toThrow('fps and num_frames exclude each other');
});

test('a video of no rate is refused', async () => {
  const processor = await loadProcessor(await folderOf('qwen2-vl'));
  for (const fps of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => processor.sampleFrames({ totalFrames: 10, fps })).toThrow('frames a second: fps is to be above 0');
});

test('Qwen2.5-VL knows how far its temporal patches are apart', async () => {
  const files = textFiles('processor-families/qwen2-vl');
  const { secondsPerPatch } = report['qwen2-vl'] as unknown as { secondsPerPatch: { fps: number; seconds: number[] } };
  const { embed_dim, ...vision_config } = JSON.parse(files['config.json']).vision_config;
  files['config.json'] = JSON.stringify({
    ...JSON.parse(files['config.json']),
    model_type: 'qwen2_5_vl',
    vision_config: { ...vision_config, hidden_size: embed_dim ?? 1280 },
  });
  const processor = await loadProcessor(memoryFolder(files));
  const run = (fps?: number) =>
    processor.prepare({ prompt: '<|video_pad|>', videos: [{ frames: frames(32, 16, 4), fps }] }).visuals[0];
  expect(run(secondsPerPatch.fps).secondsPerPatch).toBe(secondsPerPatch.seconds[0]);
  expect(run().secondsPerPatch).toBe(2 / 24);
  expect(run().grid).toEqual([2, 4, 8]);
});

describe('sizes and frames', () => {
  const { smartSizes, samples, uniform } = report['qwen2-vl'] as unknown as {
    smartSizes: number[][];
    samples: number[][];
    uniform: [total: number, n: number, at: number[]][];
  };

  test('smart_resize', () => {
    expect(smartSizes.length).toBeGreaterThan(150);
    for (const [height, width, least, most, ...expected] of smartSizes) {
      const size = smartSize({ height, width }, 28, least, most);
      expect([size.height, size.width], `${height}x${width} ${least} ${most}`).toEqual(expected);
    }
  });

  test('sample_frames', () => {
    for (const [totalFrames, fps, wanted, n, ...sums] of samples) {
      const run = () =>
        sampleFrames({ totalFrames, fps }, { rate: { fps: wanted }, minFrames: 4, maxFrames: 768, temporalPatch: 2 });
      if (n < 0) {
        expect(run).toThrow(`a video of ${totalFrames} frames`);
        continue;
      }
      const at = run();
      const sum = (f: (i: number) => number) => at.reduce((total, i) => total + f(i), 0);
      const label = `${wanted} frames a second of ${totalFrames} at ${fps}`;
      expect([at.length, sum((i) => i), sum((i) => i * i)], label).toEqual([n, ...sums]);
    }
  });

  test('linspace', () => {
    for (const [totalFrames, n, at] of uniform) expect(uniformFrames({ totalFrames, fps: 1 }, n)).toEqual(at);
  });
});
