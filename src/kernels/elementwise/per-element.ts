import { declare } from '../../gpu/formats/format.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { StoredMatrix } from '../../gpu/weight.ts';
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
   * By their name in the WGSL. Tensors are `array<T>`, where T is f32 or, with `width` 4, vec4f; those of u32 are `array<u32>`.
   * A stored matrix `weight` is read by `weightAt(i) -> T`.
   */
  readonly inputs: Readonly<Record<string, Tensor | StoredMatrix>>;
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
  /** What the body has baked in and shapes do not say, for a custom kernel. */
  readonly sizes?: Readonly<Record<string, number | string>>;
}

export type Width = 1 | 4;

/** Four where rows of this length begin at multiples of four. */
export const widthOf = (columns: number): Width => (columns % 4 === 0 ? 4 : 1);

/** Invocations of a workgroup: a multiple of every subgroup size met, small enough for few elements to spread out. */
const workgroup = 64;

function perElementContract({ inputs, params, width, prelude = '' }: PerElement): string {
  const bindings: string[] = [];
  const readers: string[] = [];
  for (const [name, input] of Object.entries(inputs))
    if ('format' in input) {
      bindings.push(...input.format.bindings(bindings.length, name, width));
      readers.push(input.format.reader(name, width));
    } else bindings.push(declare(bindings.length, name, input.dtype === 'u32' ? 'u32' : 'T')); // u32: ids and indices
  const fields = ['count', ...Object.keys(params ?? {})];
  return /* wgsl */ `
alias T = ${width === 4 ? 'vec4f' : 'f32'};
${bindings.join('\n')}
@group(0) @binding(${bindings.length}) var<storage, read_write> out: array<T>;
struct Params { ${fields.map((f) => `${f}: u32`).join(', ')} }
@group(0) @binding(${bindings.length + 1}) var<uniform> params: Params;
${[...readers, prelude].join('\n')}
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

/** Records one dispatch over `count` elements and returns `out`. */
export function perElement(rec: Recorder, op: PerElement): Tensor {
  const invocations = op.count / op.width;
  rec.dispatch({
    kernel: op.kernel,
    label: op.label,
    code: perElementWgsl(op),
    bindings: [
      ...Object.values(op.inputs)
        .flatMap((input) => ('format' in input ? input.buffers : input))
        .map(read),
      readWrite(op.out),
    ],
    params: [invocations, ...Object.values(op.params ?? {})],
    workgroups: foldWorkgroups(Math.ceil(invocations / workgroup), rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: op.cost,
    header: () => perElementContract(op),
    sizes: { width: op.width, ...op.sizes },
  });
  return op.out;
}
