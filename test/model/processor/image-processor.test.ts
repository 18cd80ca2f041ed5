import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeImage } from '#platform';
import { parseImageProcessor, processImage } from '../../../src/model/processor/image-processor.ts';
import { fixturePath, readJsonFixture, readTensors } from '../../fixtures.ts';

const { configs } = readJsonFixture<{ configs: Record<string, object> }>('images/expected.json');
const tensors = readTensors('images/expected.safetensors');
const decode = async (file: string) => decodeImage(new Uint8Array(readFileSync(fixturePath(`images/${file}`))), file);

test.each(Object.entries(configs))('%s: pixels equal HF, bit for bit', async (name, config) => {
  const raw = parseImageProcessor({ json: { ...config, do_rescale: false, do_normalize: false }, file: name });
  let compared = 0;
  for (const [key, { data, shape }] of tensors) {
    const [from, file, rest] = key.split('/');
    if (from !== name || rest) continue;
    const { pixels, shape: shapeOfOne } = processImage(await decode(file), raw);
    expect(shapeOfOne, key).toEqual([1, ...shape]);
    expect(Array.from(pixels), key).toEqual(Array.from(data));
    compared++;
  }
  expect(compared).toBeGreaterThanOrEqual(8);
});

test.each(['clip-32', 'pad'])('%s: rescaled and normalised values equal HF', async (name) => {
  const { data, shape } = tensors.get(`${name}/scene.png/pixel_values`)!;
  const { pixels, shape: shapeOfOne } = processImage(
    await decode('scene.png'),
    parseImageProcessor({ json: configs[name], file: name }),
  );
  expect(shapeOfOne).toEqual([1, ...shape]);
  expect(pixels).toEqual(data);
});

test('sizes may be given in every form that HF takes', () => {
  const config = (settings: object) => parseImageProcessor({ json: settings, file: 'p.json' });
  expect(config({}).resize).toEqual({ shortestEdge: 224 });
  expect(config({ size: 30 }).resize).toEqual({ shortestEdge: 30 });
  expect(config({ size: { shortest_edge: 30 } }).resize).toEqual({ shortestEdge: 30 });
  expect(config({ size: { shortest_edge: 30, longest_edge: 40 } }).resize).toEqual({
    shortestEdge: 30,
    longestEdge: 40,
  });
  expect(config({ size: { max_height: 30, max_width: 40 } }).resize).toEqual({ maxHeight: 30, maxWidth: 40 });
  expect(config({ size: [30, 40] }).resize).toEqual({ height: 30, width: 40 });
  expect(config({ size: { width: 40, height: 30 } }).resize).toEqual({ height: 30, width: 40 });
  expect(config({}).crop).toEqual({ height: 224, width: 224 });
  expect(config({ crop_size: 30 }).crop).toEqual({ height: 30, width: 30 });
  expect(config({ do_resize: false, do_center_crop: false })).toMatchObject({ resize: undefined, crop: undefined });
  expect(config({ resample: null, image_mean: 0.5 })).toMatchObject({
    filter: 'bicubic',
    normalize: { mean: [0.5, 0.5, 0.5] },
  });
});

test('a step whose flag is null is left out, as in HF', () => {
  const json = { do_resize: null, do_center_crop: null, do_rescale: null, do_normalize: null };
  const { resize, crop, rescaleFactor, normalize } = parseImageProcessor({ json, file: 'p.json' });
  expect([resize, crop, rescaleFactor, normalize]).toEqual([undefined, undefined, undefined, undefined]);
});

test.each([
  [
    { image_processor_type: 'ViTImageProcessor' },
    'p.json: image_processor_type "ViTImageProcessor" is not supported; supported: CLIPImageProcessor, LlavaImageProcessor',
  ],
  [{ size: { longest_edge: 3 } }, 'p.json: size: supported: {"shortest_edge": n}, with or without "longest_edge"'],
  [{ size: { max_height: 3 } }, 'p.json: size: supported: {"shortest_edge": n}'],
  [{ size: 1e6 }, 'with sides from 1 to 16384'],
  [{ crop_size: { shortest_edge: 3 } }, 'p.json: crop_size: supported: {"height": n, "width": n}'],
  [{ resample: 6 }, 'p.json: resample'],
  [{ do_pad: true }, 'do_pad is supported with LlavaImageProcessor only'],
  [{ image_processor_type: 'SiglipImageProcessor', do_center_crop: true }, 'p.json: do_center_crop without crop_size'],
  [{ image_std: [0.5, 0, 0.5] }, 'image_std: 0 cannot be divided by'],
  [{ image_mean: [0.5, 0.5] }, 'image_mean: expected three numbers, or one'],
  [{ data_format: 'channels_last' }, 'data_format "channels_last" is not supported'],
  [{ do_resize: 'yes', rescale_factor: 'x' }, /do_resize: .*; rescale_factor: /],
  [[], 'p.json: the file'],
  [null, 'p.json: the file'],
])('%j is refused', (settings, message) => {
  expect(() => parseImageProcessor({ json: settings, file: 'p.json' })).toThrow(message);
});

test('an image that resizing would blow up is refused', () => {
  const needle = { width: 1, height: 20000, data: new Uint8Array(60000) };
  const config = parseImageProcessor({ json: { size: 336, do_center_crop: false }, file: 'p.json' });
  expect(() => processImage(needle, config)).toThrow('an image of 1x20000 would be resized to 336x6720000');
  const padding = parseImageProcessor({
    json: { image_processor_type: 'LlavaImageProcessor', do_pad: true },
    file: 'p.json',
  });
  expect(() => processImage(needle, padding)).toThrow('1x20000 is too large to be padded to a square');
  // 144 megapixels as a square, which is not made as a whole
  const panorama = { width: 12000, height: 20, data: new Uint8Array(720000).fill(9) };
  expect(processImage(panorama, padding).shape).toEqual([1, 3, 224, 224]);
});

test('of an image that resizing would blow up, a centre crop takes its part', () => {
  const needle = { width: 1, height: 20000, data: new Uint8Array(60000).fill(9) };
  const { pixels } = processImage(
    needle,
    parseImageProcessor({
      json: { size: 336, crop_size: 336, do_rescale: false, do_normalize: false },
      file: 'p.json',
    }),
  );
  expect(pixels).toHaveLength(3 * 336 ** 2);
  expect(pixels.every((value) => value === 9)).toBe(true);
});

test('an image_mean that is no colour pads nothing', () => {
  const json = { image_processor_type: 'LlavaImageProcessor', do_pad: true, image_mean: [0.5, 1.2, 0.5] };
  const config = parseImageProcessor({ json, file: 'p.json' });
  const image = (width: number) => ({ width, height: 2, data: new Uint8Array(width * 6) });
  expect(() => processImage(image(3), config)).toThrow(
    'an image of 3x2 cannot be padded to a square: image_mean times 255 is [127,306,127], which is no colour',
  );
  expect(processImage(image(2), config).shape).toEqual([1, 3, 224, 224]);
});
