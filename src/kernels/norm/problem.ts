import { byRow, type Problem } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { layerNorm, normScale, rmsNorm } from './norm.ts';
import type { NormKind, NormVariant } from './norm.wgsl.ts';

/** @param offset added to numbers of [-1, 1): a mean that dwarfs the spread is where variances cancel */
export type NormSizes = readonly [rows: number, columns: number, offset?: number];

const eps = 1e-5;

/** One row normalised in float64, and what it was divided by. */
function referenceNorm(kind: NormKind, x: Float32Array) {
  const row = Float64Array.from(x);
  const mean = kind === 'layer' ? row.reduce((sum, value) => sum + value, 0) / row.length : 0;
  const scale = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length + eps);
  return { normalized: row.map((value) => (value - mean) / scale), scale };
}

function dataOf([rows, columns, offset = 0]: NormSizes) {
  const x = pseudoRandom(rows * columns, 1).map((value) => value + offset);
  const row = (kind: NormKind, r: number) => referenceNorm(kind, x.subarray(r * columns, (r + 1) * columns));
  return { name: `[${rows},${columns}]${offset ? ` around ${offset}` : ''}`, x, row };
}

/** @param rescaled rows are divided by scales that are given, in place of their own */
export function normProblem(kind: NormKind, sizes: NormSizes, rescaled = false): Problem<NormVariant> {
  const [rows, columns] = sizes;
  const { name, x, row } = dataOf(sizes);
  const scales = rescaled ? pseudoRandom(rows, 4).map((value) => value + 2) : undefined;
  const [weight, bias] = [pseudoRandom(columns, 2), pseudoRandom(columns, 3)];
  return {
    name: `${name}${scales ? ' by given scales' : ''}`,
    shape: [rows, columns],
    prepare(make) {
      const args = {
        x: make('x', 'f32', [rows, columns], x),
        weight: make('weight', 'f32', [columns], weight),
        scales: scales && make('scales', 'f32', [rows, 1], scales),
        eps,
        label: 'y',
      };
      if (kind === 'rms') return (rec, options) => rmsNorm(rec, { ...args, ...options });
      const added = make('bias', 'f32', [columns], bias);
      return (rec, options) => layerNorm(rec, { ...args, bias: added, ...options });
    },
    expected: () => ({
      at: byRow(columns, (r) => {
        const { normalized, scale } = row(kind, r);
        const share = scales ? scale / scales[r] : 1;
        return normalized.map((value, c) => value * share * weight[c] + (kind === 'layer' ? bias[c] : 0));
      }),
    }),
  };
}

export function normScaleProblem(kind: NormKind, sizes: NormSizes): Problem<NormVariant> {
  const [rows, columns] = sizes;
  const { name, x, row } = dataOf(sizes);
  return {
    name: `${kind} ${name}`,
    shape: [rows, 1],
    prepare(make) {
      const input = make('x', 'f32', [rows, columns], x);
      return (rec, options) => normScale(rec, { x: input, kind, eps, label: 'y', ...options });
    },
    expected: () => ({ at: (r) => row(kind, r).scale }),
  };
}

const sizes: NormSizes[] = [
  [1, 1],
  [1, 4],
  [7, 33],
  [65, 64],
  [3, 1021, 10],
];
export const rmsNormProblems = () => sizes.map((each) => normProblem('rms', each));
export const layerNormProblems = () => sizes.map((each) => normProblem('layer', each));
export const normScaleProblems = () =>
  (['rms', 'layer'] as const).flatMap((kind) => sizes.map((each) => normScaleProblem(kind, each)));
