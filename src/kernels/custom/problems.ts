import type { Activation } from '../activation/activation.wgsl.ts';
import { referenceActivation } from '../activation/reference.ts';
import { attention } from '../attention/attention.ts';
import { type AttentionReference, type Case, referenceOutputs } from '../attention/reference.ts';
import { pseudoRandom } from '../benchmarks/data.ts';
import { numbersOf, pseudoRandomBits } from '../benchmarks/matmul.ts';
import { activation, add, gatedActivation } from '../elementwise/elementwise.ts';
import { matmul } from '../matmul/matmul.ts';
import type { WeightDType } from '../matmul/matmul.wgsl.ts';
import { layerNorm, rmsNorm } from '../norm/norm.ts';
import { referenceNorm } from '../norm/reference.ts';
import type { Recorder } from '../recorder.ts';
import { rotaryEmbedding } from '../rotary/rotary.ts';
import { bytesPerElement, elementCount, type Tensor } from '../tensor.ts';
import { attentionProblems } from './attention-problems.ts';
import type { AttentionMask, KernelOp } from './kernels.ts';

/** One call of an operation on data of its own, and what it gives in float64. */
export interface Problem {
  readonly name: string;
  /** Of attention. */
  readonly mask?: AttentionMask;
  /** Of the output. */
  readonly shape: readonly number[];
  record(rec: Recorder, out: Tensor): void;
  /** The output, and the extras of attention by name. */
  expected(reference?: AttentionReference): Expected;
}

export interface Expected {
  readonly out: ArrayLike<number>;
  readonly extras?: Readonly<Record<string, ArrayLike<number>>>;
}

const rowShapes: [rows: number, columns: number][] = [
  [1, 1],
  [1, 4],
  [7, 33],
  [65, 64],
  [3, 1021],
];
const activations: Activation[] = ['silu', 'gelu'];

/**
 * The operations that have a reference, at sizes where kernels go wrong: 1, odd, prime, just over a tile. Made when asked for:
 * their data takes 13 ms, which no other command should pay.
 */
export const problems: Partial<Record<KernelOp, () => readonly Problem[]>> = {
  attention: () => attentionProblems().map(([name, c]) => attentionProblem(name, c)),
  matmul: () =>
    (['f32', 'f16', 'bf16'] as const).flatMap((dtype) => [
      matmulProblem([1, 64, 64], dtype),
      matmulProblem([7, 33, 129], dtype),
      matmulProblem([65, 32, 31], dtype, true),
      matmulProblem([3, 20, 259], dtype),
    ]),
  rmsNorm: () => rowShapes.map((shape) => normProblem('rms', shape)),
  layerNorm: () => rowShapes.map((shape) => normProblem('layer', shape)),
  activation: () => activations.flatMap((act) => rowShapes.map((shape) => activationProblem(act, shape, false))),
  gatedActivation: () => activations.flatMap((act) => rowShapes.map((shape) => activationProblem(act, shape, true))),
  add: () => rowShapes.map(addProblem),
  rotary: () =>
    (
      [
        [1, 1, 2],
        [7, 3, 10],
        [33, 2, 16],
        [67, 4, 24],
      ] as const
    ).map(rotaryProblem),
};

function attentionProblem(name: string, c: Case): Problem {
  const { batch, queries, heads, kvHeads, headSize, keys, keyRows, causal, offset, window, segments, scale } = c;
  // Scores of a standard deviation of 4: the softmax is neither flat nor a choice of one key.
  const data = {
    q: pseudoRandom(batch * queries * heads * headSize, 1).map((x) => (12 * x) / (headSize ** 0.5 * scale)),
    k: pseudoRandom(batch * keyRows * kvHeads * headSize, 2),
    v: pseudoRandom(batch * keyRows * kvHeads * headSize, 3),
  };
  return {
    name,
    mask: segments ? 'segments' : window ? 'window' : causal ? 'causal' : 'full',
    shape: [batch * queries, heads, headSize],
    record(rec, out) {
      const input = (of: 'k' | 'v') => rec.input(of, 'f32', [batch * keyRows, kvHeads, headSize], data[of]);
      attention(rec, {
        q: rec.input('q', 'f32', [batch * queries, heads, headSize], data.q),
        k: input('k'),
        v: input('v'),
        keys,
        batch,
        causal,
        offset: causal ? offset : undefined,
        window,
        segments: segments && rec.input('segments', 'u32', [queries, 2], Uint32Array.from(segments.flat())),
        scale,
        label: 'z',
        out,
      });
    },
    expected(reference) {
      const { z, extras } = referenceOutputs(c, data, reference);
      return { out: z, extras };
    },
  };
}

