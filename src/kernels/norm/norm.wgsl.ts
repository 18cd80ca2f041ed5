export type NormKind = 'layer' | 'rms';

export interface NormShader {
  readonly kind: NormKind;
  readonly columns: number;
  readonly eps: number;
  /** The normalised row times weight (plus bias), or only the scale that it was divided by. */
  readonly output: 'normalized' | 'scale';
  readonly workgroup: number;
}

/**
 * One workgroup per row, three passes over the row (two for RMS): sum; sum of the centred values and of their squares;
 * output. The second pass's plain sum corrects the mean for the rounding of the first.
 */
export function normWgsl({ kind, columns, eps, output, workgroup }: NormShader): string {
  const inputs = output === 'scale' ? ['x'] : kind === 'layer' ? ['x', 'weight', 'bias'] : ['x', 'weight'];
  const bias = kind === 'layer' ? ' + bias[c]' : '';
  const each = (statement: string) => `for (var c = local; c < ${columns}u; c += ${workgroup}u) { ${statement} }`;
  return /* wgsl */ `
${inputs.map((name, b) => `@group(0) @binding(${b}) var<storage, read> ${name}: array<f32>;`).join('\n')}
@group(0) @binding(${inputs.length}) var<storage, read_write> out: array<f32>;
@group(0) @binding(${inputs.length + 1}) var<uniform> params: vec4u; // rows

var<workgroup> partial: array<vec2f, ${workgroup}>;

fn sumOverWorkgroup(mine: vec2f, local: u32) -> vec2f {
  workgroupBarrier();
  partial[local] = mine;
  for (var half = ${workgroup / 2}u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (local < half) { partial[local] += partial[local + half]; }
  }
  workgroupBarrier();
  return partial[0];
}

@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= params.x) { return; }
  let base = row * ${columns}u;
  var sums = vec2f();
${
  kind === 'layer'
    ? /* wgsl */ `
  ${each('sums.x += x[base + c];')}
  var mean = sumOverWorkgroup(sums, local).x / ${columns}.0;
  sums = vec2f();
  ${each('let d = x[base + c] - mean; sums += vec2f(d, d * d);')}
  sums = sumOverWorkgroup(sums, local) / ${columns}.0;
  mean += sums.x;
  let variance = sums.y - sums.x * sums.x;`
    : /* wgsl */ `
  let mean = 0.0;
  ${each('let d = x[base + c]; sums.y += d * d;')}
  let variance = sumOverWorkgroup(sums, local).y / ${columns}.0;`
}
  let scale = sqrt(variance + f32(${eps}));
${
  output === 'scale'
    ? 'if (local == 0u) { out[row] = scale; }'
    : each(`out[base + c] = (x[base + c] - mean) / scale * weight[c]${bias};`)
}
}
`;
}
