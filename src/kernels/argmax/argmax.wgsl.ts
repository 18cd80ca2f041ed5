import type { Width } from '../elementwise/per-element.ts';

/** Set in the index of a row whose largest number is NaN or infinite. */
export const notFiniteFlag = 0x80000000;

export interface ArgmaxVariant {
  /** Who finds the best of the lanes' best: a tree in workgroup memory, or one subgroup. */
  readonly reduce: 'workgroup' | 'subgroup';
  /** Invocations that share a row, the whole workgroup: a power of two; for `subgroup` at most the smallest subgroup. */
  readonly lanes: number;
}

/**
 * Index of the largest number of each row, one workgroup per row.
 *
 * Works on the elements' bits as integers: what a float comparison does with NaN is left open by WGSL, and compilers drop
 * `x != x`. `order` maps the bits to unsigned integers that compare as the elements do, -0 equal to +0 and NaN above all.
 *
 * Variants: `workgroup`, the base, has a tree of log2(lanes) barriers; `subgroup`, a workgroup no larger than the smallest
 * subgroup and therefore one, has none. A row of logits is long and alone, so that a GPU wants the 256 lanes of the first;
 * software adapters want few lanes and no barrier. [1,32064] on SwiftShader (two shared cores at load 16, timestamps of 66 us):
 * subgroup of 4 and 4 lanes 131 us, 32 lanes 197, 256 lanes 721 (and seconds to compile).
 * Machine code, 256 lanes (Mesa; nothing spills or uses scratch), registers / instructions per vec4: navi31 24 / 81,
 * navi21 24 / 71, renoir 24 / 71, nv170 40 / 103.
 */
export function argmaxWgsl(columns: number, { reduce, lanes }: ArgmaxVariant, width: Width): string {
  const components = width === 4 ? ['.x', '.y', '.z', '.w'] : [''];
  return /* wgsl */ `${reduce === 'subgroup' ? 'enable subgroups;' : ''}${argmaxContract(columns, width)}

struct Best { key: u32, index: u32 }

fn better(a: Best, b: Best) -> Best {
  if (b.key > a.key || (b.key == a.key && b.index < a.index)) { return b; }
  return a;
}

fn order(bits: T) -> T {
  let magnitude = bits & T(0x7fffffffu);
  let key = select(bits | T(0x80000000u), ~bits, (bits >= T(0x80000000u)) & (magnitude > T(0u)));
  return select(key, T(0xffffffffu), magnitude > T(0x7f800000u));
}
${bestOfRow[reduce](lanes)}
@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.x) { return; }
  var keys = T(0u); // below every number's
  var places = T(0u);
  for (var c = local; c < ${columns / width}u; c += ${lanes}u) {
    let key = order(x[row * ${columns / width}u + c]);
    places = select(places, T(c), key > keys);
    keys = max(keys, key);
  }
  var mine = Best(0u, 0xffffffffu);
${components.map((c, i) => `  mine = better(mine, Best(keys${c}, places${c} * ${width}u + ${i}u));`).join('\n')}
  let best = bestOfRow(mine, local);
  // The largest is NaN, or infinite: no number to choose by.
  let isFinite = best.key > 0x007fffffu && best.key < 0xff800000u;
  if (local == 0u) { out[row] = select(best.index | ${notFiniteFlag}u, best.index, isFinite); }
}
`;
}

export const argmaxContract = (columns: number, width: Width): string => /* wgsl */ `
alias T = ${width === 4 ? 'vec4u' : 'u32'};
@group(0) @binding(0) var<storage, read> x: array<T>; // the bits of f32 numbers
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<uniform> params: vec4u; // rows
const columns = ${columns}u; // numbers in a row
`;

const bestOfRow: Record<ArgmaxVariant['reduce'], (lanes: number) => string> = {
  subgroup: () => /* wgsl */ `
fn bestOfRow(mine: Best, local: u32) -> Best {
  let key = subgroupMax(mine.key);
  return Best(key, subgroupMin(select(0xffffffffu, mine.index, mine.key == key)));
}`,
  workgroup: (lanes) => /* wgsl */ `
var<workgroup> lanesBest: array<Best, ${lanes}>;
fn bestOfRow(mine: Best, local: u32) -> Best {
  lanesBest[local] = mine;
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { lanesBest[local] = better(lanesBest[local], lanesBest[local + half]); }
  }
  return lanesBest[0]; // for lane 0, which wrote it
}`,
};