function matmulProblem([m, k, n]: [number, number, number], dtype: WeightDType, epilogue = false): Problem {
  const x = pseudoRandom(m * k, 1);
  const bits = pseudoRandomBits(Math.ceil((n * k * bytesPerElement[dtype]) / 4), dtype);
  const more = { bias: pseudoRandom(n, 2), residual: pseudoRandom(m * n, 3) };
  return {
    name: `[${m},${k}] x [${n},${k}] ${dtype}${epilogue ? ', bias, gelu and residual' : ''}`,
    shape: [m, n],
    record(rec, out) {
      // Of an odd count of 16-bit numbers the last word holds one more.
      const stored = rec.input('weight', 'u32', [bits.length], bits);
      const weight = { label: 'weight', dtype, shape: [n, k] as const, parts: [{ ...stored, dtype, shape: [n, k] }] };
      matmul(rec, {
        x: rec.input('x', 'f32', [m, k], x),
        weight,
        ...(epilogue && {
          bias: rec.input('bias', 'f32', [n], more.bias),
          residual: rec.input('residual', 'f32', [m, n], more.residual),
          activation: 'gelu' as const,
        }),
        label: 'y',
        out,
      });
    },
    expected() {
      const w = numbersOf(bits, dtype);
      return {
        out: Float64Array.from({ length: m * n }, (_, i) => {
          let sum = 0;
          for (let d = 0; d < k; d++) sum += x[Math.floor(i / n) * k + d] * w((i % n) * k + d);
          return epilogue ? referenceActivation.gelu(sum + more.bias[i % n]) + more.residual[i] : sum;
        }),
      };
    },
  };
}

function normProblem(kind: 'layer' | 'rms', [rows, columns]: [number, number]): Problem {
  const x = pseudoRandom(rows * columns, 1).map((value) => 3 * value + 0.5);
  const [weight, bias] = [pseudoRandom(columns, 2), pseudoRandom(columns, 3)];
  const eps = 1e-5;
  return {
    name: `[${rows},${columns}]`,
    shape: [rows, columns],
    record(rec, out) {
      const args = {
        x: rec.input('x', 'f32', [rows, columns], x),
        weight: rec.input('weight', 'f32', [columns], weight),
        eps,
        label: 'y',
        out,
      };
      if (kind === 'rms') rmsNorm(rec, args);
      else layerNorm(rec, { ...args, bias: rec.input('bias', 'f32', [columns], bias) });
    },
    expected() {
      const { normalized } = referenceNorm(kind, x, columns, eps);
      return { out: normalized.map((v, i) => v * weight[i % columns] + (kind === 'layer' ? bias[i % columns] : 0)) };
    },
  };
}

function activationProblem(name: Activation, shape: [number, number], gated: boolean): Problem {
  const count = elementCount(shape);
  const [x, up] = [pseudoRandom(count, 1).map((value) => 8 * value), pseudoRandom(count, 2)];
  return {
    name: `${name} [${shape}]`,
    shape,
    record(rec, out) {
      const gate = rec.input('x', 'f32', shape, x);
      if (!gated) activation(rec, { x: gate, activation: name, label: 'y', out });
      else gatedActivation(rec, { gate, up: rec.input('up', 'f32', shape, up), activation: name, label: 'y', out });
    },
    expected: () => ({
      out: Float64Array.from(x, (value, i) => referenceActivation[name](value) * (gated ? up[i] : 1)),
    }),
  };
}

function addProblem(shape: [number, number]): Problem {
  const [a, b] = [pseudoRandom(elementCount(shape), 1), pseudoRandom(elementCount(shape), 2)];
  return {
    name: `[${shape}]`,
    shape,
    record: (rec, out) =>
      void add(rec, { a: rec.input('a', 'f32', shape, a), b: rec.input('b', 'f32', shape, b), label: 'y', out }),
    expected: () => ({ out: Float64Array.from(a, (value, i) => value + b[i]) }),
  };
}

function rotaryProblem([rows, heads, headSize]: readonly [number, number, number]): Problem {
  const x = pseudoRandom(rows * heads * headSize, 1);
  const table = pseudoRandom(rows * headSize, 2);
  const half = headSize / 2;
  return {
    name: `[${rows},${heads},${headSize}]`,
    shape: [rows, heads, headSize],
    record: (rec, out) =>
      void rotaryEmbedding(rec, {
        x: rec.input('x', 'f32', [rows, heads, headSize], x),
        table: rec.input('table', 'f32', [rows, headSize], table),
        label: 'y',
        out,
      }),
    expected: () => ({
      out: Float64Array.from(x, (value, i) => {
        const [row, d] = [Math.floor(i / (heads * headSize)), i % headSize];
        const [cosine, sine] = [0, half].map((from) => table[row * headSize + from + (d % half)]);
        return d < half ? value * cosine - x[i + half] * sine : value * cosine + x[i - half] * sine;
      }),
    }),
  };
}
