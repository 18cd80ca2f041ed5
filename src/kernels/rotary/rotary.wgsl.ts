import type { Format } from '../../gpu/formats/format.ts';
import { type VectorWidth, vectorType } from '../vectors.ts';

/** Row of `out` for a row of x: each sequence of `perSequence` rows goes to its own stretch of `pitch` rows. */
export const rowInOut = /* wgsl */ `
fn rowInOut(row: u32) -> u32 {
  return row / params.perSequence * params.pitch + params.outRow + row % params.perSequence;
}`;

/** Where vectors of `width` numbers are written: as they are, or with `stored` through that format's writer, of two or of four. */
export function output(binding: number, name: string, width: VectorWidth, stored?: Format): string {
  if (!stored) return `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<Vector>;`;
  const { bindings, store } = width === 2 ? stored.pairWriter! : stored.writer!;
  return [...bindings(binding, name), store(name)].join('\n');
}

/** The statement that writes vector `at` of an output. */
export function write(name: string, at: string, value: string, width: VectorWidth, stored?: Format): string {
  if (!stored) return `${name}[${at}] = ${value};`;
  if (width === 2) return `${name}StorePair(${at}, ${value});`;
  return `{ var four = array<vec4f, 1>(${value}); ${name}Store(${at}, &four); }`;
}

/**
 * A thread for each `width` pairs (i, i + D/2). Threads past 65535 workgroups go on in the second dimension.
 * @param stored the format of the output where it is not f32: one that writes units of 4, which are then the width.
 */
export const rotaryWgsl = (heads: number, headSize: number, width: VectorWidth, stored?: Format) => /* wgsl */ `\
${rotaryContract(heads, headSize, width, stored)}
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
  ${write('y', 'to', 'a * cosine - b * sine', width, stored)}
  ${write('y', 'to + half', 'b * cosine + a * sine', width, stored)}
}`;

export const rotaryContract = (heads: number, headSize: number, width: VectorWidth, stored?: Format) => /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params { pairs: u32, outRow: u32, perSequence: u32, pitch: u32 }
@group(0) @binding(0) var<storage, read> x: array<Vector>;
@group(0) @binding(1) var<storage, read> table: array<Vector>; // a row for each row of x: cosines, then sines
${output(2, 'y', width, stored)}
@group(0) @binding(3) var<uniform> params: Params;

const heads = ${heads}u;
const half = ${headSize / 2 / width}u; // vectors in half a head
${rowInOut}
`;

/** A thread for each `width` words; with `stored` for each four numbers, which it writes in that format. */
export const copyRowsWgsl = (width: VectorWidth, stored?: Format) => /* wgsl */ `${copyRowsContract(width, stored)}
@compute @workgroup_size(64) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
  let i = id.x + id.y * count.x * 64u;
  if (i >= params.count) { return; }
  ${write('y', 'rowInOut(i / params.rowWidth) * params.rowWidth + i % params.rowWidth', 'x[i]', width, stored)}
}`;

export const copyRowsContract = (width: VectorWidth, stored?: Format) => /* wgsl */ `
alias Vector = ${vectorType(width, stored ? 'f32' : 'u32')};
struct Params { count: u32, rowWidth: u32, outRow: u32, perSequence: u32, pitch: u32 }
@group(0) @binding(0) var<storage, read> x: array<Vector>;
${output(1, 'y', width, stored)}
@group(0) @binding(2) var<uniform> params: Params;
${rowInOut}
`;
