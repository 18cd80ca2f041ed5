import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { patchify } from './patchify.ts';

type Pixels = readonly [batch: number, channels: number, height: number, width: number];

export function patchifyProblem(shape: Pixels, patch: number): Problem {
  const [batch, channels, height, width] = shape;
  const pixels = pseudoRandom(batch * channels * height * width, 1);
  const [down, across] = [Math.floor(height / patch), Math.floor(width / patch)];
  const columns = channels * patch * patch;
  return {
    name: `[${shape}] into squares of ${patch}`,
    shape: [batch * down * across, columns],
    exact: true,
    prepare(make) {
      const input = make('pixels', 'f32', shape, pixels);
      return (rec, options) => patchify(rec, { pixels: input, patch, label: 'y', ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        const [image, place] = placeOf(row, down * across);
        const [top, left] = placeOf(place, across);
        const [channel, pixel] = placeOf(column, patch * patch);
        const [y, x] = placeOf(pixel, patch);
        return pixels[((image * channels + channel) * height + top * patch + y) * width + left * patch + x];
      },
    }),
  };
}

export const patchifyProblems = () => [
  patchifyProblem([1, 3, 1, 1], 1),
  patchifyProblem([1, 3, 48, 48], 8),
  patchifyProblem([2, 3, 29, 43], 14),
  patchifyProblem([3, 1, 5, 7], 2),
  patchifyProblem([1, 3, 7, 5], 5),
];
