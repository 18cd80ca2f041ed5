import { type Cost, type Recorder, read, readWrite } from '../recorder.ts';
import type { Tensor } from '../tensor.ts';

/** Invocations of a workgroup: a multiple of every subgroup size met, small enough for few elements to spread out. */
const workgroup = 64;

export interface PerElement {
  /** The kernel and its variant, for profiles and errors. */
  readonly kernel: string;
  readonly label: string;
  /** Tensors by their name in the WGSL: `array<f32>`, or `array<u32>` for every other dtype. */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** `array<f32>` (or `array<u32>`) named `out`. */
  readonly out: Tensor;
  /** One invocation each; the WGSL knows its own as `i`. */
  readonly count: number;
  /** u32 values that vary from call to call, `params.name` in the WGSL. */
  readonly params?: Readonly<Record<string, number>>;
  /** Functions and constants that the body uses. */
  readonly prelude?: string;
  /** Statements run by invocation `i`, below `params.count`. */
  readonly body: string;
  readonly cost: Cost;
}

/** The shader of kernels whose invocations do not speak to each other: maps, gathers, copies with another layout. */
export function perElementWgsl({ inputs, out, params, prelude = '', body }: PerElement): string {
  const names = Object.keys(inputs);
  const type = (t: Tensor) => `array<${t.dtype === 'f32' ? 'f32' : 'u32'}>`;
  const fields = ['count', ...Object.keys(params ?? {})];
  return /* wgsl */ `
${names.map((name, b) => `@group(0) @binding(${b}) var<storage, read> ${name}: ${type(inputs[name])};`).join('\n')}
@group(0) @binding(${names.length}) var<storage, read_write> out: ${type(out)};
struct Params { ${fields.map((f) => `${f}: u32`).join(', ')} }
@group(0) @binding(${names.length + 1}) var<uniform> params: Params;
${prelude}
@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * ${workgroup}u + local;
  if (i >= params.count) { return; }
${body}
}
`;
}

/** Records one dispatch of `count` invocations and returns `out`. */
export function perElement(rec: Recorder, op: PerElement): Tensor {
  rec.dispatch({
    kernel: op.kernel,
    label: op.label,
    code: perElementWgsl(op),
    bindings: [...Object.values(op.inputs).map(read), readWrite(op.out)],
    params: [op.count, ...Object.values(op.params ?? {})],
    workgroups: grid(Math.ceil(op.count / workgroup), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: op.cost,
  });
  return op.out;
}

/**
 * Workgroups in two dimensions where one cannot hold them. A kernel numbers them `group.y * groups.x + group.x` and ignores
 * those past its end.
 */
export function grid(count: number, limit: number): [x: number, y: number] {
  const y = Math.ceil(count / limit);
  return y === 0 ? [0, 0] : [Math.ceil(count / y), y];
}
