import { elementCount } from '../../gpu/tensor.ts';
import { attentionCases, attentionData, queryKeyArgs } from '../attention/problem.ts';
import { type Case, sees, softmax } from '../attention/reference.ts';
import { byRow, type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { attentionPattern, attentionScores } from './attention-pattern.ts';

/** What stands in the place of a masked score. */
const lowest = -3.4028234663852886e38;

export function attentionScoresProblem(name: string, c: Case, data = attentionData(c)): Problem {
  const { batch, queries, heads, kvHeads, headSize, keys, keyRows, scale } = c;
  return {
    name,
    shape: [batch * heads, queries, keys],
    prepare(make) {
      const args = queryKeyArgs(make, c, data);
      return (rec, options) => attentionScores(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, key] = placeOf(index, keys);
        const [matrix, query] = placeOf(row, queries);
        const [sequence, head] = placeOf(matrix, heads);
        if (!sees(c, query, key)) return lowest;
        const kvHead = Math.floor(head / (heads / kvHeads));
        const q = ((sequence * queries + query) * heads + head) * headSize;
        const k = ((sequence * keyRows + key) * kvHeads + kvHead) * headSize;
        let sum = 0;
        for (let d = 0; d < headSize; d++) sum += data.q[q + d] * data.k[k + d];
        return sum * scale;
      },
    }),
  };
}

export const attentionScoresProblems = () => attentionCases().map(([name, c]) => attentionScoresProblem(name, c));

/** Every query but the last of a matrix sees a key less than the one after it. */
export function attentionPatternProblem(shape: readonly [matrices: number, queries: number, keys: number]): Problem {
  const [, queries, keys] = shape;
  const scores = pseudoRandom(elementCount(shape), 1).map((score, index) => {
    const [row, key] = placeOf(index, keys);
    return key > Math.max(0, keys - queries + (row % queries)) ? lowest : 8 * score;
  });
  return {
    name: `[${shape}]`,
    shape,
    prepare(make) {
      const input = make('scores', 'f32', shape, scores);
      return (rec, options) => attentionPattern(rec, { scores: input, label: 'y', ...options });
    },
    expected: () => ({
      at: byRow(keys, (row) => softmax(Float64Array.from(scores.subarray(row * keys, (row + 1) * keys)))),
    }),
  };
}

export const attentionPatternProblems = () => [
  attentionPatternProblem([1, 1, 1]),
  attentionPatternProblem([2, 7, 7]),
  attentionPatternProblem([3, 5, 131]),
  attentionPatternProblem([1, 67, 65]),
];
