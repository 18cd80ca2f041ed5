import type { Format } from '../../gpu/formats/format.ts';
import type { Width } from '../elementwise/per-element.ts';
import { dotProduct, type VectorWidth, vectorType } from '../vectors.ts';

export interface HeadResultShape {
  readonly heads: number;
  readonly headSize: number;
  readonly dModel: number;
  /** Of the weight. */
  readonly format: Format;
  readonly width: VectorWidth;
}

/** Queries of a thread: a vector of weights is loaded once for all of them. */
export const queriesPerThread = 4;

/**
 * A thread for each row of W_O and `queriesPerThread` queries, in one head: 5 vector loads for 16 multiply-adds. One variant,
 * for it runs only when somebody asks for hook_result. Sums are vectors over the head: `dot` costs an addition for each four
 * multiply-adds (957 instructions on RDNA3 for heads of 128 in f32, against 857).
 *
 * Machine code, heads of 128 (bench/isa): RDNA3 48 registers, RDNA2 32, GCN 36, Ampere 42; no spills, no workgroup memory.
 */
export function headResultWgsl(shape: HeadResultShape): string {
  const { width } = shape;
  // Formats read four numbers or one.
  const vectorAt = (i: string) =>
    width === 2 ? `vec2f(weightAt(2u * ${i}), weightAt(2u * ${i} + 1u))` : `weightAt(${i})`;
  const each = (line: (i: number) => string) => Array.from({ length: queriesPerThread }, (_, i) => line(i)).join('\n');
  return /* wgsl */ `${headResultContract(shape)}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x; // of this part of the weight
  let query = id.y * ${queriesPerThread}u;
  let head = id.z;
  if (row >= params.rows) { return; }
  ${each((i) => `let z${i} = (min(query + ${i}u, params.queries - 1u) * heads + head) * chunks; var sum${i} = Vector();`)}
  for (var c = 0u; c < chunks; c++) {
    let w = ${vectorAt('((row * heads + head) * chunks + c)')};
    ${each((i) => `sum${i} = fma(z[z${i} + c], w, sum${i});`)}
  }
  let column = params.firstRow + row;
  ${each((i) => `if (query + ${i}u < params.queries) { result[((query + ${i}u) * heads + head) * dModel + column] = ${dotProduct(width, `sum${i}`, 'Vector(1.0)')}; }`)}
}`;
}

export function headResultContract({ heads, headSize, dModel, format, width }: HeadResultShape): string {
  const atOnce = width === 4 ? 4 : 1;
  const weight = format.bindings(1, 'weight', atOnce);
  const next = 1 + weight.length;
  return /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params { queries: u32, firstRow: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> z: array<Vector>;
${weight.join('\n')}
@group(0) @binding(${next}) var<storage, read_write> result: array<f32>;
@group(0) @binding(${next + 1}) var<uniform> params: Params;

const heads = ${heads}u;
const chunks = ${headSize / width}u;
const dModel = ${dModel}u;
${format.reader('weight', atOnce)}
`;
}

/** A number of a row is the sum of those of all heads (for `perElement`). */
export function headSumBody(heads: number, dModel: number, width: Width, biased: boolean): string {
  const n = `${dModel / width}u`;
  return /* wgsl */ `
  let column = i % ${n};
  var at = i / ${n} * ${heads}u * ${n} + column;
  var sum = ${biased ? 'bias[column]' : 'T()'};
  for (var head = 0u; head < ${heads}u; head++) { sum += result[at]; at += ${n}; }
  out[i] = sum;`;
}
