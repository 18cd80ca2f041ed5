import type { Format } from '../../gpu/formats/format.ts';
import { type ActivationFunction, activationWgsl } from '../activation/activation.wgsl.ts';
import { vectorType } from '../vectors.ts';

/**
 * What becomes part of the WGSL source. Sizes are params instead: compiling takes longer than many a product (0.3 s on
 * SwiftShader), and so all layers of a model share a handful of pipelines.
 */
export interface MatmulTraits {
  /** Of the weight. */
  readonly format: Format;
  readonly bias: boolean;
  readonly residual: boolean;
  readonly activation?: ActivationFunction;
  /** The weight is a gate's rows above as many others, with both biases so: y = act(gate) * other. Variants `matvec…` alone have it. */
  readonly gated?: boolean;
}

/** `lines(3, (i) => 'let a' + i + ' = 0;')`: unrolled WGSL. */
export const lines = (count: number, line: (i: number) => string, separator = '\n') =>
  Array.from({ length: count }, (_, i) => line(i)).join(separator);

/**
 * Bindings, params and the epilogue that all variants share.
 * - vector 4: `xAt(i)` and `weightAt(i)` give the i-th four elements; needs K to be a multiple of 4.
 * - vector 1: the i-th number, whatever K.
 * - `dotAdd(a, b, sum)`: the dot product of two vectors and the sum so far.
 * - `finish(row, weightRow, sum)`: takes a dot product to y; drops what lies outside of y. With `gated` it takes two, the gate's first.
 */
export function matmulHeader({ format, bias, residual, activation, gated }: MatmulTraits, vector: 1 | 4): string {
  const weight = format.bindings(1, 'weight', vector);
  let binding = 1 + weight.length;
  const optional = (name: string, present: boolean) =>
    present ? `@group(0) @binding(${binding++}) var<storage, read> ${name}: array<f32>;\n` : '';
  return /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<${vectorType(vector)}>;
${weight.join('\n')}
${optional('bias', bias)}${optional('residual', residual)}\
@group(0) @binding(${binding++}) var<storage, read_write> y: array<f32>;
// n: rows of this part of the weight${gated ? ', of the gate alone' : ''}; columns: of y, the rows of all parts
struct Params { rows: u32, n: u32, k: u32, columns: u32, firstColumn: u32 }
@group(0) @binding(${binding}) var<uniform> params: Params;
${activation ? activationWgsl(activation) : ''}
${operandsWgsl(format, vector)}
fn finish(row: u32, weightRow: u32, sum: f32${gated ? ', other: f32' : ''}) {
  if (row < params.rows && weightRow < params.n) {
    let column = params.firstColumn + weightRow;
    let at = row * params.columns + column;
    y[at] = ${residual ? 'residual[at] + ' : ''}${activation ? 'act' : ''}(sum${bias ? ' + bias[column]' : ''})\
${gated ? ` * (other${bias ? ' + bias[params.n + column]' : ''})` : ''};
  }
}
`;
}

/** `xAt`, `weightAt` and `dotAdd` over the bindings `x` and `weight`. */
export const operandsWgsl = (format: Format, vector: 1 | 4) => /* wgsl */ `
fn xAt(i: u32) -> ${vectorType(vector)} { return x[i]; }
${format.reader('weight', vector)}
// dot() costs five instructions instead of four where it becomes a product, three multiply-adds and a sum (AMD GCN)
fn dotAdd(a: vec4f, b: vec4f, sum: f32) -> f32 {
  return fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, sum))));
}`;

/** Numbers the workgroups of a folded grid, and with them tiles of y: those of one column first, as they share weights. */
export const tileWgsl = (rows: number, columns: number) => /* wgsl */ `
  let tile = id.y * count.x + id.x;
  let rowTiles = (params.rows + ${rows - 1}u) / ${rows}u;
  let firstRow = tile % rowTiles * ${rows}u;
  let firstWeightRow = tile / rowTiles * ${columns}u;
`;
