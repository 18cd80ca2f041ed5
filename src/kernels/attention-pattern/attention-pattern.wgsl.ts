import { type AttentionShape, attentionHeader } from '../attention/attention.wgsl.ts';
import { lastBindings } from '../attention/mask.wgsl.ts';
import { dotProduct } from '../vectors.ts';

/**
 * A thread for each score. It runs only when somebody asks for hook_attn_scores or hook_pattern, where memory for the matrix
 * is the larger cost. Machine code, heads of 128 (bench/isa): RDNA3 48 registers, RDNA2 32, GCN 36, Ampere 22; no spills,
 * and the same with a window or segments.
 */
export const attentionScoresWgsl = (shape: AttentionShape) => /* wgsl */ `${attentionHeader(shape)}
@group(0) @binding(0) var<storage, read> q: array<Vector>;
@group(0) @binding(1) var<storage, read> k: array<Vector>;
@group(0) @binding(2) var<storage, read_write> scores: array<f32>;
${lastBindings(3, shape.mask)}

@compute @workgroup_size(8, 8) fn main(@builtin(global_invocation_id) id: vec3u) {
  let key = id.x;
  let query = id.y;
  if (key >= params.keys || query >= params.queries) { return; }
  let batch = id.z / heads;
  let head = id.z % heads;
  var score = -3.4028234663852886e38;
  let seen = interval(query);
  if (key >= seen.x && key < seen.y) {
    let qAt = ((batch * params.queries + query) * heads + head) * chunks;
    let kAt = ((batch * params.keyRows + key) * kvHeads + head / (heads / kvHeads)) * chunks;
    var sum = Vector();
    for (var c = 0u; c < chunks; c++) { sum = fma(q[qAt + c], k[kAt + c], sum); }
    score = ${dotProduct(shape.width, 'sum', 'Vector(1.0)')} * params.scale;
  }
  scores[(id.z * params.queries + query) * params.keys + key] = score;
}`;

/**
 * 16 threads a row, 4 rows a workgroup; workgroups past 65535 go on in the second dimension. Machine code (bench/isa): RDNA3 48
 * registers, RDNA2 32, GCN 36, Ampere 35; no spills.
 */
export const attentionPatternWgsl = /* wgsl */ `
struct Params { keys: u32, rows: u32 }
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read_write> pattern: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const lanes = 16u;
var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (id.x + id.y * count.x) * 4u + t / lanes;
  let lane = t % lanes;
  let start = row * params.keys;
  let keys = select(0u, params.keys, row < params.rows); // a row past the end has none, but waits at the barriers
  var peak = -3.4028234663852886e38;
  for (var i = lane; i < keys; i += lanes) { peak = max(peak, scores[start + i]); }
  partial[t] = peak;
  workgroupBarrier();
  for (var i = 0u; i < lanes; i++) { peak = max(peak, partial[t - lane + i]); }
  workgroupBarrier();
  var total = 0.0;
  for (var i = lane; i < keys; i += lanes) { total += exp(scores[start + i] - peak); }
  partial[t] = total;
  workgroupBarrier();
  total = 0.0;
  for (var i = 0u; i < lanes; i++) { total += partial[t - lane + i]; }
  // A query whose every key somebody has masked takes nothing from any.
  let share = select(1.0 / total, 0.0, peak < -3.4e38);
  for (var i = lane; i < keys; i += lanes) { pattern[start + i] = exp(scores[start + i] - peak) * share; }
}`;

export const patternRowsPerWorkgroup = 4;
