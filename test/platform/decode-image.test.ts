import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeImage, imageSize } from '#platform';
import { fixturePath, readJsonFixture, readTensors } from '../fixtures.ts';

interface Picture {
  width: number;
  height: number;
  sha256: string;
}
const { pictures } = readJsonFixture<{ pictures: Record<string, Picture> }>('processor/expected.json');
const read = (name: string) => new Uint8Array(readFileSync(fixturePath(name)));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** A chunk of a PNG with its checksum. */
function chunk(type: string, body: ArrayLike<number>): Buffer {
  const out = Buffer.alloc(12 + body.length);
  out.writeUInt32BE(body.length, 0);
  out.write(type, 4, 'latin1');
  out.set(Array.from(body), 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + body.length)), 8 + body.length);
  return out;
}
const png = (...chunks: Buffer[]) =>
  new Uint8Array(Buffer.concat([read('images/scene.png').subarray(0, 8), ...chunks]));

describe('pixels are those of transformers load_image', () => {
  test.each(Object.entries(pictures))('%s', async (file, { width, height, sha256: expected }) => {
    const image = await decodeImage(read(`processor/${file}`), file);
    expect([image.width, image.height]).toEqual([width, height]);
    expect(await imageSize(read(`processor/${file}`), file)).toEqual({ width, height });
    expect(sha256(image.data)).toBe(expected);
  });

  const decoded = [...readTensors('images/expected.safetensors')].filter(([name]) => name.startsWith('decoded/'));
  test.each(decoded)('%s', async (name, { data, shape }) => {
    const file = name.replace('decoded/', '');
    const image = await decodeImage(read(`images/${file}`), file);
    expect([image.height, image.width, 3]).toEqual(shape);
    expect(await imageSize(read(`images/${file}`))).toEqual({ width: image.width, height: image.height });
    expect(Array.from(image.data)).toEqual(Array.from(data));
  });
});

