import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { decodeImage, readFileBytes } from '#platform';
import { fixturePath, readJsonFixture } from '../fixtures.ts';

const folder = process.env.HEADLIGHT_OUTSIDE ?? fixturePath('outside');
const read = (file: string) => new Uint8Array(readFileSync(join(folder, file)));
type Expected = Record<string, [width: number, height: number, sha256: string]>;
const expected: Expected = process.env.HEADLIGHT_OUTSIDE
  ? JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8'))
  : readJsonFixture<Expected>('outside/expected.json');

test.each(Object.entries(expected))("%s has Pillow's pixels", async (file, [width, height, sha256]) => {
  const image = await decodeImage(read(file), file);
  expect([image.width, image.height]).toEqual([width, height]);
  expect(createHash('sha256').update(image.data).digest('hex')).toBe(sha256);
});

test.each([
  ['jpegbomb20000.jpg', 'two frame headers'],
  ['gifbomb20000.gif', 'pixels are more than the 67108864 allowed'],
])('%s is refused before it is decoded', async (file, message) => {
  await expect(decodeImage(new Uint8Array(readFileSync(fixturePath(`outside/${file}`))), file)).rejects.toThrow(
    message,
  );
});

test.skipIf(process.env.HEADLIGHT_OUTSIDE)('a file cut short anywhere ends in a picture or in one line', async () => {
  for (const file of [
    'made-1.gif',
    'made-3.gif',
    'P.bmp',
    'CMYK.tiff',
    'moving.webp',
    'both-6.jpeg',
    'raw-ztxt-6.png',
  ]) {
    const bytes = read(file);
    for (let length = 0; length < bytes.length; length += 1 + (bytes.length >> 7)) {
      const end = await decodeImage(bytes.subarray(0, length), 'x').catch((e: Error) => e.message);
      if (typeof end === 'string') expect(end, `${file}, ${length} bytes`).toMatch(/^x: [^\n]+$/);
    }
  }
});

test('HEIC, a video and a BMP that is compressed are refused by name', async () => {
  const ftyp = (brand: string) => new TextEncoder().encode(`\0\0\0\x18ftyp${brand}\0\0\0\0${brand}mp41`);
  await expect(decodeImage(ftyp('heic'), 'a.heic')).rejects.toThrow(
    'a.heic: HEIC is not decoded here; convert it to JPEG',
  );
  await expect(decodeImage(ftyp('isom'), 'a.mp4')).rejects.toThrow("a.mp4: a file of the kind 'isom', not a picture");
  const bmp = new Uint8Array(readFileSync(fixturePath('outside/P.bmp')));
  bmp[30] = 1;
  await expect(decodeImage(bmp, 'a.bmp')).rejects.toThrow('a.bmp: a compressed BMP (kind 1); convert it to PNG');
});

test('a picture in every form gives the same pixels', async () => {
  const path = fixturePath('outside/RGB.bmp');
  const bytes = new Uint8Array(readFileSync(path));
  const pixels = await decodeImage(bytes);
  const rgba = { ...pixels, data: new Uint8ClampedArray(pixels.width * pixels.height * 4) };
  for (let i = 0; i < pixels.data.length; i++) rgba.data[Math.floor(i / 3) * 4 + (i % 3)] = pixels.data[i];
  const forms = [
    Buffer.from(bytes),
    bytes.buffer,
    new DataView(bytes.buffer),
    new Blob([bytes]),
    new File([bytes], 'x.bmp'),
    path,
    pathToFileURL(path),
    pathToFileURL(path).href,
    `data:image/bmp;base64,${Buffer.from(bytes).toString('base64')}`,
    pixels,
    rgba,
  ];
  for (const form of forms) expect(await decodeImage(form)).toEqual(pixels);
  await expect(decodeImage(7 as never)).rejects.toThrow('image: number is no image; give its file');
  await expect(decodeImage({ width: 2, height: 2, data: new Uint8Array(5) })).rejects.toThrow('2x2 with 5 bytes');
  await expect(decodeImage('none.png')).rejects.toThrow('none.png: there is no such file');
});

test.skipIf(process.platform === 'win32')('a named pipe, a device and a folder are no pictures', async () => {
  const made = mkdtempSync(join(tmpdir(), 'headlight-test-'));
  try {
    const pipe = join(made, 'pipe.png');
    execFileSync('sh', ['-c', 'exec mkfifo "$0"', pipe]);
    for (const file of [pipe, '/dev/zero']) {
      await expect(decodeImage(file)).rejects.toThrow(`${file}: it is a pipe, socket or device, not a file`);
      await expect(readFileBytes(file)).rejects.toThrow('it is a pipe, socket or device');
    }
    await expect(decodeImage(made)).rejects.toThrow('it is a folder, not a file');
  } finally {
    rmSync(made, { recursive: true });
  }
});
