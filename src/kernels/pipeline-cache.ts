import { KernelError } from './errors.ts';

export type Access = 'read' | 'read_write';

/** What determines a compute pipeline: the text, the access of each storage binding, whether there are params. */
export interface PipelineKey {
  /** Names the kernel variant in errors, profiles and captures, for example `matmul.tile f16`. */
  readonly kernel: string;
  readonly code: string;
  readonly access: readonly Access[];
  readonly hasParams: boolean;
}

export interface Pipeline {
  readonly id: number;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Bytes of the uniform window that a dispatch sees as its params; also the alignment of dynamic offsets. */
export const paramsBytes = 256;

/**
 * Compiles each distinct pipeline once, asynchronously, and keeps the bind groups.
 *
 * Binding contract of every kernel: storage tensors at `@group(0) @binding(0…)` in the order of the dispatch's bindings,
 * then, where the kernel has params, `var<uniform>` of at most 256 bytes at the next binding.
 */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #pipelines = new Map<string, Map<string, Promise<Pipeline>>>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #bindGroups = new Map<string, GPUBindGroup>();
  readonly #bufferIds = new WeakMap<GPUBuffer, number>();
  #compiled = 0;
  #nextId = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  get compiled(): number {
    return this.#compiled;
  }

  get bindGroups(): number {
    return this.#bindGroups.size;
  }

  get(key: PipelineKey): Promise<Pipeline> {
    // By text first: a text that its kernel keeps has its hash already, while one put together here would be hashed each time.
    let ofText = this.#pipelines.get(key.code);
    if (!ofText) {
      ofText = new Map();
      this.#pipelines.set(key.code, ofText);
    }
    const bindings = `${key.access.join()}|${key.hasParams}`;
    let pipeline = ofText.get(bindings);
    if (!pipeline) {
      pipeline = this.#compile(key);
      ofText.set(bindings, pipeline);
      this.#compiled++;
    }
    return pipeline;
  }

  async #compile({ kernel, code, access, hasParams }: PipelineKey): Promise<Pipeline> {
    const device = this.#device;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label: kernel, code });
    const invalid = device.popErrorScope();
    const info = await module.getCompilationInfo();
    const errors = info.messages.filter((m) => m.type === 'error');
    if (errors.length) {
      const lines = code.split('\n');
      const text = errors.map((m) => `line ${m.lineNum}: ${m.message} in \`${(lines[m.lineNum - 1] ?? '').trim()}\``);
      throw new KernelError(kernel, `WGSL does not compile: ${text.join('; ')}`);
    }
    const error = await invalid;
    if (error) throw new KernelError(kernel, error.message);
    const layout = this.#layout(access, hasParams);
    try {
      const pipeline = await device.createComputePipelineAsync({
        label: kernel,
        layout: device.createPipelineLayout({ label: kernel, bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      return { id: this.#nextId++, pipeline, layout };
    } catch (e) {
      throw new KernelError(kernel, (e as Error).message);
    }
  }

  #layout(access: readonly Access[], hasParams: boolean): GPUBindGroupLayout {
    const key = `${access.join()}|${hasParams}`;
    let layout = this.#layouts.get(key);
    if (!layout) {
      const entries: GPUBindGroupLayoutEntry[] = access.map((a, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: a === 'read' ? 'read-only-storage' : 'storage' },
      }));
      if (hasParams)
        entries.push({
          binding: access.length,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: 'uniform', hasDynamicOffset: true },
        });
      layout = this.#device.createBindGroupLayout({ label: key, entries });
      this.#layouts.set(key, layout);
    }
    return layout;
  }

  /** `label` names the dispatch in captures and validation errors. */
  bindGroup(
    pipeline: Pipeline,
    label: string,
    storages: readonly { buffer: GPUBuffer; offset: number; size: number }[],
    params: GPUBuffer | undefined,
  ): GPUBindGroup {
    let key = `${pipeline.id}`;
    for (const s of storages) key += `,${this.#bufferId(s.buffer)}:${s.offset}:${s.size}`;
    if (params) key += `,${this.#bufferId(params)}`;
    let group = this.#bindGroups.get(key);
    if (!group) {
      const entries: GPUBindGroupEntry[] = storages.map((resource, binding) => ({ binding, resource }));
      if (params)
        entries.push({ binding: storages.length, resource: { buffer: params, offset: 0, size: paramsBytes } });
      group = this.#device.createBindGroup({ label, layout: pipeline.layout, entries });
      // Prompts of ever new lengths would grow this without end; refilling it costs one run's bind groups.
      if (this.#bindGroups.size >= 8192) this.#bindGroups.clear();
      this.#bindGroups.set(key, group);
    }
    return group;
  }

  /** Bind groups keep their buffers alive: called when buffers are destroyed. */
  forgetBindGroups(): void {
    this.#bindGroups.clear();
  }

  #bufferId(buffer: GPUBuffer): number {
    let id = this.#bufferIds.get(buffer);
    if (id === undefined) {
      id = this.#nextId++;
      this.#bufferIds.set(buffer, id);
    }
    return id;
  }
}
