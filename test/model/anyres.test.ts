import { expect, it } from 'vitest';
import { selectBestResolution, unpadded } from '../../src/model/processor/anyres.ts';

const size = ([height, width]: readonly number[]) => ({ height, width });

// Of pinpoints that are in no order, as HF's select_best_resolution chooses.
it.each([
  [
    [100, 100],
    [
      [1000, 1000],
      [200, 300],
      [200, 200],
    ],
    [200, 200],
  ], // all keep every pixel
  [
    [300, 100],
    [
      [400, 400],
      [600, 200],
      [200, 200],
    ],
    [600, 200],
  ], // the last one keeps fewer
] as [number[], number[][], number[]][])('an image of %j fits %j best in %j', (image, pinpoints, best) => {
  expect(selectBestResolution(size(image), pinpoints.map(size))).toEqual(size(best));
});

// 55 * (24 / 88) is 14.999999999999998 in floating point, and 15 for HF's unpad_image, which rounds to 7 digits first.
it('rounding errors cut no row or column off', () => {
  const map = size([24, 24]);
  expect(unpadded(size([55, 88]), map)).toEqual({ top: 4, left: 0, height: 16, width: 24 });
  expect(unpadded(size([88, 55]), map)).toEqual({ top: 0, left: 4, height: 24, width: 16 });
});
