import { bf16 } from '../../gpu/formats/bf16.ts';
import { f16 } from '../../gpu/formats/f16.ts';
import { f32 } from '../../gpu/formats/f32.ts';
import type { Format } from '../../gpu/formats/format.ts';
import { q4 } from '../../gpu/formats/q4.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import { gatedActivation } from '../../kernels/elementwise/elementwise.ts';
import type { MatmulCandidate } from '../../kernels/matmul/candidates.ts';
import { type MatmulVariant, matmul, matmulVariants } from '../../kernels/matmul/matmul.ts';
import { matmulObstacle } from '../../kernels/matmul/plan.ts';
import {
  gatedMatmulProblem,
  type MatmulSizes,
  matmulProblem,
  rotatedMatmulProblem,
} from '../../kernels/matmul/problem.ts';
import { rotateAndAppend } from '../../kernels/rotary/append.ts';
import type { AppendSizes } from '../../kernels/rotary/problem.ts';
import { type BenchmarkGroup, groupOf, variantsOf } from './group.ts';

/** The embedded checkpoint's sizes, the one that the literature of this repository quotes, and LLaVA-1.5-7B's. */
const table: [m: number, k: number, n: number, formats: Format[]][] = [
  [60, 128, 128, [f32, f16]],
  [60, 128, 352, [f32]],
  [60, 352, 128, [f32, f16]],
  [80, 128, 800, [f32]],
  [256, 1024, 1024, [f32, f16, bf16]],
  [1, 1024, 1024, [f32, f16, bf16]],
  [1, 4096, 4096, [f16]],
  [1, 4096, 32064, [f16]],
  [640, 4096, 4096, [f16, bf16]],
  [640, 4096, 11008, [f16]],
  [577, 1024, 4096, [f16]],
];

export const matmulBenchmarks: BenchmarkGroup[] = [
  ...table.flatMap(([m, k, n, formats]) =>
    formats.map((format) =>
      groupOf<MatmulVariant>({
        op: 'matmul',
        sizes: `[${m},${k}] x [${n},${k}] ${format.name}`,
        flops: 2 * m * n * k,
        problem: () => matmulProblem({ m, k, n, format }),
        others(call, { capabilities }, [x, weight]) {
          const variants = matmulVariants.filter(
            (v) => v !== 'base' && !matmulObstacle(v, { rows: m, k, n }, capabilities),
          );
          return {
            ...(format === f32 && k % 4 === 0 && m % 32 === 0 && n % 32 === 0
              ? { '4x4 reference': (rec, options) => runRegister4x4(rec, x, weight, options?.out) }
              : {}),
            ...variantsOf(call, variants),
          };
        },
        baseline: '4x4 reference',
      }),
    ),
  ),
  gated({ m: 1, k: 1024, n: 2816, format: f16 }),
  gated({ m: 1, k: 4096, n: 11008, format: f16 }),
  rotated(1024, [1, 16, 4, 64], f16),
  rotated(4096, [1, 32, 32, 128], f16),
  rotated(4096, [1, 32, 8, 128], q4),
];

/** Beside the products of both halves and the activation as three dispatches. */
function gated({ m, k, n, format }: MatmulSizes): BenchmarkGroup {
  return groupOf<MatmulVariant | MatmulCandidate>({
    op: 'gatedMatmul',
    sizes: `[${m},${k}] x 2 x [${n},${k}] ${format.name}`,
    flops: 4 * m * n * k,
    problem: () => gatedMatmulProblem({ m, k, n, format, activation: 'silu' }),
    others: (_, __, [x, ...buffers]) => ({
      'three dispatches': (rec, { out } = {}) => {
        const [gate, up] = [0, n].map((first) => {
          const halves = buffers.map((buffer) => rows(buffer, first, first + n));
          const half = { label: 'half', format, shape: [n, k] as const, buffers: halves };
          return matmul(rec, { x, weight: { ...half, parts: [half] }, label: 'y' });
        });
        return gatedActivation(rec, { gate, up, activation: 'silu', out, label: 'y' });
      },
    }),
    baseline: 'three dispatches',
  });
}

/** Beside the product, and what turns its rows and takes them to their caches, as two dispatches. */
function rotated(k: number, sizes: AppendSizes, format: Format): BenchmarkGroup {
  const [m, heads, kvHeads, headSize] = sizes;
  const cache = { dtype: 'f16', batch: 1, capacity: 1, outRow: 0 } as const;
  const n = (heads + 2 * kvHeads) * headSize;
  return groupOf<MatmulVariant | MatmulCandidate>({
    op: 'rotatedMatmul',
    sizes: `[${m},${k}] x [(${heads}+2*${kvHeads})*${headSize},${k}] ${format.name}, f16 keys`,
    flops: 2 * m * n * k,
    problem: () => rotatedMatmulProblem({ sizes, k, format, cache }, 'keys'),
    others: (_, __, [x, ...inputs]) => ({
      'two dispatches': (rec, { out } = {}) => {
        const whole = { label: 'qkv', format, shape: [n, k] as const, buffers: inputs.slice(0, -1) };
        const qkv = matmul(rec, { x, weight: { ...whole, parts: [whole] }, label: 'qkv' });
        const cached = [kvHeads, headSize];
        const keys = out ?? rec.temp('keys', cache.dtype, [1, ...cached]);
        const values = rec.temp('values', cache.dtype, [1, ...cached]);
        rotateAndAppend(rec, { qkv, table: inputs.at(-1)!, keys, values, heads, outRow: 0, label: 'y' });
        return keys;
      },
    }),
    baseline: 'two dispatches',
  });
}

/**
 * What a default has to beat: a plain register tile of 4x4 for each thread, operands as vectors along K straight from storage,
 * sums as vectors, sizes known to the compiler. Weights are plain f32. No edges: only for sizes that its tiles divide.
 */
function runRegister4x4(rec: Recorder, x: Tensor, weight: Tensor, out?: Tensor): Tensor {
  const [m, k] = x.shape;
  const n = weight.shape[0];
  const y = out ?? rec.temp('y', 'f32', [m, n]);
  const list = (count: number, f: (i: number) => string) => Array.from({ length: count }, (_, i) => f(i)).join('\n');
  const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x * 4u;
  let row = id.y * 4u;
  ${list(16, (s) => `var s${s} = vec4f();`)}
  for (var c = 0u; c < ${k / 4}u; c++) {
    ${list(4, (i) => `let a${i} = x[(row + ${i}u) * ${k / 4}u + c];`)}
    ${list(4, (j) => `let b${j} = w[(column + ${j}u) * ${k / 4}u + c];`)}
    ${list(16, (s) => `s${s} = fma(a${s >> 2}, b${s & 3}, s${s});`)}
  }
  ${list(16, (s) => `y[(row + ${s >> 2}u) * ${n}u + column + ${s & 3}u] = dot(s${s}, vec4f(1.0));`)}
}`;
  rec.dispatch({
    kernel: 'reference 4x4',
    label: 'y',
    code,
    bindings: [read(x), read(weight), readWrite(y)],
    workgroups: [n / 32, m / 32],
    cost: { flops: 2 * m * n * k, bytes: 4 * (m * k + n * k + m * n) },
  });
  return y;
}
