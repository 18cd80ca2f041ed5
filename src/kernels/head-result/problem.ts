import type { Format } from '../../gpu/formats/format.ts';
import { formats } from '../../gpu/formats/index.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom, pseudoRandomWeight } from '../pseudo-random.ts';
import { headResult, headSum } from './head-result.ts';

export interface HeadResultSizes {
  readonly queries: number;
  readonly heads: number;
  readonly headSize: number;
  readonly dModel: number;
  readonly parts?: number;
}

export function headResultProblem(
  { queries, heads, headSize, dModel, parts = 1 }: HeadResultSizes,
  format: Format,
): Problem {
  const z = pseudoRandom(queries * heads * headSize, 1);
  const weight = pseudoRandomWeight([dModel, heads * headSize], format, parts);
  return {
    name: `${queries} queries, ${heads} heads of ${headSize}, ${dModel} wide, ${format.name} in ${parts} parts`,
    shape: [queries, heads, dModel],
    prepare(make) {
      const args = { z: make('z', 'f32', [queries, heads, headSize], z), weight: weight.make(make), label: 'y' };
      return (rec, options) => headResult(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, dModel);
        const [query, head] = placeOf(row, heads);
        let sum = 0;
        for (let d = 0; d < headSize; d++)
          sum += z[(query * heads + head) * headSize + d] * weight.at((column * heads + head) * headSize + d);
        return sum;
      },
    }),
  };
}

export const headResultSizes: readonly HeadResultSizes[] = [
  { queries: 1, heads: 1, headSize: 1, dModel: 1 },
  { queries: 1, heads: 8, headSize: 16, dModel: 128 },
  { queries: 3, heads: 3, headSize: 5, dModel: 7, parts: 3 },
  { queries: 5, heads: 3, headSize: 6, dModel: 65, parts: 3 },
  { queries: 6, heads: 2, headSize: 7, dModel: 20 },
  { queries: 17, heads: 4, headSize: 24, dModel: 97 },
];

export const headResultProblems = (of: readonly Format[] = Object.values(formats)) =>
  of.flatMap((format) =>
    headResultSizes
      .filter(({ heads, headSize }) => !format.obstacle(heads * headSize))
      .map((sizes) => headResultProblem(sizes, format)),
  );

export function headSumProblem(queries: number, heads: number, dModel: number, biased: boolean): Problem {
  const result = pseudoRandom(queries * heads * dModel, 1);
  const bias = pseudoRandom(dModel, 2);
  return {
    name: `[${queries},${heads},${dModel}]${biased ? ' and bias' : ''}`,
    shape: [queries, dModel],
    prepare(make) {
      const args = {
        result: make('result', 'f32', [queries, heads, dModel], result),
        bias: biased ? make('bias', 'f32', [dModel], bias) : undefined,
        label: 'y',
      };
      return (rec, options) => headSum(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [query, column] = placeOf(index, dModel);
        let sum = biased ? bias[column] : 0;
        for (let head = 0; head < heads; head++) sum += result[(query * heads + head) * dModel + column];
        return sum;
      },
    }),
  };
}

export const headSumProblems = () => [
  headSumProblem(1, 1, 1, true),
  headSumProblem(5, 3, 7, false),
  headSumProblem(17, 4, 64, true),
  headSumProblem(3, 2, 96, false),
];
