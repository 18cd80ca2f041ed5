import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { extraRow, keepText, splice } from './splice.ts';

export interface SpliceSizes {
  readonly tokens: number;
  readonly features: number;
  readonly columns: number;
  readonly extra?: boolean;
}

/** Features backwards and more than once, text and the extra row between them, and one row that does not exist. */
export function spliceProblem({ tokens, features: count, columns, extra = false }: SpliceSizes): Problem {
  const [text, features] = [pseudoRandom(tokens * columns, 1), pseudoRandom(count * columns, 2)];
  const newline = pseudoRandom(columns, 3);
  const source = Uint32Array.from({ length: tokens }, (_, t) =>
    t % 3 === 1 ? keepText : t % 5 === 3 ? extraRow : count - 1 - (t % count),
  );
  if (tokens > 2) source[2] = count;
  return {
    name: `${tokens} tokens, [${count},${columns}] features${extra ? ' and the extra row' : ''}`,
    shape: [tokens, columns],
    exact: true,
    prepare(make) {
      const args = {
        text: make('text', 'f32', [tokens, columns], text),
        features: make('features', 'f32', [count, columns], features),
        source: make('source', 'u32', [tokens], source),
        extra: extra ? make('extra', 'f32', [columns], newline) : undefined,
        label: 'y',
      };
      return (rec, options) => splice(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [token, column] = placeOf(index, columns);
        const row = source[token];
        if (row === keepText) return text[index];
        if (row === extraRow && extra) return newline[column];
        return row < count ? features[row * columns + column] : 0;
      },
    }),
  };
}

export const spliceProblems = () =>
  [
    { tokens: 1, features: 1, columns: 1 },
    { tokens: 7, features: 3, columns: 5 },
    { tokens: 65, features: 36, columns: 128 },
    { tokens: 13, features: 13, columns: 131 },
    { tokens: 8, features: 4, columns: 16, extra: true },
    { tokens: 13, features: 5, columns: 37, extra: true },
  ].map(spliceProblem);
