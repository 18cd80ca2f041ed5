import { globMatcher } from '../../base/glob.ts';
import { type Dispatch, read, readWrite, type Workgroups } from '../../gpu/dispatch.ts';
import { KernelError } from '../../gpu/errors.ts';
import type { Recorder, Replacement } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { AttentionReference } from '../attention/reference.ts';
import { CustomSource } from './source.ts';

/** WGSL source in the place of ours. docs/kernels.md says what it finds bound. */
export interface CustomKernel {
  /** Names it in errors, profiles and benchmarks: its file, for example `mine.wgsl`. */
  readonly name: string;
  /**
   * The source, or a function that makes it for a dispatch. What our own begins with (`Dispatch.header`: bindings, params,
   * constants) is put before it, unless it declares bindings itself.
   */
  readonly wgsl: string | ((ours: Dispatch) => string);
  /** Default `main`. */
  readonly entryPoint?: string;
  /** Values of the source's `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Only dispatches with such labels, as globs: `blocks.3.attn.z`, `vision.*`. Default all. */
  readonly labels?: string | readonly string[];
  /** Default: what docs/kernels.md says of the operation. */
  readonly workgroups?: (ours: Dispatch) => Workgroups;
  /** Elements that the kernel reads besides, bound by these names after the params. They may differ from dispatch to dispatch. */
  readonly inputs?: (ours: Dispatch) => Readonly<Record<string, Float32Array<ArrayBuffer>>>;
}

const attentionMasks = ['full', 'causal', 'window', 'segments'] as const;
/** Which keys a query sees: all, those up to its own position, the last `params.window` of these, or those of its segment. */
export type AttentionMask = (typeof attentionMasks)[number];

/** A kernel in the place of our attention. */
export interface AttentionKernel extends CustomKernel {
  /** What it can do; a run that needs another is refused. Default all. */
  readonly masks?: readonly AttentionMask[];
  /**
   * Further outputs by name, with what each holds for a query: `{ entropy: ({ heads }) => [heads] }` is bound after the params
   * and the inputs as `entropy`, [batch * queries, heads] f32, and comes back as `blocks.{l}.attn.hook_entropy`.
   */
  readonly extras?: Readonly<Record<string, (sizes: HeadSizes) => readonly number[]>>;
  /** What it computes, where that is not softmax(q·kᵀ·scale + mask)·v: for `checkKernels` and `bench --kernel`. */
  readonly reference?: AttentionReference;
}

/** The sizes that extra outputs of an attention kernel may depend on. */
export interface HeadSizes {
  readonly heads: number;
  readonly headSize: number;
}

/** The operations whose kernels can be replaced: how the kernels' names begin in profiles and in `dump-wgsl`. */
export const kernelOps = [
  'attention',
  'attentionScores',
  'attentionPattern',
  'attentionValues',
  'headResult',
  'headSum',
  'matmul',
  'rmsNorm',
  'layerNorm',
  'normScale',
  'rotary',
  'copyRows',
  'activation',
  'gatedActivation',
  'add',
  'embedding',
  'argmax',
  'gatherRows',
  'concatColumns',
  'splice',
  'mixRows',
  'edit',
  'patchify',
  'visionEmbedding',
] as const;
/** An operation whose kernels can be replaced. */
export type KernelOp = (typeof kernelOps)[number];

type OneOrMore<T> = T | readonly T[];

/** Kernels in the place of ours, by operation. Of several, a dispatch takes the first that has its label. */
export type Kernels = { readonly attention?: OneOrMore<AttentionKernel> } & {
  readonly [Op in Exclude<KernelOp, 'attention'>]?: OneOrMore<CustomKernel>;
};

/** The operation of a kernel of ours: `matmul` of `matmul.tile f16`. */
export const opOf = (kernel: string): string => kernel.split(/[. ]/)[0];

export const kernelsOf = (kernels: Kernels, op: string): readonly AttentionKernel[] =>
  [kernels[op as KernelOp] ?? []].flat();

const hasLabel = ({ labels = '*' }: CustomKernel, label: string) =>
  [labels].flat().some((glob) => globMatcher(glob)(label));

/** The kernel that takes the place of ours in a dispatch. */
export const kernelFor = (
  kernels: Kernels,
  { kernel, label }: Pick<Dispatch, 'kernel' | 'label'>,
): AttentionKernel | undefined => kernelsOf(kernels, opOf(kernel)).find((k) => hasLabel(k, label));

