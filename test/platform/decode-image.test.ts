import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeImage } from '#platform';
import { fixturePath, readJsonFixture, readTensors } from '../fixtures.ts';

interface Picture {
  width: number;
  height: number;
  sha256: string;
}
const { pictures } = readJsonFixture<{ pictures: Record<string, Picture> }>('processor/expected.json');
const read = (name: string) => new Uint8Array(readFileSync(fixturePath(name)));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('pixels are those of transformers load_image', () => {
  test.each(Object.entries(pictures))('%s', async (file, { width, height, sha256: expected }) => {
    const image = await decodeImage(read(`processor/${file}`), file);
    expect([image.width, image.height]).toEqual([width, height]);
    expect(sha256(image.data)).toBe(expected);
  });

  const decoded = [...readTensors('images/expected.safetensors')].filter(([name]) => name.startsWith('decoded/'));
  test.each(decoded)('%s', async (name, { data, shape }) => {
    const file = name.replace('decoded/', '');
    const image = await decodeImage(read(`images/${file}`), file);
    expect([image.height, image.width, 3]).toEqual(shape);
    expect(Array.from(image.data)).toEqual(Array.from(data));
  });
});

describe('refuses', () => {
  const photo = read('images/photo.jpg');
  const scene = read('images/scene.png');

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
    ['TIFF', Uint8Array.of(0x49, 0x49, 42, 0, 8, 0, 0, 0)],
  ])('%s', async (_, bytes) => {
    await expect(decodeImage(bytes, 'x.bin')).rejects.toThrow('x.bin: not a PNG, JPEG, WebP or GIF image');
  });

  test.each(['images/photo.jpg', 'images/scene.png', 'images/lossless.webp', 'processor/adam7-2-8.png'])(
    '%s cut short anywhere',
    async (file) => {
      const bytes = read(file);
      for (let cut = 1; cut < bytes.length; cut += Math.ceil(bytes.length / 40))
        await expect(decodeImage(bytes.slice(0, -cut), 'cut'), `${cut} bytes less`).rejects.toThrow(/^cut: /);
    },
  );

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
