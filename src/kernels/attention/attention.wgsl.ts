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
 * Variant `split`: a workgroup for one query of one head, keys spread over its threads. Block by block, each thread scores a
 * key of its own; then each takes one vector of the head and every so-manieth key of the values.
 */
export function attentionSplitWgsl(shape: AttentionShape): string {
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

/** How variant `tile` divides a workgroup: `groups` of 4 queries, times `lanes` that share the keys and the head's vectors. */
export interface AttentionTile {
  readonly groups: number;
  readonly lanes: number;
  /** Keys that a thread scores at once. */
  readonly keysPerThread: number;
}

const list = (count: number, line: (i: number) => string, separator = '\n') =>
  Array.from({ length: count }, (_, i) => line(i)).join(separator);
const parts = ['x', 'y', 'z', 'w'];

/**
 * Variant `tile`: a workgroup for a tile of queries of one head, which goes through the keys tile by tile. Each thread first
 * scores 4 queries against its keys, then sums 4 queries' values in its vectors of the head; the weights pass between the
 * two through workgroup memory. Keys, queries and values come straight from storage.
 */
export function attentionTileWgsl(shape: AttentionShape, { groups, lanes, keysPerThread }: AttentionTile): string {
  const { headSize, width } = shape;
  const chunks = headSize / width;
  const rounds = Math.ceil(chunks / lanes); // vectors of the output that a thread sums up for each of its queries
  const component = (v: string, i: number) => (width === 1 ? v : `${v}.${parts[i]}`);
  return /* wgsl */ `${attentionHeader(shape)}
@group(0) @binding(0) var<storage, read> q: array<Vector>;
@group(0) @binding(1) var<storage, read> k: array<Vector>;
@group(0) @binding(2) var<storage, read> v: array<Vector>;
@group(0) @binding(3) var<storage, read_write> z: array<Vector>;
@group(0) @binding(4) var<uniform> params: Params;

const groups = ${groups}u;
const lanes = ${lanes}u;
const tile = ${lanes * keysPerThread}u; // keys
var<workgroup> weights: array<vec4f, tile * groups>; // of a key for 4 queries
var<workgroup> partial: array<vec4f, lanes * groups>;

@compute @workgroup_size(${groups * lanes}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
  let group = t % groups;
  let lane = t / groups;
  let head = id.y;
  let query = (id.x * groups + group) * 4u;
  let lastQuery = params.queries - 1u;
  let qRow = id.z * params.queries;
  let kvStart = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let limit = visible(min(lastQuery, id.x * groups * 4u + groups * 4u - 1u), params.queries, params.keys, params.offset);
  ${list(4, (i) => `let qAt${i} = ((qRow + min(query + ${i}u, lastQuery)) * heads + head) * chunks;`)}
  ${list(4, (i) => `let sees${i} = visible(query + ${i}u, params.queries, params.keys, params.offset);`)}
  let sees = vec4u(sees0, sees1, sees2, sees3);

  var peak = vec4f(lowest);
  var total = vec4f();
  ${list(rounds * 4, (i) => `var acc${i} = Vector();`, ' ')}
  for (var start = 0u; start < limit; start += tile) {
    ${list(keysPerThread, (j) => `let key${j} = start + lane + ${j * lanes}u; let kAt${j} = kvStart + min(key${j}, limit - 1u) * kvHeads * chunks; var s${j} = vec4f();`)}
    for (var c = 0u; c < chunks; c++) {
      ${list(4, (i) => `let q${i} = q[qAt${i} + c];`)}
      ${list(width, (d) => `let qd${d} = vec4f(${list(4, (i) => component(`q${i}`, d), ', ')});`)}
      ${list(keysPerThread, (j) => `let k${j} = k[kAt${j} + c]; ${list(width, (d) => `s${j} = fma(qd${d}, vec4f(${component(`k${j}`, d)}), s${j});`, ' ')}`)}
    }
    var largest = peak;
    ${list(keysPerThread, (j) => `s${j} = select(vec4f(lowest), s${j} * params.scale, vec4u(key${j}) < sees); largest = max(largest, s${j});`)}
    partial[t] = largest;
    workgroupBarrier();
    for (var i = group; i < groups * lanes; i += groups) { largest = max(largest, partial[i]); }
    let shrink = exp(peak - largest);
    peak = largest;
    total *= shrink;
    ${list(keysPerThread, (j) => `let w${j} = select(vec4f(), exp(s${j} - peak), vec4u(key${j}) < sees); total += w${j}; weights[(lane + ${j * lanes}u) * groups + group] = w${j};`)}
    workgroupBarrier();
    ${list(rounds * 4, (i) => `acc${i} *= shrink.${parts[i % 4]};`)}
    let count = min(tile, limit - start);
    for (var i = 0u; i < count; i++) {
      let w = weights[i * groups + group];
      let at = kvStart + (start + i) * kvHeads * chunks;
      ${list(rounds, (r) => `let v${r} = v[at + min(lane + ${r * lanes}u, chunks - 1u)]; ${list(4, (i) => `acc${4 * r + i} = fma(Vector(w.${parts[i]}), v${r}, acc${4 * r + i});`, ' ')}`)}
    }
  }

  partial[t] = total;
  workgroupBarrier();
  total = vec4f();
  for (var i = group; i < groups * lanes; i += groups) { total += partial[i]; }
  ${list(
    rounds,
    (r) => `if (lane + ${r * lanes}u < chunks) {
  ${list(4, (i) => `  if (query + ${i}u <= lastQuery) { z[qAt${i} + lane + ${r * lanes}u] = acc${4 * r + i} / total.${parts[i]}; }`, '\n  ')}
  }`,
    '\n  ',
  )}
}`;
}
