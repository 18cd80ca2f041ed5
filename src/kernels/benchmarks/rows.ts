import { argmax } from '../argmax/argmax.ts';
import { add, gatedActivation } from '../elementwise/elementwise.ts';
import type { Gpu } from '../gpu.ts';
import { chooseNorm, layerNorm, normCost, rmsNorm } from '../norm/norm.ts';
import type { NormKind, NormVariant } from '../norm/norm.wgsl.ts';
import type { Recorder } from '../recorder.ts';
import { elementCount } from '../tensor.ts';
import { pseudoRandom } from './data.ts';
import type { BenchmarkGroup, PreparedGroup } from './group.ts';

/** Kernels that read a row and write a row: bound by memory on a GPU. Rows of the embedded checkpoint and of LLaVA-1.5-7B. */
export const rowBenchmarks: BenchmarkGroup[] = [
  norm('layer', 60, 128),
  norm('layer', 577, 1024),
  norm('rms', 60, 128),
  norm('rms', 1, 4096),
  norm('rms', 640, 4096),
  binary('add', [60, 128]),
  binary('add', [640, 4096]),
  binary('silu x up', [60, 352]),
  binary('silu x up', [640, 11008]),
  largest(762),
  largest(32064),
];

function norm(kind: NormKind, rows: number, columns: number): BenchmarkGroup {
  return {
    name: `${kind} norm [${rows},${columns}]`,
    flops: normCost(kind, rows, columns).flops,
    op: kind === 'layer' ? 'layerNorm' : 'rmsNorm',
    prepare(gpu) {
      const data = pseudoRandom(rows * columns, 1);
      const x = gpu.tensor('x', 'f32', [rows, columns], data);
      const weight = gpu.tensor('weight', 'f32', [columns], new Float32Array(columns).fill(1));
      const bias = gpu.tensor('bias', 'f32', [columns]);
      const args = { x, weight, eps: 1e-5, label: 'y' };
      const run = (variant?: NormVariant) => (rec: Recorder) =>
        kind === 'layer' ? layerNorm(rec, { ...args, bias, variant }) : rmsNorm(rec, { ...args, variant });
      const withoutSubgroups = chooseNorm(columns, { ...gpu.capabilities, subgroupMinSize: 0 });
      return {
        tensors: [x, weight, bias],
        candidates: { workgroup: run(withoutSubgroups), default: run() },
        baseline: 'workgroup',
        error: (y) => errorOf(y, (i) => normalized(kind, data, Math.floor(i / columns), columns, i % columns)),
      };
    },
  };
}

function binary(name: 'add' | 'silu x up', shape: [number, number]): BenchmarkGroup {
  const count = elementCount(shape);
  return {
    name: `${name} [${shape}]`,
    flops: count,
    op: name === 'add' ? 'add' : 'gatedActivation',
    prepare(gpu) {
      const [a, b] = [pseudoRandom(count, 1), pseudoRandom(count, 2)];
      const tensors = [gpu.tensor('a', 'f32', shape, a), gpu.tensor('b', 'f32', shape, b)];
      const [gate, up] = tensors;
      return name === 'add'
        ? {
            tensors,
            candidates: { default: (rec) => add(rec, { a: gate, b: up, label: 'y' }) },
            error: (y) => errorOf(y, (i) => a[i] + b[i]),
          }
        : {
            tensors,
            candidates: { default: (rec) => gatedActivation(rec, { gate, up, activation: 'silu', label: 'y' }) },
            error: (y) => errorOf(y, (i) => (a[i] / (1 + Math.exp(-a[i]))) * b[i]),
          };
    },
  };
}

function largest(columns: number): BenchmarkGroup {
  return {
    name: `argmax [1,${columns}]`,
    flops: columns,
    op: 'argmax',
    prepare(gpu: Gpu): PreparedGroup {
      const data = pseudoRandom(columns, 1);
      const x = gpu.tensor('x', 'f32', [1, columns], data);
      const expected = data.indexOf(Math.max(...data));
      return {
        tensors: [x],
        candidates: { default: (rec) => argmax(rec, { x, label: 'y' }) },
        error: (y) => (new Uint32Array(y.buffer)[0] === expected ? 0 : 1),
      };
    },
  };
}

/** Element of a row normalised in float64, with weight 1 and bias 0. */
function normalized(kind: NormKind, x: Float32Array, row: number, columns: number, column: number): number {
  const values = x.subarray(row * columns, (row + 1) * columns);
  let mean = 0;
  if (kind === 'layer') for (const v of values) mean += v / columns;
  let variance = 1e-5;
  for (const v of values) variance += (v - mean) ** 2 / columns;
  return (values[column] - mean) / Math.sqrt(variance);
}

/** NMSE of about 500 elements, the first and the last among them. */
function errorOf(y: Float32Array, expected: (index: number) => number): number {
  let error = 0;
  let power = 0;
  for (let sample = 0; sample < 500; sample++) {
    const index = Math.round((sample * (y.length - 1)) / 499);
    error += (y[index] - expected(index)) ** 2;
    power += expected(index) ** 2;
  }
  return error / power;
}
