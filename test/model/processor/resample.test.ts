import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { filterNames, resample } from '../../../src/model/processor/resample.ts';
import { readJsonFixture } from '../../fixtures.ts';

interface Resize {
  from: [number, number];
  to: [number, number];
  /** By filter, in PIL's numbering. */
  sha256: string[];
}
const { resizes } = readJsonFixture<{ resizes: Resize[] }>('processor/expected.json');

/** The picture that test/reference/processor_fixtures.py resized. */
function noise(width: number, height: number) {
  let state = 12345;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  return { width, height, data };
}

test.each(resizes)('$from to $to: every filter equals Pillow, bit for bit', ({ from, to, sha256 }) => {
  const image = noise(...from);
  const digests = filterNames.map((filter) =>
    createHash('sha256')
      .update(resample(image, ...to, filter).data)
      .digest('hex'),
  );
  expect(digests).toEqual(sha256);
});

const side = fc.integer({ min: 1, max: 60 });
const filter = fc.constantFrom(...filterNames);

test('one colour stays that colour at any size', () => {
  fc.assert(
    fc.property(side, side, side, side, filter, fc.nat(255), (width, height, toWidth, toHeight, f, value) => {
      const image = { width, height, data: new Uint8Array(width * height * 3).fill(value) };
      const out = resample(image, toWidth, toHeight, f);
      expect(out.data).toHaveLength(toWidth * toHeight * 3);
      expect(out.data.every((v) => v === value)).toBe(true);
    }),
    { numRuns: 100, seed: 1 },
  );
});

test('channels do not mix', () => {
  fc.assert(
    fc.property(side, side, side, side, filter, (width, height, toWidth, toHeight, f) => {
      const image = noise(width, height);
      const swapped = { ...image, data: image.data.map((_, i, all) => all[i - (i % 3) + ((i + 1) % 3)]) };
      const out = resample(image, toWidth, toHeight, f).data;
      const outSwapped = resample(swapped, toWidth, toHeight, f).data;
      expect(outSwapped).toEqual(out.map((_, i, all) => all[i - (i % 3) + ((i + 1) % 3)]));
    }),
    { numRuns: 40, seed: 1 },
  );
});