/**
 * Kernels as text that tells other kernels apart: what they are made of, functions by their source. What a function takes from
 * around it is not in it.
 */
export const kernelsText = (kernels: Kernels): string =>
  JSON.stringify(kernels, (_, value) => (typeof value === 'function' ? String(value) : value));

const isText = (x: unknown) => typeof x === 'string';
const isFunction = (x: unknown) => typeof x === 'function';
const isTable = (x: unknown, holds: (value: unknown) => boolean) =>
  typeof x === 'object' && x !== null && Object.values(x).every(holds);

/** What each field of a kernel may be: a module's table has seen no compiler. */
const fields: Readonly<Record<keyof AttentionKernel, readonly [is: (value: unknown) => boolean, what: string]>> = {
  name: [isText, 'a text'],
  wgsl: [(x) => isText(x) || isFunction(x), 'a text, or a function that gives one'],
  entryPoint: [isText, 'a name'],
  constants: [(x) => isTable(x, Number.isFinite), 'finite numbers by name'],
  labels: [(x) => [x].flat().every(isText), 'a glob, or a list of them'],
  workgroups: [isFunction, 'a function (ours) => [x, y, z]'],
  inputs: [isFunction, 'a function (ours) => ({ name: Float32Array })'],
  masks: [(x) => Array.isArray(x) && x.length > 0, `a list of some of ${attentionMasks.join(', ')}`],
  extras: [(x) => isTable(x, isFunction), 'functions ({ heads, headSize }) => sizes, by name'],
  reference: [(x) => isTable(x, () => true), 'a table: { weights, extras }'],
};

/**
 * @throws KernelError for an operation or a field that does not exist: a misspelt one must not look like a kernel that changes
 * nothing, or one of all layers.
 */
export function checkKernelNames(kernels: Kernels): void {
  for (const [op, given] of Object.entries(kernels)) {
    if (!(kernelOps as readonly string[]).includes(op))
      throw new KernelError(op, `no operation of this name; there are ${kernelOps.join(', ')}`);
    for (const kernel of kernelsOf(kernels, op)) {
      if (!kernel?.name || !['string', 'function'].includes(typeof kernel.wgsl))
        throw new KernelError(op, 'a kernel of your own is at least { name, wgsl }');
      for (const [field, value] of Object.entries(kernel)) {
        const known = Object.hasOwn(fields, field) ? fields[field as keyof AttentionKernel] : undefined;
        if (!known)
          throw new KernelError(op, `${kernel.name}: no field ${field}; there are ${Object.keys(fields).join(', ')}`);
        const [is, what] = known;
        if (value !== undefined && !is(value))
          throw new KernelError(op, `${kernel.name}: its ${field} is to be ${what}`);
      }
      if (kernel.extras && op !== 'attention')
        throw new KernelError(op, `${kernel.name}: extras are for attention; another operation has one output`);
      const unknown = kernel.masks?.find((mask) => !attentionMasks.includes(mask));
      if (unknown)
        throw new KernelError(op, `${kernel.name}: no mask ${unknown}; there are ${attentionMasks.join(', ')}`);
    }
    if (!given) throw new KernelError(op, 'a kernel of your own is at least { name, wgsl }');
  }
}

/**
 * @param recorded what a run has recorded.
 * @param whole what it would have recorded, had it not ended at an early layer: a kernel of the layers behind is none too many.
 * @throws KernelError for one that took no dispatch's place: a misspelt label must not look like a kernel that changes nothing.
 */
export function checkKernelsUsed(
  kernels: Kernels,
  recorded: readonly Dispatch[],
  whole?: () => readonly Dispatch[],
): void {
  const used = new Set(recorded.map(({ source }) => (source instanceof CustomSource ? source.kernel : undefined)));
  for (const op of Object.keys(kernels)) {
    const unused = kernelsOf(kernels, op).find((kernel) => !used.has(kernel));
    if (!unused) continue;
    if (whole) {
      checkKernelsUsed(kernels, whole());
      return;
    }
    const place = recorded.findLast(({ kernel }) => opOf(kernel) === op);
    const why = place
      ? `its labels are ${[unused.labels ?? '*'].flat().join(', ')}, those of the run like ${place.label}`
      : `the run has no ${op}`;
    throw new KernelError(`${op} kernel ${unused.name}`, `took no place in this run: ${why}`);
  }
}

const sources = new WeakMap<CustomKernel, CustomSource[]>();

