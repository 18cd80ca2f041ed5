import type { WeightDType } from '../matmul/matmul.wgsl.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandomWeight } from '../pseudo-random.ts';
import { embedding } from './embedding.ts';

export type EmbeddingSizes = readonly [count: number, vocabulary: number, columns: number, parts: number];

/** Ids from both ends, and where there are more than two of them two that the table does not have. */
export function embeddingProblem([count, vocabulary, columns, parts]: EmbeddingSizes, dtype: WeightDType): Problem {
  const weight = pseudoRandomWeight([vocabulary, columns], dtype, parts);
  const ids = Uint32Array.from({ length: count }, (_, i) =>
    i % 2 ? vocabulary - 1 - ((i >> 1) % vocabulary) : i % vocabulary,
  );
  if (count > 2) ids.set([vocabulary, 0xffffffff], 1);
  return {
    name: `${count} of [${vocabulary},${columns}] ${dtype} in ${parts} parts`,
    shape: [count, columns],
    exact: true,
    prepare(make) {
      const args = { ids: make('ids', 'u32', [count], ids), weight: weight.make(make), label: 'y' };
      return (rec, options) => embedding(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, columns);
        return ids[row] < vocabulary ? weight.at(ids[row] * columns + column) : 0;
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

export const embeddingProblems = () =>
  (['f32', 'f16', 'bf16'] as const).flatMap((dtype) => embeddingSizes.map((sizes) => embeddingProblem(sizes, dtype)));
