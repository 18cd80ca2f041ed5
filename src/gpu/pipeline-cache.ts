import { waitForGpu } from '#platform';
import { KernelError } from './errors.ts';

/** How a kernel uses a storage tensor. */
export type Access = 'read' | 'read_write';
/** What stands at a binding: a storage tensor, or the params. */
export type Slot = Access | 'params';

/** Where WGSL source comes from that is not ours, so that its errors are told in its own lines. */
export interface KernelSource {
  /** Of what the compiler says of the whole source. */
  explain(messages: readonly Pick<GPUCompilationMessage, 'lineNum' | 'linePos' | 'message'>[]): KernelError;
  /** Of a pipeline that WebGPU refuses. */
  refuse(message: string): KernelError;
}

/** What determines a compute pipeline, of a dispatch: the WGSL source, its entry point, and what is bound at 0, 1, … of group 0. */
export interface PipelineKey {
  /** Names the kernel variant in errors, profiles and captures, for example `matmul.tile f16`. */
  readonly kernel: string;
  readonly code: string;
  readonly bindings: readonly Bound[];
  readonly params?: readonly number[];
  readonly moreBindings?: readonly Bound[];
  /** Default `main`. */
  readonly entryPoint?: string;
  /** Values of the source's `override` declarations. */
  readonly constants?: Readonly<Record<string, number>>;
  readonly source?: KernelSource;
}

interface Bound {
  readonly access: Access;
}

export interface Pipeline {
  readonly id: number;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly slots: readonly Slot[];
}

/** Bytes of the uniform window that a dispatch sees as its params; also the alignment of dynamic offsets. */
export const paramsBytes = 256;

const caches = new WeakMap<GPUDevice, PipelineCache>();

/** The pipelines of a device, whichever Gpu asked for them first. */
export function pipelinesOf(device: GPUDevice): PipelineCache {
  let cache = caches.get(device);
  if (!cache) {
    cache = new PipelineCache(device);
    caches.set(device, cache);
  }
  return cache;
}

/**
 * Compiles each distinct pipeline once, asynchronously.
 *
 * Binding contract of every kernel: storage tensors at `@group(0) @binding(0…)` in the order of the dispatch's bindings,
 * then, where the kernel has params, `var<uniform>` of at most 256 bytes at the next binding, then what a custom
 * kernel has besides (src/kernels/custom/).
 */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Map<string, Promise<Pipeline>>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  #compiled = 0;
  #nextId = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get compiled(): number {
    return this.#compiled;
  }

  /** @throws (later) KernelError with what the compiler says. */
  get(key: PipelineKey): Promise<Pipeline> {
    // By source first: one that its kernel keeps has its hash already, while one put together here would be hashed each time.
    let ofText = this.#pipelines.get(key.code);
    if (!ofText) {
      ofText = new Map();
      this.#pipelines.set(key.code, ofText);
    }
    let how = '';
    for (const { access } of key.bindings) how += access === 'read' ? 'r' : 'w';
    if (key.params) how += 'p';
    for (const { access } of key.moreBindings ?? []) how += access === 'read' ? 'r' : 'w';
    if (key.entryPoint || key.constants) how += `|${key.entryPoint}|${JSON.stringify(key.constants)}`;
    let pipeline = ofText.get(how);
    if (!pipeline) {
      pipeline = waitForGpu(this.#compile(key));
      ofText.set(how, pipeline);
      // One that does not compile is tried again: its error names the file that it was read from, which may be another.
      pipeline.catch(() => ofText.delete(how));
      this.#compiled++;
    }
    return pipeline;
  }

  async #compile(key: PipelineKey): Promise<Pipeline> {
    const { kernel, code, entryPoint = 'main', constants, source } = key;
    const slots = slotsOf(key);
    const device = this.#device;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: kernel, code });
    const invalid = device.popErrorScope();
    const info = await module.getCompilationInfo();
    const errors = info.messages.filter((m) => m.type === 'error');
    if (errors.length && source) throw source.explain(errors);
    if (errors.length) {
      const lines = code.split('\n');
      const text = errors.map((m) => `line ${m.lineNum}: ${m.message} in \`${(lines[m.lineNum - 1] ?? '').trim()}\``);
      throw new KernelError(kernel, `WGSL does not compile: ${text.join('; ')}`);
    }
    const error = await invalid;
    if (error) throw new KernelError(kernel, error.message);
    const layout = this.#layout(slots);
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: kernel,
        layout: device.createPipelineLayout({ label: kernel, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint, constants: { ...constants } },
      });
      return { id: this.#nextId++, pipeline, layout, slots };
    } catch (e) {
      const { message, reason } = e as GPUPipelineError;
      if (reason === 'internal') throw new KernelError(kernel, message, [], { cause: e });
      throw source?.refuse(message) ?? new KernelError(kernel, message);
    }
  }

  #layout(slots: readonly Slot[]): GPUBindGroupLayout {
    const key = slots.join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      const entries: GPUBindGroupLayoutEntry[] = slots.map((slot, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer:
          slot === 'params'
            ? { type: 'uniform', hasDynamicOffset: true }
            : { type: slot === 'read' ? 'read-only-storage' : 'storage' },
      }));
      layout = this.#device.createBindGroupLayout({ label: key, entries });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}

function slotsOf({ bindings, params, moreBindings = [] }: PipelineKey): Slot[] {
  const slots: Slot[] = bindings.map((b) => b.access);
  if (params) slots.push('params');
  slots.push(...moreBindings.map((b) => b.access));
  return slots;
}