/** The whole source, put together once: a forward pass asks for it in every layer. */
function sourceOf(op: string, kernel: CustomKernel, text: string, contract: string): CustomSource {
  let known = sources.get(kernel);
  if (!known) {
    known = [];
    sources.set(kernel, known);
  }
  let source = known.find((s) => s.text === text && s.contract === contract);
  if (!source) {
    source = new CustomSource(op, kernel, text, contract);
    known.push(source);
  }
  return source;
}

/**
 * The custom kernels as a recorder takes them: `gpu.record('mine', { replacement: replacementOf(kernels) })`.
 * @throws KernelError as `checkKernelNames`
 */
export function replacementOf(kernels: Kernels): Replacement {
  checkKernelNames(kernels);
  return {
    replaces: (ours) => kernelFor(kernels, ours) !== undefined,
    replace: (rec, ours) => {
      const kernel = kernelFor(kernels, ours);
      return kernel && replaceDispatch(rec, ours, kernel);
    },
  };
}

/** The dispatch with the custom kernel in the place of ours, and the tensors of its extras. */
function replaceDispatch(
  rec: Recorder,
  ours: Dispatch,
  kernel: AttentionKernel,
): { dispatch: Dispatch; extras: ReadonlyMap<string, Tensor> } {
  const op = opOf(ours.kernel);
  const title = `${op} kernel ${kernel.name}`;
  const { mask } = ours.sizes ?? {};
  if (kernel.masks && op === 'attention' && !kernel.masks.includes(mask as AttentionMask))
    throw new KernelError(
      title,
      `${ours.label} needs the mask ${mask}, and the kernel says it has ${kernel.masks.join(', ')}: narrow its labels, or add the mask`,
    );
  /** What a function of the user's gives, if it is what it is to be. */
  const made = <T>(what: string, make: () => T, is: (value: T) => boolean, wanted: string): T => {
    let value: T;
    try {
      value = make();
    } catch (e) {
      throw new KernelError(title, `its ${what} for ${ours.label} failed: ${(e as Error).message}`);
    }
    if (!is(value)) throw new KernelError(title, `its ${what} for ${ours.label} gave ${value}: give ${wanted}`);
    return value;
  };
  const areSizes = (sizes: readonly (number | undefined)[]) =>
    Array.isArray(sizes) && sizes.every((n) => Number.isInteger(n) && n! >= 1);
  const given = Object.entries(
    made(
      'inputs',
      () => kernel.inputs?.(ours) ?? {},
      (table) => Object.values(table).every((data) => data instanceof Float32Array),
      'a Float32Array for each name',
    ),
  );
  const inputs = given.map(([name, data]) => read(rec.input(`${ours.label} ${name}`, 'f32', [data.length], data)));
  const [q] = ours.bindings;
  const extras = new Map(
    Object.entries(kernel.extras ?? {}).map(([name, shape]) => {
      const sizes = ours.sizes as unknown as HeadSizes;
      const perQuery = made(`extra ${name}`, () => shape(sizes), areSizes, 'a list of sizes from 1 on');
      return [name, rec.temp(`${ours.label} ${name}`, 'f32', [q.tensor.shape[0], ...perQuery])];
    }),
  );
  const names = [...given.map(([name]) => name), ...extras.keys()];
  const moreBindings = [...inputs, ...[...extras.values()].map(readWrite)];
  const first = ours.bindings.length + (ours.params ? 1 : 0);
  const declarations = moreBindings.map(
    ({ access }, i) => `@group(0) @binding(${first + i}) var<storage, ${access}> ${names[i]}: array<f32>;`,
  );
  const { wgsl } = kernel;
  const text = made('wgsl', () => (typeof wgsl === 'function' ? wgsl(ours) : wgsl), isText, 'a text');
  const workgroups = made(
    'workgroups',
    () => kernel.workgroups?.(ours) ?? ours.plainWorkgroups ?? ours.workgroups,
    (counts) => areSizes(counts) && counts.length >= 1 && counts.length <= 3,
    'one to three whole numbers from 1 on',
  );
  const source = sourceOf(op, kernel, text, `${ours.header?.() ?? ''}\n${declarations.join('\n')}`);
  const dispatch = {
    ...ours,
    kernel: `${op} ${kernel.name}`,
    code: source.code,
    source,
    entryPoint: kernel.entryPoint,
    constants: kernel.constants,
    moreBindings,
    workgroups,
    header: () => source.header,
  };
  return { dispatch, extras };
}
