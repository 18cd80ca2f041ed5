import type { Problem } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { argmax } from './argmax.ts';
import type { ArgmaxVariant } from './argmax.wgsl.ts';

/** In every third row all elements are below zero; in every other two the largest number stands once more, further on. */
export function argmaxProblem(rows: number, columns: number): Problem<ArgmaxVariant> {
  const x = pseudoRandom(rows * columns, 1).map((value, i) => (Math.floor(i / columns) % 3 === 1 ? value - 1 : value));
  const largest = Array.from({ length: rows }, (_, r) => {
    const row = x.subarray(r * columns, (r + 1) * columns);
    const peak = row.reduce((a, b) => Math.max(a, b));
    const first = row.indexOf(peak);
    if (r % 2 === 0) row.fill(peak, Math.floor((first + columns) / 2), Math.floor((first + columns) / 2) + 1);
    return row.indexOf(peak);
  });
  return {
    name: `[${rows},${columns}]`,
    shape: [rows],
    dtype: 'u32',
    exact: true,
    prepare(make) {
      const input = make('x', 'f32', [rows, columns], x);
      return (rec, options) => argmax(rec, { x: input, label: 'y', ...options });
    },
    expected: () => ({ at: (r) => largest[r] }),
  };
}

export const argmaxProblems = () => [
  argmaxProblem(1, 1),
  argmaxProblem(3, 2),
  argmaxProblem(17, 127),
  argmaxProblem(2, 129),
  argmaxProblem(9, 764),
  argmaxProblem(1, 32_003),
];
