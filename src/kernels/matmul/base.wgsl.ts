import { type MatmulTraits, matmulHeader } from './matmul.wgsl.ts';

export const baseThreads = 64;

/**
 * Variant `base`: a thread for each element of y, one number at a time. Any K, also odd ones stored in half words, and no
 * optional feature. For correctness, not speed.
 */
export const matmulBaseWgsl = (traits: MatmulTraits) => /* wgsl */ `${matmulHeader(traits, 1)}
@compute @workgroup_size(${baseThreads}) fn main(
  @builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (id.y * count.x + id.x) * ${baseThreads}u + t;
  let row = i / params.n;
  let weightRow = i % params.n;
  if (row >= params.rows) { return; }
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) { sum = fma(xAt(row * params.k + k), weightAt(weightRow * params.k + k), sum); }
  finish(row, weightRow, sum);
}
`;
