import { type AttentionShape, attentionHeader } from '../attention/attention.wgsl.ts';
import { dotProduct } from '../vectors.ts';

/** A thread for each score. */
export const attentionScoresWgsl = (shape: AttentionShape) => /* wgsl */ `${attentionHeader(shape)}
@group(0) @binding(0) var<storage, read> q: array<Vector>;
@group(0) @binding(1) var<storage, read> k: array<Vector>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
  let key = id.x;
  let query = id.y;
  if (key >= params.keys || query >= params.queries) { return; }
  let batch = id.z / heads;
  let head = id.z % heads;
  var score = lowest;
  if (key < visible(query, params.queries, params.keys, params.offset)) {
    let qAt = ((batch * params.queries + query) * heads + head) * chunks;
    let kAt = ((batch * params.keyRows + key) * kvHeads + head / (heads / kvHeads)) * chunks;
    var sum = 0.0;
    for (var c = 0u; c < chunks; c++) { sum += ${dotProduct(shape.width, 'q[qAt + c]', 'k[kAt + c]')}; }
    score = sum * params.scale;
  }
  scores[(id.z * params.queries + query) * params.keys + key] = score;
}`;

/** A workgroup for each row. */
export const attentionPatternWgsl = /* wgsl */ `
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> pattern: array<f32>;
@group(0) @binding(2) var<uniform> params: vec4u; // keys, rows of one matrix

const threads = 64u;
const lowest = -3.4028234663852886e38;
var<workgroup> partial: array<f32, threads>;

@compute @workgroup_size(threads) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) t: u32) {
  let keys = params.x;
  let start = (id.y * params.y + id.x) * keys;
  var peak = lowest;
  for (var i = t; i < keys; i += threads) { peak = max(peak, scores[start + i]); }
  partial[t] = peak;
  workgroupBarrier();
  for (var i = 0u; i < threads; i++) { peak = max(peak, partial[i]); }
  workgroupBarrier();
  var total = 0.0;
  for (var i = t; i < keys; i += threads) { total += exp(scores[start + i] - peak); }
  partial[t] = total;
  workgroupBarrier();
  total = 0.0;
  for (var i = 0u; i < threads; i++) { total += partial[i]; }
  for (var i = t; i < keys; i += threads) { pattern[start + i] = exp(scores[start + i] - peak) / total; }
}`;
