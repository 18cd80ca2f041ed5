import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { mixRows } from './mix-rows.ts';

/** One tap points at a row that does not exist. */
export function mixRowsProblem(available: number, rows: number, columns: number): Problem {
  const [x, weights] = [pseudoRandom(available * columns, 1), pseudoRandom(rows * 4, 2)];
  const indices = Uint32Array.from({ length: rows * 4 }, (_, i) => (i * 31) % available).reverse();
  if (rows > 1) indices[6] = available;
  return {
    name: `${rows} mixtures of [${available},${columns}]`,
    shape: [rows, columns],
    prepare(make) {
      const args = {
        x: make('x', 'f32', [available, columns], x),
        indices: make('indices', 'u32', [rows, 4], indices),
        weights: make('weights', 'f32', [rows, 4], weights),
        label: 'y',
      };
      return (rec, options) => mixRows(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        let sum = 0;
        for (let tap = 4 * row; tap < 4 * row + 4; tap++)
          if (indices[tap] < available) sum += weights[tap] * x[indices[tap] * columns + column];
        return sum;
      },
    }),
  };
}

export const mixRowsProblems = () => [
  mixRowsProblem(1, 1, 1),
  mixRowsProblem(5, 3, 7),
  mixRowsProblem(13, 20, 128),
  mixRowsProblem(37, 65, 36),
  mixRowsProblem(7, 9, 131),
];
