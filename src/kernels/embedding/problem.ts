import type { Format } from '../../gpu/formats/format.ts';
import { formats } from '../../gpu/formats/index.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandomWeight } from '../pseudo-random.ts';
import { embedding } from './embedding.ts';

export type EmbeddingSizes = readonly [count: number, vocabulary: number, columns: number, parts: number];

/** Ids from both ends, and where there are more than two of them two that the table does not have. */
export function embeddingProblem([count, vocabulary, columns, parts]: EmbeddingSizes, format: Format): Problem {
  const weight = pseudoRandomWeight([vocabulary, columns], format, parts);
  const ids = Uint32Array.from({ length: count }, (_, i) =>
    i % 2 ? vocabulary - 1 - ((i >> 1) % vocabulary) : i % vocabulary,
  );
  if (count > 2) ids.set([vocabulary, 0xffffffff], 1);
  return {
    name: `${count} of [${vocabulary},${columns}] ${format.name} in ${parts} parts`,
    shape: [count, columns],
    exact: true,
    prepare(make) {
      const args = { ids: make('ids', 'u32', [count], ids), weight: weight.make(make), label: 'y' };
      return (rec, options) => embedding(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        // as f32: what a format stands for may have more bits
        return ids[row] < vocabulary ? Math.fround(weight.at(ids[row] * columns + column)) : 0;
      },
    }),
  };
}

const embeddingSizes: readonly EmbeddingSizes[] = [
  [1, 1, 1, 1],
  [5, 7, 3, 1],
  [37, 13, 129, 3],
  [64, 762, 128, 1],
  [9, 11, 65, 11],
];

export const embeddingProblems = (of: readonly Format[] = Object.values(formats)) =>
  of.flatMap((format) =>
    embeddingSizes.filter(([, , columns]) => !format.obstacle(columns)).map((sizes) => embeddingProblem(sizes, format)),
  );
