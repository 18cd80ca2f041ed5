import type { Width } from '../elementwise/per-element.ts';

export type NormKind = 'layer' | 'rms';

export interface NormVariant {
  /** Who adds up a row: lanes through workgroup memory, or one subgroup. */
  readonly reduce: 'workgroup' | 'subgroup';
  /** Invocations that share a row, the whole workgroup: a power of two; for `subgroup` at most the smallest subgroup. */
  readonly lanes: number;
}

export interface NormShader {
  readonly kind: NormKind;
  readonly columns: number;
  readonly eps: number;
  /** The normalised row times weight (plus bias), the same divided by a scale that is given, or only its own scale. */
  readonly output: 'normalized' | 'rescaled' | 'scale';
  readonly variant: NormVariant;
  /** Numbers that a lane takes at once. */
  readonly width: Width;
}

/**
 * A workgroup per row and three passes over the row (two for RMS): the sum; the sums of the centred elements and of their
 * squares; the output. The sum of the centred elements is what rounding left in the mean: taking it off apart from the mean
 * (whose own f32 could not hold it) keeps an NMSE of 1e-7 against float64 even where the mean is 10,000 times the spread.
 * The passes read the row again from the caches; keeping it in registers would need a shader per count of them.
 *
 * Variants:
 * - `workgroup`, the base: lanes add up through workgroup memory, a tree with log2(lanes) barriers.
 * - `subgroup`: the workgroup is no larger than the smallest subgroup, so that it is one, whatever size the driver picks,
 *   and subgroupAdd is the row's sum: no barrier and no workgroup memory.
 *
 * Measured on SwiftShader (subgroups of 4, two shared cores at load 9; layer norm, us):
 *                                  [1,128]  [60,128]  [256,128]  [100,1024]  [1,4096]
 *   workgroup, 32 lanes                 53      1870      18939        8248       333
 *   workgroup, 32 lanes, vec4           56      1794      11248        7325       249
 *   workgroup, 16 lanes, vec4 *         31      1283       4331        3518       147
 *   workgroup, 4 lanes, vec4 *          23       977       2055        2608       132
 *   subgroup, 4 lanes                   22       215        805        3873       245
 *   subgroup, 4 lanes, vec4             25       147        502        2657        80
 *   one lane a row, vec4                25       116       1173        2287       192
 *   * with one barrier, each lane adding up everybody's
 * A barrier there switches a coroutine per subgroup, so that it costs more than the arithmetic of a short row; 256 lanes also
 * take it seconds to compile. One lane a row does as well in software but would read uncoalesced on a GPU.
 *
 * Machine code for rows of 4096 (Mesa; nothing spills or uses scratch), registers / instructions of the longest pass per vec4:
 *                        navi31     navi21     renoir     nv170
 *   layer, 256 lanes     24 / 35    24 / 31    20 / 32    36 / 52
 *   layer, subgroup      48 / 35    32 / 31    24 / 31    32 / 52
 *   rms, 256 lanes       24 / 26    16 / 23    16 / 23    23 / 45
 *   rms, subgroup        48 / 26    32 / 23    24 / 23    23 / 45
 * One load a trip, not unrolled, so that latency bounds a long row. On AMD Dawn asks for subgroups of 64 where the smallest
 * size is 32: half of each wave idles in `subgroup`.
 */
export function normWgsl(shader: NormShader): string {
  const { kind, columns, output, variant, width } = shader;
  const { reduce, lanes } = variant;
  const n = `${columns / width}u`;
  const total = (t: string) => (width === 4 ? `dot(${t}, vec4f(1.0))` : t);
  const each = (statement: string) => `for (var c = local; c < ${n}; c += ${lanes}u) { ${statement} }`;
  const statistics = {
    layer: /* wgsl */ `
  var sum = T();
  ${each('sum += x[base + c];')}
  let mean = sumOverRow(vec2f(${total('sum')}, 0.0), local).x / ${columns}.0;
  sum = T();
  var squares = T();
  ${each('let d = x[base + c] - mean; sum += d; squares += d * d;')}
  let centred = sumOverRow(vec2f(${total('sum')}, ${total('squares')}), local) / ${columns}.0;
  let correction = centred.x;
  let variance = centred.y - centred.x * centred.x;`,
    rms: /* wgsl */ `
  var squares = T();
  ${each('let d = x[base + c]; squares += d * d;')}
  let mean = 0.0;
  let correction = 0.0;
  let variance = sumOverRow(vec2f(0.0, ${total('squares')}), local).y / ${columns}.0;`,
  };
  const outputs =
    output === 'scale'
      ? 'if (local == 0u) { out[row] = scale; }'
      : `let inverse = 1.0 / scale;
  ${each(`out[base + c] = (x[base + c] - mean - correction) * inverse * weight[c]${kind === 'layer' ? ' + bias[c]' : ''};`)}`;
  return /* wgsl */ `${reduce === 'subgroup' ? 'enable subgroups;' : ''}${normContract(shader)}
${sumOverRow[reduce](lanes)}
@compute @workgroup_size(${lanes})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.x) { return; }
  let base = row * ${n};
${statistics[kind]}
  let scale = ${output === 'rescaled' ? 'scales[row]' : 'sqrt(variance + eps)'};
  ${outputs}
}
`;
}

export function normContract({ kind, columns, eps, output, width }: Omit<NormShader, 'variant'>): string {
  const parameters = kind === 'layer' ? ['weight', 'bias'] : ['weight'];
  const inputs = ['x', ...(output === 'scale' ? [] : parameters), ...(output === 'rescaled' ? ['scales'] : [])];
  const elements = (name: string) => (name === 'scales' ? 'f32' : 'T');
  return /* wgsl */ `
alias T = ${width === 4 ? 'vec4f' : 'f32'};
${inputs.map((name, b) => `@group(0) @binding(${b}) var<storage, read> ${name}: array<${elements(name)}>;`).join('\n')}
@group(0) @binding(${inputs.length}) var<storage, read_write> out: array<${output === 'scale' ? 'f32' : 'T'}>;
@group(0) @binding(${inputs.length + 1}) var<uniform> params: vec4u; // rows
const columns = ${columns}u; // numbers in a row
const eps = f32(${eps});
`;
}

const sumOverRow: Record<NormVariant['reduce'], (lanes: number) => string> = {
  subgroup: () => 'fn sumOverRow(mine: vec2f, local: u32) -> vec2f { return subgroupAdd(mine); }',
  workgroup: (lanes) => /* wgsl */ `
var<workgroup> partial: array<vec2f, ${lanes}>;
fn sumOverRow(mine: vec2f, local: u32) -> vec2f {
  workgroupBarrier(); // the sum before this one has been read
  partial[local] = mine;
  for (var half = ${lanes / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { partial[local] += partial[local + half]; }
  }
  workgroupBarrier();
  return partial[0];
}`,
};
