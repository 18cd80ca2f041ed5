import { attentionData, storedTensor } from '../attention/problem.ts';
import { attentionCase, type Case } from '../attention/reference.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { attentionValues } from './attention-values.ts';

/** The masks of a case do not matter here: they have made the pattern. */
export function attentionValuesProblem(c: Case): Problem {
  const { batch, queries, heads, kvHeads, headSize, keys, keyRows } = c;
  const pattern = pseudoRandom(batch * heads * queries * keys, 1);
  const { v } = attentionData(c);
  return {
    name: `${batch} x ${queries} queries of ${keys} of ${keyRows} keys${c.stored ? ` in ${c.stored}` : ''}, ${heads} heads of ${headSize} on ${kvHeads}`,
    shape: [batch * queries, heads, headSize],
    prepare(make) {
      const args = {
        pattern: make('pattern', 'f32', [batch * heads, queries, keys], pattern),
        v: storedTensor(make, c, 'v', v),
        heads,
        batch,
        label: 'y',
      };
      return (rec, options) => attentionValues(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, d] = placeOf(index, headSize);
        const [token, head] = placeOf(row, heads);
        const [sequence, query] = placeOf(token, queries);
        const kvHead = Math.floor(head / (heads / kvHeads));
        let sum = 0;
        for (let key = 0; key < keys; key++)
          sum +=
            pattern[((sequence * heads + head) * queries + query) * keys + key] *
            v[((sequence * keyRows + key) * kvHeads + kvHead) * headSize + d];
        return sum;
      },
    }),
  };
}

export const attentionValuesProblems = () =>
  [
    { queries: 1, headSize: 1 },
    { queries: 7, headSize: 6, keys: 11 },
    { queries: 5, headSize: 24, heads: 4, kvHeads: 2 },
    { queries: 3, headSize: 16, heads: 6, kvHeads: 1, batch: 3, keys: 9, keyRows: 13 },
    { queries: 33, headSize: 20, batch: 2 },
    { queries: 3, headSize: 16, heads: 6, kvHeads: 2, batch: 2, keys: 9, keyRows: 13, stored: 'f16' as const },
  ].map((sizes) => attentionValuesProblem(attentionCase(sizes)));
