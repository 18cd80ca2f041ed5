import { type Activation, activationWgsl } from '../activation/activation.wgsl.ts';

export type WeightDType = 'f32' | 'f16' | 'bf16';

/** What is fixed for one part of a model's weight, and therefore part of the WGSL text. */
export interface MatmulShape {
  /** Rows of the weight's part: columns of y that the dispatch writes. */
  readonly n: number;
  readonly k: number;
  /** Columns of y: the rows of all parts. */
  readonly columns: number;
  readonly dtype: WeightDType;
  readonly bias: boolean;
  readonly residual: boolean;
  readonly activation?: Activation;
}

/** Two stored numbers of a u32, the first in its low half. */
export const unpackWgsl: Record<'f16' | 'bf16', string> = {
  f16: 'fn unpack(w: u32) -> vec2f { return unpack2x16float(w); }',
  bf16: 'fn unpack(w: u32) -> vec2f { return vec2f(bitcast<f32>(w << 16u), bitcast<f32>(w & 0xffff0000u)); }',
};

/**
 * Bindings, constants and the epilogue that all variants share. `finish` takes a row of y, a row of the weight's part and
 * their dot product, and drops what lies outside of y.
 */
export function matmulHeader(shape: MatmulShape, xType: string, weightType: string): string {
  const { n, k, columns, dtype, bias, residual, activation } = shape;
  let binding = 2;
  const optional = (name: string, present: boolean) =>
    present ? `@group(0) @binding(${binding++}) var<storage, read> ${name}: array<f32>;\n` : '';
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<${xType}>;
@group(0) @binding(1) var<storage, read> weight: array<${weightType}>;
${optional('bias', bias)}${optional('residual', residual)}\
@group(0) @binding(${binding++}) var<storage, read_write> y: array<f32>;
struct Params { rows: u32, firstColumn: u32 }
@group(0) @binding(${binding}) var<uniform> params: Params;
const n = ${n}u;
const k = ${k}u;
const columns = ${columns}u;
${dtype === 'f32' ? '' : unpackWgsl[dtype]}
${activation ? activationWgsl(activation) : ''}
fn finish(row: u32, weightRow: u32, sum: f32) {
  if (row >= params.rows || weightRow >= n) { return; }
  let column = params.firstColumn + weightRow;
  let at = row * columns + column;
  var value = sum;
  ${bias ? 'value += bias[column];' : ''}
  ${activation ? 'value = act(value);' : ''}
  ${residual ? 'value += residual[at];' : ''}
  y[at] = value;
}
`;
}

/** Variant `base`: a thread for each element of y, one number at a time; any K, also odd ones stored in half words. */
export function matmulBaseWgsl(shape: MatmulShape): string {
  const f32 = shape.dtype === 'f32';
  return /* wgsl */ `${matmulHeader(shape, 'f32', f32 ? 'f32' : 'u32')}
fn weightAt(i: u32) -> f32 {
  ${f32 ? 'return weight[i];' : 'let pair = unpack(weight[i >> 1u]); return select(pair.x, pair.y, (i & 1u) == 1u);'}
}
@compute @workgroup_size(64) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (id.y * count.x + id.x) * 64u + t;
  let row = i / n;
  if (row >= params.rows) { return; }
  let weightRow = i % n;
  var sum = 0.0;
  for (var j = 0u; j < k; j++) { sum = fma(x[row * k + j], weightAt(weightRow * k + j), sum); }
  finish(row, weightRow, sum);
}
`;
}
