// What is measured: an operation at one size, with the data that all see and the float64 reference that all are held against.
import { f16 } from '../../src/gpu/formats/f16.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import type { Format } from '../../src/gpu/formats/format.ts';
import { q4 } from '../../src/gpu/formats/q4.ts';
import { q8 } from '../../src/gpu/formats/q8.ts';
import { attentionProblem } from '../../src/kernels/attention/problem.ts';
import { type AttentionSizes, attentionCase } from '../../src/kernels/attention/reference.ts';
import { activationProblem } from '../../src/kernels/elementwise/problem.ts';
import { matmulProblem } from '../../src/kernels/matmul/problem.ts';
import { normProblem } from '../../src/kernels/norm/problem.ts';
import type { Problem } from '../../src/kernels/problem.ts';

export interface MatmulRow {
  readonly op: 'matmul';
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

export interface AttentionRow extends AttentionSizes {
  readonly op: 'attention';
}

export interface PerElementRow {
  readonly op: 'layerNorm' | 'rmsNorm' | 'gelu';
  readonly rows: number;
  readonly columns: number;
}

export type Row = MatmulRow | AttentionRow | PerElementRow;

/** The last one is next to nothing: what it takes is what a call of each library takes. */
export const rows: readonly Row[] = [
  { op: 'matmul', m: 1, k: 4096, n: 1024 },
  { op: 'matmul', m: 16, k: 4096, n: 512 },
  { op: 'matmul', m: 64, k: 1024, n: 1024 },
  { op: 'matmul', m: 577, k: 1024, n: 512 },
  { op: 'attention', queries: 577, keys: 577, heads: 4, kvHeads: 4, headSize: 64, causal: false },
  { op: 'attention', queries: 320, keys: 320, heads: 4, kvHeads: 4, headSize: 128, causal: true },
  { op: 'attention', queries: 1, keys: 640, heads: 32, kvHeads: 32, headSize: 128, causal: true },
  { op: 'attention', queries: 1, keys: 4096, heads: 28, kvHeads: 4, headSize: 128, causal: true },
  { op: 'layerNorm', rows: 577, columns: 1024 },
  { op: 'rmsNorm', rows: 577, columns: 1024 },
  { op: 'gelu', rows: 577, columns: 4096 },
  { op: 'gelu', rows: 1, columns: 64 },
];

export function nameOf(row: Row): string {
  if (row.op === 'matmul') return `matmul ${row.m}x${row.k}x${row.n}`;
  if (row.op !== 'attention') return `${row.op} ${row.rows}x${row.columns}`;
  const { queries, keys, heads, kvHeads, headSize, causal } = row;
  const grouped = kvHeads === heads ? '' : `/${kvHeads}`;
  return `attention ${causal ? 'causal' : 'full'} ${queries}x${keys}, ${heads}${grouped} heads of ${headSize}`;
}

/** Formats of our weights; peers get the numbers that the format stores, so that a format's error is nobody's. */
export const weightFormats: readonly Format[] = [f32, f16, q8, q4];

/** @param format of the weight of a matmul, f32 by default. */
export function problemOf(row: Row, format: Format = f32): Problem {
  switch (row.op) {
    case 'matmul':
      return matmulProblem({ ...row, format });
    case 'attention':
      return attentionProblem(nameOf(row), attentionCase(row));
    case 'gelu':
      return activationProblem('gelu', [row.rows, row.columns]);
    default:
      return normProblem(row.op === 'layerNorm' ? 'layer' : 'rms', [row.rows, row.columns]);
  }
}

/** The inputs of a problem by their labels, as bytes. */
export function inputsOf(problem: Problem): ReadonlyMap<string, Uint8Array<ArrayBuffer>> {
  const inputs = new Map<string, Uint8Array<ArrayBuffer>>();
  problem.prepare((label, dtype, shape, data) => {
    const bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    inputs.set(label, bytes.slice());
    return { label, dtype, shape, offset: 0, storage: { label, size: bytes.length, buffer: undefined } };
  });
  return inputs;
}

/** The same as f32. */
export function floatsOf(problem: Problem): Record<string, Float32Array<ArrayBuffer>> {
  return Object.fromEntries([...inputsOf(problem)].map(([label, bytes]) => [label, new Float32Array(bytes.buffer)]));
}

/** [rows, columns] as [columns, rows]. */
export function transposed(values: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  return new Float32Array(values.length).map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

/** [tokens, heads, headSize] as [heads, tokens, headSize], as caches of other libraries are. */
export function headsFirst(values: Float32Array, tokens: number, heads: number): Float32Array<ArrayBuffer> {
  const size = values.length / tokens / heads;
  const out = new Float32Array(values.length);
  for (let t = 0; t < tokens; t++)
    for (let h = 0; h < heads; h++)
      out.set(values.subarray((t * heads + h) * size, (t * heads + h + 1) * size), (h * tokens + t) * size);
  return out;
}
