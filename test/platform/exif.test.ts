import { expect, test } from 'vitest';
import { exifOrientation, orient } from '../../src/platform/exif.ts';

/** A TIFF block with one directory of entries [tag, type, count, value]. */
function tiff(entries: number[][], littleEndian = true): Uint8Array {
  const bytes = new Uint8Array(14 + 12 * entries.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, littleEndian ? 0x4949 : 0x4d4d);
  view.setUint16(2, 42, littleEndian);
  view.setUint32(4, 8, littleEndian);
  view.setUint16(8, entries.length, littleEndian);
  for (const [i, [tag, type, count, value]] of entries.entries()) {
    view.setUint16(10 + 12 * i, tag, littleEndian);
    view.setUint16(12 + 12 * i, type, littleEndian);
    view.setUint32(14 + 12 * i, count, littleEndian);
    view.setUint16(18 + 12 * i, value, littleEndian);
  }
  return bytes;
}

test.each([true, false])('finds the orientation among other entries, little-endian: %s', (littleEndian) => {
  const entries = [
    [0x0100, 3, 1, 7],
    [0x0112, 3, 1, 6],
  ];
  expect(exifOrientation(tiff(entries, littleEndian))).toEqual({ value: 6, offset: 30, littleEndian });
});

test.each([
  ['an unknown value', tiff([[0x0112, 3, 1, 9]])],
  ['upright', tiff([[0x0112, 3, 1, 1]])],
  ['another type', tiff([[0x0112, 4, 1, 6]])],
  ['several values', tiff([[0x0112, 3, 2, 6]])],
  ['no entry', tiff([])],
  ['no TIFF', new Uint8Array(40)],
  ['nothing', new Uint8Array()],
])('%s is no orientation', (_, block) => {
  expect(exifOrientation(block)).toBeUndefined();
});

test('a block cut short is no orientation', () => {
  const whole = tiff([[0x0112, 3, 1, 6]]);
  for (let length = 0; length < 22; length++)
    expect(exifOrientation(whole.slice(0, length)), `${length}`).toBeUndefined();
});

test('every orientation puts the stored corner where EXIF says', () => {
  // Two pixels wide, three high; the number of each pixel in its red channel.
  const data = Uint8Array.from({ length: 18 }, (_, i) => (i % 3 === 0 ? i / 3 : 0));
  const turned = (orientation: number) => {
    const image = orient({ width: 2, height: 3, data }, orientation);
    const red = Array.from(image.data.filter((_, i) => i % 3 === 0));
    return [image.width, image.height, red.join('')];
  };
  expect([1, 2, 3, 4, 5, 6, 7, 8].map(turned)).toEqual([
    [2, 3, '012345'],
    [2, 3, '103254'],
    [2, 3, '543210'],
    [2, 3, '452301'],
    [3, 2, '024135'],
    [3, 2, '420531'],
    [3, 2, '531420'],
    [3, 2, '135024'],
  ]);
});
