import { ShapeError } from '../../gpu/errors.ts';
import type { Format } from '../../gpu/formats/format.ts';
import { codec } from '../../gpu/formats/halves.ts';
import { formats } from '../../gpu/formats/index.ts';
import type { ActivationFunction } from '../activation/activation.wgsl.ts';
import { referenceActivation } from '../activation/reference.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom, pseudoRandomWeight } from '../pseudo-random.ts';
import { type AppendOutput, type AppendSizes, appended, type Cache, namedCache } from '../rotary/problem.ts';
import type { MatmulCandidate } from './candidates.ts';
import { gatedMatmul } from './gated.ts';
import { type MatmulVariant, matmul } from './matmul.ts';
import { rotatedMatmul } from './rotated.ts';

export interface MatmulSizes {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  /** Of the weight. */
  readonly format: Format;
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly activation?: ActivationFunction;
  readonly parts?: number;
  /** x is of numbers that f16 holds. */
  readonly halves?: boolean;
}

/** x [m, k] times the transpose of a weight [n, k]. Sums have a standard deviation of about 1. */
export function matmulProblem(sizes: MatmulSizes): Problem<MatmulVariant | MatmulCandidate> {
  const { m, k, n, format, parts = 1, activation } = sizes;
  const { encode, widen } = codec(5);
  const exact = pseudoRandom(m * k, 1).map((value) => value / Math.sqrt(k));
  const x = sizes.halves ? new Float32Array(widen(Uint16Array.from(exact, encode))) : exact;
  const weight = pseudoRandomWeight([n, k], format, parts);
  const bias = sizes.bias ? pseudoRandom(n, 2) : undefined;
  const residual = sizes.residual ? pseudoRandom(m * n, 3) : undefined;
  const more = [parts > 1 && `${parts} parts`, bias && 'bias', activation, residual && 'residual'].filter(Boolean);
  return {
    name: `[${m},${k}] x [${n},${k}] ${[format.name, ...more].join(', ')}`,
    shape: [m, n],
    prepare(make) {
      const args = {
        x: make('x', 'f32', [m, k], x),
        weight: weight.make(make),
        bias: bias && make('bias', 'f32', [n], bias),
        residual: residual && make('residual', 'f32', [m, n], residual),
        activation,
        label: 'y',
      };
      return (rec, options) => matmul(rec, { ...args, ...options });
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, n);
        let sum = bias?.[column] ?? 0;
        for (let d = 0; d < k; d++) sum += x[row * k + d] * weight.at(column * k + d);
        return (activation ? referenceActivation[activation](sum) : sum) + (residual?.[index] ?? 0);
      },
    }),
  };
}

export const matmulProblems = (of: readonly Format[] = Object.values(formats)) =>
  of.flatMap((format) =>
    [
      { m: 1, k: 64, n: 64, format },
      { m: 7, k: 33, n: 129, format },
      { m: 65, k: 32, n: 31, format, bias: true, residual: true, activation: 'gelu' as const },
      { m: 3, k: 20, n: 259, format, parts: 3, bias: true },
    ]
      .filter(({ k }) => !format.obstacle(k))
      .map(matmulProblem),
  );

/** act(x · gateᵀ) * (x · upᵀ), the weight [2 * n, k] holding the gate above. */
export function gatedMatmulProblem(
  sizes: Omit<MatmulSizes, 'residual' | 'parts'> & { readonly activation: ActivationFunction },
): Problem<MatmulVariant | MatmulCandidate> {
  const { m, k, n, format, activation } = sizes;
  const x = pseudoRandom(m * k, 1).map((value) => value / Math.sqrt(k));
  const weight = pseudoRandomWeight([2 * n, k], format);
  const bias = sizes.bias ? pseudoRandom(2 * n, 2) : undefined;
  return {
    name: `[${m},${k}] x 2 x [${n},${k}] ${[format.name, ...(bias ? ['bias'] : []), activation].join(', ')}`,
    shape: [m, n],
    prepare(make) {
      const args = {
        x: make('x', 'f32', [m, k], x),
        weight: weight.make(make),
        bias: bias && make('bias', 'f32', [2 * n], bias),
        activation,
        label: 'y',
      };
      return (rec, options) => {
        const y = gatedMatmul(rec, { ...args, ...options });
        if (!y) throw new ShapeError('gatedMatmul: no such ending here');
        return y;
      };
    },
    expected: () => ({
      at(index) {
        const [row, column] = placeOf(index, n);
        const product = (weightRow: number) => {
          let sum = bias?.[weightRow] ?? 0;
          for (let d = 0; d < k; d++) sum += x[row * k + d] * weight.at(weightRow * k + d);
          return sum;
        };
        return referenceActivation[activation](product(column)) * product(n + column);
      },
    }),
  };
}

export interface RotatedMatmulSizes {
  readonly sizes: AppendSizes;
  readonly k: number;
  /** Of the weight. */
  readonly format: Format;
  readonly bias?: boolean;
  readonly cache: Cache;
}

/** One of the three outputs of the product that makes q, k and v, turns q and k, and takes k and v to their caches. */
export function rotatedMatmulProblem(
  { sizes, k, format, bias: biased, cache }: RotatedMatmulSizes,
  output: AppendOutput,
): Problem<MatmulVariant | MatmulCandidate> {
  const [rows, heads, kvHeads, headSize] = sizes;
  const n = (heads + 2 * kvHeads) * headSize;
  const x = pseudoRandom(rows * k, 1).map((value) => value / Math.sqrt(k));
  const weight = pseudoRandomWeight([n, k], format);
  const bias = biased ? pseudoRandom(n, 2) : undefined;
  const { shape, dtype, before, args, at } = appended(sizes, product, cache, output);
  function product(index: number) {
    const [row, column] = placeOf(index, n);
    let sum = bias?.[column] ?? 0;
    for (let d = 0; d < k; d++) sum += x[row * k + d] * weight.at(column * k + d);
    return sum;
  }
  return {
    name: `${output} of [${rows},${k}] x [(${heads} + 2 * ${kvHeads}) * ${headSize},${k}] ${format.name}${bias ? ', bias' : ''}${namedCache(cache)}`,
    ...{ shape, dtype, before },
    prepare(make) {
      const factors = {
        x: make('x', 'f32', [rows, k], x),
        weight: weight.make(make),
        bias: bias && make('bias', 'f32', [n], bias),
      };
      const into = args(make);
      return (rec, { out, variant } = {}) => {
        const given = into(rec, out);
        const q = rotatedMatmul(rec, { ...factors, ...given, variant });
        if (!q) throw new ShapeError('rotatedMatmul: no such ending here');
        return output === 'q' ? q : given[output];
      };
    },
    expected: () => ({ at }),
  };
}
