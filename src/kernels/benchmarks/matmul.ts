import type { Gpu } from '../gpu.ts';
import { matmulObstacle } from '../matmul/choose.ts';
import { matmul, matmulVariants } from '../matmul/matmul.ts';
import type { WeightDType } from '../matmul/matmul.wgsl.ts';
import { type Recorder, read, readWrite } from '../recorder.ts';
import { bytesPerElement, type Tensor, type Weight } from '../tensor.ts';
import { pseudoRandom } from './data.ts';
import type { BenchmarkGroup, PreparedGroup } from './group.ts';

/** The embedded checkpoint's sizes, the one that the literature of this repository quotes, and LLaVA-1.5-7B's. */
const table: [m: number, k: number, n: number, dtypes: WeightDType[]][] = [
  [60, 128, 128, ['f32', 'f16']],
  [60, 128, 352, ['f32']],
  [60, 352, 128, ['f32', 'f16']],
  [80, 128, 800, ['f32']],
  [256, 1024, 1024, ['f32', 'f16', 'bf16']],
  [1, 1024, 1024, ['f32', 'f16', 'bf16']],
  [1, 4096, 4096, ['f16']],
  [1, 4096, 32064, ['f16']],
  [640, 4096, 4096, ['f16', 'bf16']],
  [640, 4096, 11008, ['f16']],
  [577, 1024, 4096, ['f16']],
];

export const matmulBenchmarks: BenchmarkGroup[] = table.flatMap(([m, k, n, dtypes]) =>
  dtypes.map((dtype) => ({
    name: `matmul [${m},${k}] x [${n},${k}] ${dtype}`,
    flops: 2 * m * n * k,
    op: 'matmul',
    prepare: (gpu: Gpu) => prepare(gpu, m, k, n, dtype),
  })),
);

function prepare(gpu: Gpu, m: number, k: number, n: number, dtype: WeightDType): PreparedGroup {
  const x = gpu.tensor('x', 'f32', [m, k], pseudoRandom(m * k, 1));
  // Bit patterns of numbers between 1 and 2, with both signs: valid in all three dtypes, and the host need not convert.
  const patterns = pseudoRandomBits((n * k * bytesPerElement[dtype]) / 4, dtype);
  const part = gpu.tensor('weight', dtype, [n, k], patterns);
  const weight: Weight = { label: 'weight', dtype, shape: [n, k], parts: [part] };
  const variants = matmulVariants.filter((v) => !matmulObstacle(v, { rows: m, k, n }, gpu.capabilities));
  const run = (variant?: (typeof variants)[number]) => (rec: Recorder) =>
    matmul(rec, { x, weight, variant, label: 'y' });
  const register4x4: PreparedGroup['candidates'] =
    dtype === 'f32' && k % 4 === 0 && m % 32 === 0 && n % 32 === 0
      ? { '4x4 reference': (rec: Recorder) => runRegister4x4(rec, x, part) }
      : {};
  return {
    tensors: [x, part],
    candidates: {
      ...register4x4,
      default: run(),
      ...Object.fromEntries(variants.filter((v) => v !== 'base').map((v) => [v, run(v)])),
    },
    baseline: '4x4 reference' in register4x4 ? '4x4 reference' : undefined,
    error: (y: Float32Array) => errorOfRows(y, pseudoRandom(m * k, 1), numbersOf(patterns, dtype), m, k, n),
  };
}

/**
 * What a default has to beat: a plain register tile of 4x4 for each thread, operands as vectors along K straight from storage,
 * sums as vectors, sizes known to the compiler. No edges: only for sizes that its tiles divide.
 */
function runRegister4x4(rec: Recorder, x: Tensor, weight: Tensor): Tensor {
  const [m, k] = x.shape;
  const n = weight.shape[0];
  const y = rec.temp('y', 'f32', [m, n]);
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

export function pseudoRandomBits(words: number, dtype: WeightDType): Uint32Array<ArrayBuffer> {
  const one = { f32: 0x3f800000, f16: 0x3c003c00, bf16: 0x3f803f80 }[dtype];
  const mask = { f32: 0x807fffff, f16: 0x83ff83ff, bf16: 0x807f807f }[dtype];
  let state = 7;
  return new Uint32Array(words).map(() => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (one | ((state ^ (state >>> 16) ^ (state << 13)) & mask)) >>> 0;
  });
}

/** The number at an index of stored bits. */
export function numbersOf(bits: Uint32Array, dtype: WeightDType): (i: number) => number {
  if (dtype === 'f32') {
    const f32 = new Float32Array(bits.buffer);
    return (i) => f32[i];
  }
  const halves = new Uint16Array(bits.buffer);
  const [fraction, bias] = dtype === 'f16' ? [0x3ff, 1024] : [0x7f, 128];
  return (i) => (halves[i] & 0x8000 ? -1 : 1) * (1 + (halves[i] & fraction) / bias);
}

/** NMSE of up to 16 rows of y, the first and the last among them: the whole of a large product would take minutes. */
function errorOfRows(y: Float32Array, x: Float32Array, w: (i: number) => number, m: number, k: number, n: number) {
  const rows = Math.min(m, 16);
  let error = 0;
  let power = 0;
  for (let r = 0; r < rows; r++) {
    const row = rows === 1 ? 0 : Math.round((r * (m - 1)) / (rows - 1));
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let c = 0; c < k; c++) sum += x[row * k + c] * w(j * k + c);
      error += (y[row * n + j] - sum) ** 2;
      power += sum ** 2;
    }
  }
  return error / power;
}
