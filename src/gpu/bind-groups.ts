import { type Pipeline, paramsBytes } from './pipeline-cache.ts';

/** Prompts of ever new lengths would add groups without end; to make those of one run again costs little. */
const most = 8192;

/** A buffer, and the keys of the groups that bind it. */
interface Known {
  readonly id: number;
  readonly keys: Set<string>;
}

/** Bind groups by pipeline and by what they bind: each is made once, and kept until one of its buffers is destroyed. */
export class BindGroups {
  readonly #device: GPUDevice;
  readonly #groups = new Map<string, { readonly group: GPUBindGroup; readonly of: readonly Known[] }>();
  readonly #buffers = new WeakMap<GPUBuffer, Known>();
  #nextId = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** How many are kept. */
  get count(): number {
    return this.#groups.size;
  }

  /** `label` names the dispatch in captures and validation errors; `storages` are in the order of the pipeline's slots. */
  get(
    pipeline: Pipeline,
    label: string,
    storages: readonly { buffer: GPUBuffer; offset: number; size: number }[],
    params: GPUBuffer | undefined,
  ): GPUBindGroup {
    let key = `${pipeline.id}`;
    for (const s of storages) key += `,${this.#known(s.buffer).id}:${s.offset}:${s.size}`;
    if (params) key += `,${this.#known(params).id}`;
    const kept = this.#groups.get(key);
    if (kept) return kept.group;
    const next = storages.values();
    const entries = pipeline.slots.map((slot, binding): GPUBindGroupEntry => {
      const resource = slot === 'params' ? { buffer: params!, offset: 0, size: paramsBytes } : next.next().value!;
      return { binding, resource };
    });
    const group = this.#device.createBindGroup({ label, layout: pipeline.layout, entries });
    if (this.#groups.size >= most) this.#clear();
    const of = [...storages.map((s) => s.buffer), ...(params ? [params] : [])].map((buffer) => this.#known(buffer));
    for (const { keys } of of) keys.add(key);
    this.#groups.set(key, { group, of });
    return group;
  }

  /** Forgets the groups that bind a buffer, which they would keep alive: called when it is destroyed. */
  forget(buffer: GPUBuffer): void {
    for (const key of this.#buffers.get(buffer)?.keys ?? []) {
      for (const { keys } of this.#groups.get(key)!.of) keys.delete(key);
      this.#groups.delete(key);
    }
  }

  #clear(): void {
    for (const { of } of this.#groups.values()) for (const { keys } of of) keys.clear();
    this.#groups.clear();
  }

  #known(buffer: GPUBuffer): Known {
    let known = this.#buffers.get(buffer);
    if (!known) {
      known = { id: this.#nextId++, keys: new Set() };
      this.#buffers.set(buffer, known);
    }
    return known;
  }
}
