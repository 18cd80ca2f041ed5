import { type VectorWidth, vectorType } from '../vectors.ts';

/** Row of `out` for a row of x: each sequence of `perSequence` rows goes to its own stretch of `pitch` rows. */
const outRow = /* wgsl */ `
fn rowInOut(row: u32) -> u32 {
  return row / params.perSequence * params.pitch + params.outRow + row % params.perSequence;
}`;

/** A thread for each `width` pairs (i, i + D/2). Threads past 65535 workgroups go on in the second dimension. */
export const rotaryWgsl = (heads: number, headSize: number, width: VectorWidth) => /* wgsl */ `\
${rotaryContract(heads, headSize, width)}
@compute @workgroup_size(64) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
  let pair = id.x + id.y * count.x * 64u;
  if (pair >= params.pairs) { return; }
  let head = pair / half; // of all rows
  let i = pair % half;
  let at = head * half * 2u + i;
  let row = head / heads;
  let to = (rowInOut(row) * heads + head % heads) * half * 2u + i;
  let angle = row * half * 2u + i;
  let cosine = table[angle];
  let sine = table[angle + half];
  let a = x[at];
  let b = x[at + half];
  y[to] = a * cosine - b * sine;
  y[to + half] = b * cosine + a * sine;
}`;

export const rotaryContract = (heads: number, headSize: number, width: VectorWidth) => /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params { pairs: u32, outRow: u32, perSequence: u32, pitch: u32 }
@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> table: array<Vector>; // a row for each row of x: cosines, then sines
@group(0) @binding(2) var<storage, read_write> y: array<Vector>;
@group(0) @binding(3) var<uniform> params: Params;

const heads = ${heads}u;
const half = ${headSize / 2 / width}u; // vectors in half a head
${outRow}
`;

/** A thread for each `width` words. */
export const copyRowsWgsl = (width: VectorWidth) => /* wgsl */ `${copyRowsContract(width)}
@compute @workgroup_size(64) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
  let i = id.x + id.y * count.x * 64u;
  if (i >= params.count) { return; }
  y[rowInOut(i / params.rowWidth) * params.rowWidth + i % params.rowWidth] = x[i];
}`;

export const copyRowsContract = (width: VectorWidth) => /* wgsl */ `
alias Vector = ${vectorType(width, 'u32')};
struct Params { count: u32, rowWidth: u32, outRow: u32, perSequence: u32, pitch: u32 }
@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read_write> y: array<Vector>;
@group(0) @binding(2) var<uniform> params: Params;
${outRow}
`;
