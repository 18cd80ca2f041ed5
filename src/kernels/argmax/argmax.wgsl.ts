/**
 * Index of the largest number of each row, one workgroup per row.
 *
 * Works on the numbers' bits as integers: what a float comparison does with NaN is left open by WGSL, and compilers drop
 * `x != x`. `order` maps the bits to unsigned integers that compare as the numbers do, -0 equal to +0 and NaN above all.
 */
export const argmaxWgsl = (columns: number, workgroup: number) => /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: vec4u; // rows

struct Best { key: u32, index: u32 }
var<workgroup> best: array<Best, ${workgroup}>;

fn order(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return 0xffffffffu; }
  if (bits == 0x80000000u) { return 0x80000000u; }
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn better(a: Best, b: Best) -> bool { return a.key > b.key || (a.key == b.key && a.index < b.index); }

@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.x) { return; }
  var mine = Best(0u, 0xffffffffu);
  for (var c = local; c < ${columns}u; c += ${workgroup}u) {
    let key = order(x[row * ${columns}u + c]);
    if (key > mine.key) { mine = Best(key, c); }
  }
  best[local] = mine;
  for (var half = ${workgroup / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half && better(best[local + half], best[local])) { best[local] = best[local + half]; }
  }
  if (local == 0u) { out[row] = best[0].index; }
}
`;
