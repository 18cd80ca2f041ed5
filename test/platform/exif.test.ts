import { expect, test } from 'vitest';
import { orient, orientationOf } from '../../src/platform/exif.ts';

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

const of = (exif: Uint8Array | undefined, xmp?: string) =>
  orientationOf({ exif, xmp: xmp === undefined ? undefined : new TextEncoder().encode(xmp) });

test.each([true, false])('finds the orientation among other entries, little-endian: %s', (littleEndian) => {
  const entries = [
    [0x0100, 3, 1, 7],
    [0x0112, 3, 1, 6],
  ];
  expect(of(tiff(entries, littleEndian))).toBe(6);
});

test.each([
  ['an unknown value', tiff([[0x0112, 3, 1, 9]]), 1],
  ['upright', tiff([[0x0112, 3, 1, 1]]), 1],
  ['a long', tiff([[0x0112, 4, 1, 6]]), 6],
  ['a byte, which PIL does not take', tiff([[0x0112, 1, 1, 6]]), 1],
  ['text', tiff([[0x0112, 2, 2, 0x36]]), 1],
  ['several values, of which the first counts', tiff([[0x0112, 3, 2, 6]]), 6],
  ['no TIFF', new Uint8Array(40), 1],
])('EXIF with %s, and XMP that it makes mute', (_, block, expected) => {
  expect(of(block, 'tiff:Orientation="3"')).toBe(expected);
});

test.each([
  ['<x tiff:Orientation="6"/>', 6],
  ['<tiff:Orientation>8</tiff:Orientation>', 8],
  ["<x tiff:Orientation='6'/>", 1],
  ['<x tiff:Orientation="0"/>', 1],
  ['<x tiff:Orientation="9"/> tiff:Orientation="6"', 1],
  ['', 1],
])('XMP %s', (xmp, expected) => {
  expect(of(undefined, xmp)).toBe(expected);
  expect(of(tiff([[0x0100, 3, 1, 7]]), xmp)).toBe(expected);
});

test('a block cut short is no orientation', () => {
  const whole = tiff([[0x0112, 3, 1, 6]]);
  for (let length = 0; length < 22; length++) expect(of(whole.slice(0, length)), `${length}`).toBe(1);
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
