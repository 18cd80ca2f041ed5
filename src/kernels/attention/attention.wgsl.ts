import { dotProduct, type VectorWidth, vectorType } from '../vectors.ts';

/** What is fixed for a model, and therefore part of the WGSL text. */
export interface AttentionShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headSize: number;
  readonly causal: boolean;
  readonly width: VectorWidth;
}

/** Bindings and the arithmetic of indices that all variants share; all sizes in vectors of `width`. */
export const attentionHeader = ({ heads, kvHeads, headSize, causal, width }: AttentionShape) => /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params { queries: u32, keys: u32, keyRows: u32, offset: u32, scale: f32 }
const heads = ${heads}u;
const kvHeads = ${kvHeads}u;
const chunks = ${headSize / width}u;       // vectors in a head
const lowest = -3.4028234663852886e38;     // stands for minus infinity, which WGSL lacks
// keys that the query sees
fn visible(query: u32, queries: u32, keys: u32, offset: u32) -> u32 {
  return ${causal ? 'min(keys, offset + query + 1u)' : 'keys'};
}
`;

/**
 * Variant `keys`: a workgroup for one query of one head, keys spread over its threads. Block by block, each thread scores a
 * key of its own; then each takes one vector of the head and every so-manieth key of the values.
 */
export function attentionKeysWgsl(shape: AttentionShape): string {
  const { headSize, width } = shape;
  const threads = 128;
  const chunks = headSize / width;
  const groups = Math.max(1, Math.floor(threads / chunks)); // of threads, each with every groups-th key
  const rounds = Math.ceil(chunks / threads); // vectors of the output that one thread sums up
  const range = Array.from({ length: rounds }, (_, i) => i);
  return /* wgsl */ `${attentionHeader(shape)}
@group(0) @binding(0) var<storage, read> q: array<Vector>;
@group(0) @binding(1) var<storage, read> k: array<Vector>;
@group(0) @binding(2) var<storage, read> v: array<Vector>;
@group(0) @binding(3) var<storage, read_write> z: array<Vector>;
@group(0) @binding(4) var<uniform> params: Params;

const threads = ${threads}u;
const groups = ${groups}u;
var<workgroup> query: array<Vector, chunks>;
var<workgroup> weights: array<f32, threads>;
var<workgroup> partial: array<f32, 8>;
var<workgroup> merged: array<Vector, threads>;

@compute @workgroup_size(threads) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
  let head = id.y;
  let qStart = ((id.z * params.queries + id.x) * heads + head) * chunks;
  let kvStart = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let limit = visible(id.x, params.queries, params.keys, params.offset);
  let group = t / chunks;
  for (var c = t; c < chunks; c += threads) { query[c] = q[qStart + c]; }
  workgroupBarrier();

  var peak = lowest;
  var total = 0.0;
  ${range.map((r) => `var acc${r} = Vector();`).join(' ')}
  for (var start = 0u; start < limit; start += threads) {
    let key = start + t;
    var score = lowest;
    if (key < limit) {
      let at = kvStart + key * kvHeads * chunks;
      var sum = 0.0;
      for (var c = 0u; c < chunks; c++) { sum += ${dotProduct(width, 'query[c]', 'k[at + c]')}; }
      score = sum * params.scale;
    }
    weights[t] = score;
    workgroupBarrier();
    if (t < 8u) {
      var largest = weights[t];
      for (var i = t + 8u; i < threads; i += 8u) { largest = max(largest, weights[i]); }
      partial[t] = largest;
    }
    workgroupBarrier();
    var newPeak = peak;
    for (var i = 0u; i < 8u; i++) { newPeak = max(newPeak, partial[i]); }
    let shrink = exp(peak - newPeak);
    let weight = select(0.0, exp(score - newPeak), key < limit);
    peak = newPeak;
    total = total * shrink + weight;
    weights[t] = weight;
    workgroupBarrier();
    let count = min(threads, limit - start);
    if (group < groups) {
      ${range.map((r) => `acc${r} *= shrink;`).join(' ')}
      for (var i = group; i < count; i += groups) {
        let at = kvStart + (start + i) * kvHeads * chunks + t % chunks;
        ${range
          .map((r) =>
            rounds === 1
              ? `acc0 += weights[i] * v[at];`
              : `if (t + ${r * threads}u < chunks) { acc${r} += weights[i] * v[at + ${r * threads}u]; }`,
          )
          .join('\n        ')}
      }
    }
    workgroupBarrier();
  }

  weights[t] = total;
  merged[t] = acc0;
  workgroupBarrier();
  if (t < 8u) {
    var sum = weights[t];
    for (var i = t + 8u; i < threads; i += 8u) { sum += weights[i]; }
    partial[t] = sum;
  }
  workgroupBarrier();
  total = 0.0;
  for (var i = 0u; i < 8u; i++) { total += partial[i]; }
  if (t < chunks) {
    for (var g = 1u; g < groups; g++) { acc0 += merged[g * chunks + t]; }
  }
  ${range.map((r) => `if (t + ${r * threads}u < chunks) { z[qStart + t + ${r * threads}u] = acc${r} / total; }`).join('\n  ')}
}`;
}
