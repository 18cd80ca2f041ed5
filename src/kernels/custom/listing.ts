import { type Dispatch, storagesOf } from '../../gpu/dispatch.ts';
import { declarations } from './source.ts';

/** WGSL sources by file name, and which dispatch runs which: what `dump-wgsl` writes. */
export interface KernelListing {
  readonly files: ReadonlyMap<string, string>;
  readonly dispatches: readonly ListedDispatch[];
}

export interface ListedDispatch {
  readonly kernel: string;
  readonly label: string;
  readonly file: string;
  readonly entryPoint: string;
  readonly constants?: Readonly<Record<string, number>>;
  readonly workgroups: readonly number[];
  /** The words of the uniform, floats as their bits. */
  readonly params?: readonly number[];
  /** In order; `name` is the variable's in the source. */
  readonly bindings: readonly {
    readonly binding: number;
    readonly name?: string;
    readonly access: string;
    readonly tensor: string;
    readonly dtype: string;
    readonly shape: readonly number[];
  }[];
  readonly cost: Dispatch['cost'];
}

/** A file for each WGSL source, named after its kernel: `attention.quad.wgsl`, and `-2`, `-3` where a kernel has several. */
export function listKernels(recorded: readonly Dispatch[]): KernelListing {
  const fileOf = new Map<string, string>();
  const files = new Map<string, string>();
  const dispatches = recorded.map((dispatch): ListedDispatch => {
    const { kernel, label, code, params, workgroups, entryPoint = 'main', constants, cost } = dispatch;
    let file = fileOf.get(code);
    if (file === undefined) {
      const stem = kernel.replace(/\.wgsl$/, '').replace(/[^\w.-]+/g, '-');
      for (let n = 1; file === undefined || files.has(file); n++) file = `${stem}${n > 1 ? `-${n}` : ''}.wgsl`;
      fileOf.set(code, file);
      files.set(file, code);
    }
    const declared = declarations(code);
    const bindings = storagesOf(dispatch).map(({ tensor, access }, i) => {
      const binding = i < dispatch.bindings.length || !params ? i : i + 1;
      const { label, dtype, shape } = tensor;
      return { binding, name: declared.find((d) => d.binding === binding)?.name, access, tensor: label, dtype, shape };
    });
    const [x, y = 1, z = 1] = workgroups;
    return { kernel, label, file, entryPoint, constants, workgroups: [x, y, z], params, bindings, cost };
  });
  return { files, dispatches };
}
