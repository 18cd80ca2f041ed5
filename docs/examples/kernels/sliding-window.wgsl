// Attention to the last `span` keys that the mask leaves a query, its own position among them, in the layers that it is given to.
// A workgroup for each query of each head; 32 threads with a key each, block by block with a running maximum and sum.
// The header that Headlight puts before this text declares q, k, v, z, params, heads, kvHeads, chunks, pitch, interval, dotVector.
override span = 8u;
const lanes = 32u;
const hidden = -1e30;
var<workgroup> block: array<f32, lanes>; // of a block of keys: their scores, then their weights

@compute @workgroup_size(lanes) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) lane: u32) {
  let query = id.x;
  let head = id.y;
  let row = id.z * params.queries + query;
  let qAt = (row * heads + head) * chunks;
  let kvAt = (id.z * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks;
  let seen = interval(query);
  let first = max(seen.x, seen.y - min(seen.y, span));
  var peak = hidden;
  var total = 0.0;
  for (var c = lane; c < chunks; c += lanes) { z[qAt + c] = Vector(); }
  for (var start = first; start < seen.y; start += lanes) {
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
    total = total * shrink + weight;
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

  block[lane] = total;
  workgroupBarrier();
  total = 0.0;
  for (var i = 0u; i < lanes; i++) { total += block[i]; }
  for (var c = lane; c < chunks; c += lanes) { z[qAt + c] /= total; }
}
