import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import type { DType, Tensor } from '../../gpu/tensor.ts';
import { foldWorkgroups } from '../vectors.ts';

/**
 * Kernels whose invocations do not speak to each other: maps, gathers, copies into another layout.
 *
 * Where a row's length allows it an invocation does four neighbours as one vec4f. On SwiftShader (two shared cores, load 9)
 * that took add and SiLU of [60,128] from 133 and 171 us to 64 and 77, of [600,1024] from 41 ms to 6 and 42 to 7: its
 * scalar loads are four gathers. Four vec4 an invocation (in a loop) and workgroups of 32 or 256 were no better.
 */
export interface PerElement {
  /** The kernel and its variant, for profiles and errors. */
  readonly kernel: string;
  readonly label: string;
  /**
   * Tensors by their name in the WGSL. f32 ones are `array<T>`, where T is f32 or, with `width` 4, vec4f; f16 and bf16 ones
   * hold four numbers in a vec2u or, with `width` 1, two in a u32; u32 ones are `array<u32>`.
   */
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** `array<T>` named `out`, f32. */
  readonly out: Tensor;
  /** Numbers that an invocation does: `widthOf` the rows it indexes. */
  readonly width: Width;
  /** Numbers in all, a multiple of `width`. */
  readonly count: number;
  /** u32 values that vary from call to call, `params.name` in the WGSL. */
  readonly params?: Readonly<Record<string, number>>;
  /** Functions and constants that the body uses. */
  readonly prelude?: string;
  /** Statements of invocation `i`, which are to write `out[i]` (or another element that is its own). */
  readonly body: string;
  readonly cost: Cost;
  /** What the body has baked in and shapes do not say, for a kernel of the user's own. */
  readonly sizes?: Readonly<Record<string, number | string>>;
}

export type Width = 1 | 4;

/** Four where rows of this length begin at multiples of four. */
export const widthOf = (columns: number): Width => (columns % 4 === 0 ? 4 : 1);

/** Invocations of a workgroup: a multiple of every subgroup size met, small enough for few elements to spread out. */
const workgroup = 64;

function elementType(dtype: DType, width: Width): string {
  if (dtype === 'f32') return 'T';
  return dtype !== 'u32' && width === 4 ? 'vec2u' : 'u32';
}

function perElementContract({ inputs, params, width, prelude = '' }: PerElement): string {
  const names = Object.keys(inputs);
  const bindings = names.map(
    (name, b) =>
      `@group(0) @binding(${b}) var<storage, read> ${name}: array<${elementType(inputs[name].dtype, width)}>;`,
  );
  const fields = ['count', ...Object.keys(params ?? {})];
  return /* wgsl */ `
alias T = ${width === 4 ? 'vec4f' : 'f32'};
${bindings.join('\n')}
@group(0) @binding(${names.length}) var<storage, read_write> out: array<T>;
struct Params { ${fields.map((f) => `${f}: u32`).join(', ')} }
@group(0) @binding(${names.length + 1}) var<uniform> params: Params;
${prelude}
`;
}

/** @public for bench/isa/, which reads what is built */
export const perElementWgsl = (op: PerElement): string => /* wgsl */ `${perElementContract(op)}
@compute @workgroup_size(${workgroup})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * ${workgroup}u + local;
  if (i >= params.count) { return; }
${op.body}
}
`;

/** Records one dispatch over `count` numbers and returns `out`. */
export function perElement(rec: Recorder, op: PerElement): Tensor {
  const invocations = op.count / op.width;
  rec.dispatch({
    kernel: op.kernel,
    label: op.label,
    code: perElementWgsl(op),
    bindings: [...Object.values(op.inputs).map(read), readWrite(op.out)],
    params: [invocations, ...Object.values(op.params ?? {})],
    workgroups: foldWorkgroups(Math.ceil(invocations / workgroup), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: op.cost,
    header: () => perElementContract(op),
    sizes: { width: op.width, ...op.sizes },
  });
  return op.out;
}
