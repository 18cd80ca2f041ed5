import { expect, it } from 'vitest';
import { selectBestResolution } from '../../src/model/anyres.ts';

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
