import type { Format } from '../../gpu/formats/format.ts';
import { type VectorWidth, vectorType } from '../vectors.ts';
import { output, rowInOut, write } from './rotary.wgsl.ts';

export interface AppendTraits {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  /** Of the vectors that are turned and written. */
  readonly width: VectorWidth;
  /** The format of both caches where it is not f32. */
  readonly stored?: Format;
}

/**
 * `append(row, head, i, a, b)`: turns vector i of a head's first half, a, and that of its second half, b, where the head is of q or k, and
 * writes both, to q or to the cache that they belong to. Heads are numbered as in a row of q, k and v side by side.
 * @param first its first binding, of four; the kernel's `params` have outRow, perSequence and pitch (`rowInOut`).
 */
export const appendWgsl = ({ heads, kvHeads, headSize, width, stored }: AppendTraits, first: number) => /* wgsl */ `
alias Vector = ${vectorType(width)};
@group(0) @binding(${first}) var<storage, read> table: array<Vector>; // in each row cosines, then sines
@group(0) @binding(${first + 1}) var<storage, read_write> q: array<Vector>;
${output(first + 2, 'keys', width, stored)}
${output(first + 3, 'values', width, stored)}

const heads = ${heads}u;
const kvHeads = ${kvHeads}u;
const half = ${headSize / 2 / width}u; // vectors in half a head
${rowInOut}
fn append(row: u32, head: u32, i: u32, a: Vector, b: Vector) {
  let cached = (rowInOut(row) * kvHeads + (head - heads) % kvHeads) * half * 2u + i;
  if (head >= heads + kvHeads) {
    ${write('values', 'cached', 'a', width, stored)}
    ${write('values', 'cached + half', 'b', width, stored)}
  } else {
    let angle = row * half * 2u + i;
    let cosine = table[angle];
    let sine = table[angle + half];
    let re = a * cosine - b * sine;
    let im = b * cosine + a * sine;
    if (head < heads) {
      let to = (row * heads + head) * half * 2u + i;
      q[to] = re;
      q[to + half] = im;
    } else {
      ${write('keys', 'cached', 're', width, stored)}
      ${write('keys', 'cached + half', 'im', width, stored)}
    }
  }
}`;

/**
 * A thread for each `width` pairs of a head: it turns those of q and k as `rotaryWgsl` does, and takes k and v to their caches.
 * Compiled for GPUs: 36 (navi31), 32 (navi21), 24 (renoir) and 27 (Ampere) registers, no spills, no scratch.
 */
export const rotateAndAppendWgsl = (traits: AppendTraits) => /* wgsl */ `
@group(0) @binding(0) var<storage, read> qkv: array<Vector>; // in a row the heads of q, then those of k, then those of v
${appendWgsl(traits, 1)}
struct Params { pairs: u32, outRow: u32, perSequence: u32, pitch: u32 }
@group(0) @binding(5) var<uniform> params: Params;
@compute @workgroup_size(64) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
  let pair = id.x + id.y * count.x * 64u;
  if (pair >= params.pairs) { return; }
  let i = pair % half;
  let source = pair / half; // head of all rows
  let at = source * half * 2u + i;
  append(source / (heads + 2u * kvHeads), source % (heads + 2u * kvHeads), i, qkv[at], qkv[at + half]);
}`;