describe('refuses', () => {
  const photo = read('images/photo.jpg');
  const scene = read('images/scene.png');

  test('too many pixels, where only the size is asked for too', async () => {
    const header = scene.slice();
    new DataView(header.buffer).setUint32(16, 70000);
    await expect(imageSize(header, 'wide.png')).rejects.toThrow('wide.png: 70000x40 pixels; 65535 on a side');
    await expect(imageSize(photo.slice(0, -2), 'a.jpg')).rejects.toThrow('a.jpg: the image file is truncated');
    await expect(imageSize(new Uint8Array(9), 'x.bin')).rejects.toThrow('x.bin: not a PNG');
    expect(await imageSize({ width: 2, height: 1, data: new Uint8Array(6) })).toMatchObject({ width: 2, height: 1 });
  });

  test('too many pixels, before decoding', async () => {
    await expect(decodeImage(scene, 'scene.png', { maxPixels: 100 })).rejects.toThrow(
      'scene.png: 48x40 pixels are more than the 100 allowed',
    );
    const header = scene.slice();
    new DataView(header.buffer).setUint32(16, 70000);
    await expect(decodeImage(header, 'wide.png')).rejects.toThrow('wide.png: 70000x40 pixels; 65535 on a side');
    new DataView(header.buffer).setUint32(16, 0);
    await expect(decodeImage(header, 'flat.png')).rejects.toThrow('flat.png: the image has no pixels');
  });

  test.each([
    ['text', new TextEncoder().encode('no image at all, but long enough to be one')],
    ['nothing', new Uint8Array()],
  ])('%s', async (_, bytes) => {
    await expect(decodeImage(bytes, 'x.bin')).rejects.toThrow(
      'x.bin: not a PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF image',
    );
  });

  test('a Git LFS pointer', async () => {
    const pointer = new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n');
    await expect(decodeImage(pointer, 'x.png')).rejects.toThrow(
      'x.png: a Git LFS pointer, not the picture itself; fetch it with: git lfs pull',
    );
  });

  test.each(['images/photo.jpg', 'images/scene.png', 'images/lossless.webp', 'processor/adam7-2-8.png'])(
    '%s cut short anywhere',
    async (file) => {
      const bytes = read(file);
      for (let cut = 1; cut < bytes.length; cut += Math.ceil(bytes.length / 40))
        await expect(decodeImage(bytes.slice(0, -cut), 'cut'), `${cut} bytes less`).rejects.toThrow(/^cut: /);
    },
  );

  test('a JPEG without its end, which some decoders complete in grey', async () => {
    for (const cut of [1, 2, 3, 500])
      await expect(decodeImage(photo.slice(0, -cut), 'a.jpg')).rejects.toThrow('a.jpg: the image file is truncated');
  });

  test('a PNG whose data unpacks to too little, and not one that unpacks to too much', async () => {
    const black = (rows: number) =>
      png(
        chunk('IHDR', [0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0]),
        chunk('IDAT', deflateSync(Buffer.alloc(7 * rows))),
        chunk('IEND', []),
      );
    await expect(decodeImage(black(1), 'a.png')).rejects.toThrow('a.png: the image file is truncated');
    expect(await decodeImage(black(2), 'a.png')).toEqual({ width: 2, height: 2, data: new Uint8Array(12) });
    expect(await decodeImage(black(100000), 'a.png')).toEqual({ width: 2, height: 2, data: new Uint8Array(12) });
  });

  const header = (...settings: number[]) => chunk('IHDR', [0, 0, 0, 2, 0, 0, 0, 2, ...settings]);
  const data = (rows = [0, 1, 2]) => chunk('IDAT', deflateSync(Buffer.from([...rows, ...rows])));
  test.each([
    ['an impossible depth', [header(2, 2, 0, 0, 0)], 'colour type 2 with 2 bits'],
    ['an unknown colour type', [header(8, 5, 0, 0, 0)], 'colour type 5 with 8 bits'],
    ['an unknown compression', [header(8, 0, 1, 0, 0)], 'unknown compression, filter or interlace'],
    ['a second header', [header(8, 0, 0, 0, 0), header(8, 0, 0, 0, 0)], 'IHDR'],
    ['no palette', [header(8, 3, 0, 0, 0), data(), chunk('IEND', [])], 'it has no palette'],
    ['half a palette entry', [header(8, 3, 0, 0, 0), chunk('PLTE', [1, 2])], 'PLTE of 2 bytes'],
    [
      'an unknown filter',
      [header(8, 0, 0, 0, 0), data([5, 1, 2]), chunk('IEND', [])],
      'a row has the unknown filter 5',
    ],
    [
      'no zlib data',
      [header(8, 0, 0, 0, 0), chunk('IDAT', [1, 2, 3]), chunk('IEND', [])],
      'its compressed data is broken',
    ],
    ['a critical chunk nobody knows', [header(8, 0, 0, 0, 0), chunk('NEWS', [])], 'unknown critical chunk "NEWS"'],
  ])('a PNG with %s', async (_, chunks, message) => {
    await expect(decodeImage(png(...chunks), 'a.png')).rejects.toThrow(`a.png: damaged PNG, ${message}`);
  });

  test('other damaged files', async () => {
    const gif = read('processor/palette.gif');
    await expect(decodeImage(gif.slice(0, 13), 'a.gif')).rejects.toThrow('a.gif: the image file is truncated');
    await expect(decodeImage(gif.slice(0, 60), 'a.gif')).rejects.toThrow('a.gif: the image file is truncated');
    const blank = Uint8Array.from([...gif.slice(0, 10), 0, 0, 0, 0x3b, 0]);
    await expect(decodeImage(blank, 'a.gif')).rejects.toThrow('a.gif: damaged GIF, it has no picture');
    const frameless = Uint8Array.of(0xff, 0xd8, 0xff, 0xd9);
    await expect(decodeImage(frameless, 'a.jpg')).rejects.toThrow('a.jpg: damaged JPEG, it has no frame header');
    const larger = read('processor/alpha-lossy.webp');
    larger[24] += 1;
    await expect(decodeImage(larger, 'a.webp')).rejects.toThrow(/a\.webp: damaged WebP, \d+x\d+ pixels are announced/);
    const empty = Uint8Array.of(0x49, 0x49, 42, 0, 8, 0, 0, 0);
    await expect(decodeImage(empty, 'a.tif')).rejects.toThrow('a.tif: damaged TIFF, it does not say its size');
    const pictureless = read('images/lossless.webp');
    pictureless[12] = 'x'.charCodeAt(0);
    await expect(decodeImage(pictureless, 'a.webp')).rejects.toThrow('a.webp: damaged WebP, it has no picture');
  });

  test('a PNG with a wrong checksum, an unknown critical chunk, or a chunk out of order', async () => {
    const wrong = scene.slice();
    wrong[45] ^= 1;
    await expect(decodeImage(wrong, 'a.png')).rejects.toThrow(
      'a.png: damaged PNG, the checksum of "IDAT" does not match',
    );
    const swapped = scene.slice();
    swapped.set(new TextEncoder().encode('JUNK'), 12);
    await expect(decodeImage(swapped, 'a.png')).rejects.toThrow('a.png: damaged PNG, the checksum of "JUNK"');
  });

  test('a JPEG whose data is damaged inside is decoded or refused in one line, never more', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(photo.length - 1), fc.nat(255), async (at, byte) => {
        const bytes = photo.slice();
        bytes[at] = byte;
        const error = await decodeImage(bytes, 'photo.jpg').then(
          () => undefined,
          (e: Error) => e,
        );
        if (error) expect(error.message).toMatch(/^photo\.jpg: [^\n]+$/);
      }),
      { numRuns: 60, seed: 1 },
    );
  });

  test('a PNG damaged anywhere: the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(scene.length - 1), fc.nat(255), async (at, byte) => {
        const bytes = scene.slice();
        bytes[at] = byte;
        const error = await decodeImage(bytes, 'scene.png').then(
          () => undefined,
          (e: Error) => e,
        );
        if (error) expect(error.message).toMatch(/^scene\.png: [^\n]+$/);
      }),
      { numRuns: 100, seed: 1 },
    );
  });
});
