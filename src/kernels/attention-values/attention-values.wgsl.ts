import { type VectorWidth, vectorType } from '../vectors.ts';

/**
 * z = pattern · v per head, where somebody has changed the scores or the pattern: then they exist in memory, and the online
 * kernels (attention.wgsl.ts) cannot be used. A thread for each vector of the output, which reads one row of the pattern and
 * a column of the values: a slow path, and one that is taken by nobody who has not asked for it.
 */
export const attentionValuesWgsl = (
  heads: number,
  kvHeads: number,
  headSize: number,
  width: VectorWidth,
) => /* wgsl */ `
alias Vector = ${vectorType(width)};
struct Params { queries: u32, keys: u32, keyRows: u32, vectors: u32 }
@group(0) @binding(0) var<storage, read> pattern: array<f32>;
@group(0) @binding(1) var<storage, read> v: array<Vector>;
@group(0) @binding(2) var<storage, read_write> z: array<Vector>;
@group(0) @binding(3) var<uniform> params: Params;

const heads = ${heads}u;
const kvHeads = ${kvHeads}u;
const chunks = ${headSize / width}u;

@compute @workgroup_size(64) fn main(
  @builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
  let i = id.x + id.y * count.x * 64u;
  if (i >= params.vectors) { return; }
  let chunk = i % chunks;
  let head = i / chunks % heads;
  let row = i / chunks / heads; // of all sequences
  let sequence = row / params.queries;
  let weights = ((sequence * heads + head) * params.queries + row % params.queries) * params.keys;
  var at = (sequence * params.keyRows * kvHeads + head / (heads / kvHeads)) * chunks + chunk;
  var sum = Vector();
  for (var key = 0u; key < params.keys; key++) {
    sum += pattern[weights + key] * v[at];
    at += kvHeads * chunks;
  }
  z[i] = sum;
}`;
