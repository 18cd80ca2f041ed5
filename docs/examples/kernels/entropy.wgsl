// Attention that also returns the entropy of each head's pattern, -Σ p log p in nats: an output of its own, `entropy`.
// A workgroup for each query of each head; 32 threads with a key each, block by block with a running maximum and sum.
//
// With t = Σ exp(s - peak) and e = Σ exp(s - peak) (s - peak) over the keys, the entropy is log(t) - e / t.
const lanes = 32u;
const hidden = -1e30;
var<workgroup> block: array<f32, lanes>; // of a block of keys: their scores, then their weights
var<workgroup> totals: array<vec2f, lanes>; // t and e of each thread

@compute @workgroup_size(lanes) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let query = id.x;
  let head = id.y;
  let row = id.z * params.queries + query;
  let qAt = (row * heads + head) * chunks;
  let kvAt = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let seen = interval(query);
  var peak = hidden;
  var total = vec2f();
  for (var c = lane; c < chunks; c += lanes) { z[qAt + c] = Vector(); }
  for (var start = seen.x; start < seen.y; start += lanes) {
    let key = start + lane;
    let kAt = kvAt + min(key, seen.y - 1u) * pitch;
    var s = 0.0;
    for (var c = 0u; c < chunks; c++) { s += dotVector(q[qAt + c], k[kAt + c]); }
    s = select(hidden, s * params.scale, key < seen.y);
    block[lane] = s;
    workgroupBarrier();
    let before = peak;
    for (var i = 0u; i < lanes; i++) { peak = max(peak, block[i]); }
    let shrink = exp(before - peak);
    let weight = exp(s - peak);
    total = vec2f(total.x, total.y + total.x * (before - peak)) * shrink + weight * vec2f(1.0, s - peak);
    workgroupBarrier(); // all have read the scores
    block[lane] = weight;
    workgroupBarrier();
    let count = min(lanes, seen.y - start);
    for (var c = lane; c < chunks; c += lanes) {
      var sum = z[qAt + c] * shrink;
      for (var i = 0u; i < count; i++) { sum += block[i] * v[kvAt + (start + i) * pitch + c]; }
      z[qAt + c] = sum;
    }
    workgroupBarrier(); // all have read the weights
  }

  totals[lane] = total;
  workgroupBarrier();
  total = vec2f();
  for (var i = 0u; i < lanes; i++) { total += totals[i]; }
  for (var c = lane; c < chunks; c += lanes) { z[qAt + c] /= total.x; }
  if (lane == 0u) { entropy[row * heads + head] = log(total.x) - total.y / total.x; }
}
