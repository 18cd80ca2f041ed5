import { waitForGpu } from '#platform';
import { roundedSize, takeBestFit } from './buffer-pool.ts';
import type { GpuContext } from './context.ts';
import { type Cost, type Dispatch, storagesOf } from './dispatch.ts';
import { KernelError, ShapeError } from './errors.ts';
import { assignSlots, lifetimes, type Use } from './memory-plan.ts';
import { type Pipeline, paramsBytes, type Slot } from './pipeline-cache.ts';
import type { Profiler } from './profiler.ts';
import { byteSize, type DType, isBindable, type Storage, type Tensor } from './tensor.ts';

export { type Binding, type Cost, type Dispatch, read, readWrite, type Workgroups } from './dispatch.ts';

interface Copy {
  readonly from: Tensor;
  readonly to: Tensor;
}

type Command = { readonly dispatch: Dispatch } | { readonly copy: Copy } | { readonly readback: Readback };

const floatView = new Float32Array(1);
/** The bits of a float as the u32 that `params` takes. */
export function floatBits(x: number): number {
  floatView[0] = x;
  return new Uint32Array(floatView.buffer)[0];
}

/** A result that the host has asked for; filled when `submit()` has resolved. */
export class Readback {
  readonly tensor: Tensor;
  /** Bytes from the start of the run's staging buffer. */
  readonly offset: number;
  bytes: Uint8Array | undefined;

  constructor(tensor: Tensor, offset: number) {
    this.tensor = tensor;
    this.offset = offset;
  }

  get shape(): readonly number[] {
    return this.tensor.shape;
  }

  /** The numbers of an f32 tensor, row-major. Throws before `submit()` has resolved. */
  get f32(): Float32Array {
    return new Float32Array(this.#buffer());
  }

  get u32(): Uint32Array {
    return new Uint32Array(this.#buffer());
  }

  #buffer(): ArrayBuffer {
    if (!this.bytes) throw new KernelError(this.tensor.label, 'read back before submit() has resolved');
    return this.bytes.buffer as ArrayBuffer;
  }
}

export interface RecorderOptions {
  profiler?: Profiler;
  /** Bind each storage to its end instead of the tensor's, so that a test sees writes past the end of an output. */
  bindToEnd?: boolean;
  /** Kernels in the place of ours. */
  replacement?: Replacement;
}

/** Kernels in the place of ours (`replacementOf` in src/kernels/custom). The recorder asks it about every dispatch. */
export interface Replacement {
  /** Whether a dispatch of such a kernel and label is replaced. */
  replaces(ours: Pick<Dispatch, 'kernel' | 'label'>): boolean;
  /** What is recorded in the place of a dispatch of ours, and its extra outputs by name; nothing where ours stays. */
  replace(rec: Recorder, ours: Dispatch): { dispatch: Dispatch; extras: ReadonlyMap<string, Tensor> } | undefined;
}

/**
 * Records one phase (a prefill, a decode step, an image) and runs it as one submission.
 *
 * Temporaries have no memory while recording; `submit()` plans their lives, takes buffers from the arena, compiles what is
 * not compiled yet (all at once, asynchronously), encodes, and reads back what was asked for through one staging buffer.
 */
export class Recorder {
  readonly gpu: GpuContext;
  readonly label: string;
  readonly #profiler: Profiler | undefined;
  readonly #bindToEnd: boolean;
  readonly #replacement: Replacement | undefined;
  readonly #extras = new Map<string, ReadonlyMap<string, Tensor>>();
  readonly #commands: Command[] = [];
  readonly #temporaries = new Set<Storage>();
  readonly #inputs: { tensor: Tensor; data: BufferSource }[] = [];
  #readbackBytes = 0;
  #submitted = false;

  constructor(gpu: GpuContext, label: string, options: RecorderOptions = {}) {
    this.gpu = gpu;
    this.label = label;
    this.#profiler = options.profiler;
    this.#bindToEnd = options.bindToEnd ?? false;
    this.#replacement = options.replacement;
  }

  /** Dispatches recorded so far: what a run costs in launches. */
  get dispatches(): number {
    return this.recorded.length;
  }

  /** What was recorded so far, in the order in which it runs. */
  get recorded(): readonly Dispatch[] {
    return this.#commands.flatMap((c) => ('dispatch' in c ? [c.dispatch] : []));
  }

  /** Extra outputs of the custom kernel that replaced the dispatch with this label, by name. */
  extras(label: string): ReadonlyMap<string, Tensor> {
    return this.#extras.get(label) ?? new Map();
  }

  /** Whether a custom kernel replaces ours in dispatches of this label. */
  replaces(kernel: string, label: string): boolean {
    return this.#replacement?.replaces({ kernel, label }) ?? false;
  }

  /** Kernels of the dispatches recorded so far, each once, and the sum of their work: what a benchmark divides by time. */
  get work(): Cost & { kernels: string[] } {
    const dispatches = this.recorded;
    const sum = (f: (cost: Cost) => number) => dispatches.reduce((total, d) => total + f(d.cost), 0);
    return {
      flops: sum((c) => c.flops),
      bytes: sum((c) => c.bytes),
      kernels: [...new Set(dispatches.map((d) => d.kernel))],
    };
  }

  /** Bytes that the read-backs recorded so far bring to the host. */
  get resultBytes(): number {
    return this.#readbackBytes;
  }

  /** An uninitialised tensor that lives from its first to its last use in this run. */
  temp(label: string, dtype: DType, shape: readonly number[]): Tensor {
    const storage: Storage = { label, size: Math.max(4, byteSize(dtype, shape)), buffer: undefined };
    this.#temporaries.add(storage);
    return { label, dtype, shape, storage, offset: 0 };
  }

  /** A temporary that holds `data` before the first command. */
  input(label: string, dtype: DType, shape: readonly number[], data: BufferSource): Tensor {
    const tensor = this.temp(label, dtype, shape);
    if (data.byteLength !== byteSize(dtype, shape))
      throw new ShapeError(
        `${label}: [${shape}] ${dtype} takes ${byteSize(dtype, shape)} bytes, got ${data.byteLength}`,
      );
    this.#inputs.push({ tensor, data });
    return tensor;
  }

  dispatch(ours: Dispatch): void {
    if (ours.workgroups.some((n) => n === 0)) return;
    const theirs = this.#replacement?.replace(this, ours);
    const dispatch = theirs?.dispatch ?? ours;
    if (theirs) this.#extras.set(dispatch.label, theirs.extras);
    const limit = this.gpu.capabilities.maxWorkgroupsPerDimension;
    if (dispatch.workgroups.some((n) => !(n! <= limit)))
      throw new KernelError(
        dispatch.kernel,
        `${dispatch.label}: workgroups [${dispatch.workgroups}] exceed ${limit} a dimension`,
      );
    if ((dispatch.params?.length ?? 0) * 4 > paramsBytes)
      throw new KernelError(
        dispatch.kernel,
        `${dispatch.label}: ${dispatch.params?.length} params, at most ${paramsBytes / 4}`,
      );
    const { maxStorageBufferBindingSize: largest, maxStorageBuffersPerShaderStage: most } = this.gpu.device.limits;
    const storages = storagesOf(dispatch);
    if (storages.length > most)
      throw new KernelError(
        dispatch.kernel,
        `${dispatch.label}: ${storages.length} storage bindings, this adapter has ${most}: put several inputs into one`,
      );
    for (const { tensor } of storages) {
      const bytes = byteSize(tensor.dtype, tensor.shape);
      if (bytes > largest)
        throw new KernelError(
          dispatch.kernel,
          `${tensor.label} [${tensor.shape}] takes ${bytes} bytes, more than the ${largest} that this adapter binds: run fewer or shorter prompts at once, or give posSlice`,
        );
      if (!isBindable(tensor))
        throw new KernelError(
          dispatch.kernel,
          `${tensor.label} starts at byte ${tensor.offset}, not a multiple of 256: copy it first`,
        );
    }
    this.#commands.push({ dispatch });
  }

  /** Copies the bytes of one tensor into another of the same byte size. */
  copy(from: Tensor, to: Tensor): void {
    if (byteSize(from.dtype, from.shape) !== byteSize(to.dtype, to.shape))
      throw new ShapeError(`copy ${from.label} [${from.shape}] to ${to.label} [${to.shape}]: sizes differ`);
    this.#commands.push({ copy: { from, to } });
  }

  /** Asks for a tensor's content as it is at this point of the run. */
  read(tensor: Tensor): Readback {
    const readback = new Readback(tensor, this.#readbackBytes);
    this.#readbackBytes += byteSize(tensor.dtype, tensor.shape);
    this.#commands.push({ readback });
    return readback;
  }

  /** Bytes of buffers that the run would need with an empty arena, without running it. */
  price(): number {
    const free: { size: number }[] = [];
    let total = 0;
    const take = (wanted: number) => {
      const slot = takeBestFit(free, wanted);
      if (slot) return slot;
      const size = roundedSize(wanted);
      total += size;
      return { size };
    };
    assignSlots(lifetimes(this.#uses()), take, (slot) => free.push(slot));
    return total;
  }

  /** The largest temporary recorded so far: what an adapter's limits for a buffer and a binding must allow. */
  get largest(): { readonly label: string; readonly bytes: number } {
    let largest = { label: '', bytes: 0 };
    for (const { label, size } of this.#temporaries) if (size > largest.bytes) largest = { label, bytes: size };
    return largest;
  }

  /**
   * Runs what was recorded, once.
   * @throws KernelError naming the kernel that does not compile or the command that WebGPU refused.
   * @throws DeviceLostError
   */
  async submit(): Promise<void> {
    try {
      await this.#submit();
    } catch (error) {
      throw await this.gpu.explain(error);
    }
  }

  async #submit(): Promise<void> {
    if (this.#submitted) throw new KernelError(this.label, 'submitted twice; record a new run');
    this.#submitted = true;
    const { gpu } = this;
    gpu.assertAlive();
    const pipelines = await Promise.all(
      this.#commands.map((c) => ('dispatch' in c ? this.#pipeline(c.dispatch) : undefined)),
    );
    gpu.assertAlive();

    const { device, pool } = gpu;
    device.pushErrorScope('out-of-memory');
    device.pushErrorScope('validation');
    const taken = new Set<GPUBuffer>();
    const free: GPUBuffer[] = [];
    const take = (size: number): GPUBuffer => {
      const buffer = takeBestFit(free, size) ?? pool.take(size);
      taken.add(buffer);
      return buffer;
    };
    let staging: GPUBuffer | undefined;
    let errors: Promise<GPUError | null>[];
    try {
      const buffers = assignSlots(lifetimes(this.#uses()), take, (buffer) => free.push(buffer));
      for (const [storage, buffer] of buffers) storage.buffer = buffer;
      const params = this.#writeParams();
      for (const { tensor, data } of this.#inputs)
        if (tensor.storage.buffer) device.queue.writeBuffer(tensor.storage.buffer, 0, data);
      if (this.#readbackBytes)
        staging = device.createBuffer({
          label: `${this.label} read-back`,
          size: this.#readbackBytes,
          usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
        });
      const encoder = device.createCommandEncoder({ label: this.label });
      this.#encode(encoder, pipelines, params, staging);
      device.queue.submit([encoder.finish()]);
    } finally {
      // Also where a tensor had been destroyed: the next run finds the arena and the error scopes as they were.
      errors = [device.popErrorScope(), device.popErrorScope()];
      // Later submissions run after this one, so the arena's buffers can be handed out again at once.
      for (const storage of this.#temporaries) storage.buffer = undefined;
      for (const buffer of taken) pool.give(buffer);
    }
    const mapped = staging?.mapAsync(GPUMapMode.READ);
    mapped?.catch(() => {}); // reported through the error scopes or as a lost device, with a name
    for (const error of await waitForGpu(Promise.all(errors)))
      if (error) throw new KernelError(this.label, error.message);
    try {
      if (mapped) await waitForGpu(mapped);
    } catch (e) {
      throw new KernelError(this.label, `read-back failed: ${(e as Error).message}`);
    }
    if (staging) {
      const all = staging.getMappedRange();
      for (const command of this.#commands)
        if ('readback' in command) {
          const { tensor, offset } = command.readback;
          command.readback.bytes = new Uint8Array(all.slice(offset, offset + byteSize(tensor.dtype, tensor.shape)));
        }
      staging.destroy();
    }
    await this.#profiler?.collect();
  }

  *#uses(): Generator<Use> {
    for (const { tensor } of this.#inputs) yield { storage: tensor.storage, index: -1 };
    for (const [index, command] of this.#commands.entries()) {
      const tensors =
        'dispatch' in command
          ? storagesOf(command.dispatch).map((b) => b.tensor)
          : 'copy' in command
            ? [command.copy.from, command.copy.to]
            : [command.readback.tensor];
      for (const { storage } of tensors) if (this.#temporaries.has(storage)) yield { storage, index };
    }
  }

  #pipeline({ bindings, params, moreBindings = [], ...dispatch }: Dispatch): Promise<Pipeline> {
    const slots: Slot[] = bindings.map((b) => b.access);
    if (params) slots.push('params');
    slots.push(...moreBindings.map((b) => b.access));
    return this.gpu.pipelines.get({ ...dispatch, slots });
  }

  /** All dispatches' params in one buffer, one upload; each sees its own window through a dynamic offset. */
  #writeParams(): GPUBuffer | undefined {
    const withParams = this.#commands.filter((c) => 'dispatch' in c && c.dispatch.params !== undefined);
    if (!withParams.length) return undefined;
    const words = new Uint32Array((withParams.length * paramsBytes) / 4);
    let i = 0;
    for (const command of withParams) {
      if ('dispatch' in command) words.set(command.dispatch.params!, (i * paramsBytes) / 4);
      i++;
    }
    const buffer = this.gpu.paramsBuffer(words.byteLength);
    this.gpu.device.queue.writeBuffer(buffer, 0, words);
    return buffer;
  }

  #encode(
    encoder: GPUCommandEncoder,
    pipelines: readonly (Pipeline | undefined)[],
    params: GPUBuffer | undefined,
    staging: GPUBuffer | undefined,
  ): void {
    let pass: GPUComputePassEncoder | undefined;
    let paramsOffset = 0;
    const endPass = () => {
      pass?.end();
      pass = undefined;
    };
    for (const [i, command] of this.#commands.entries()) {
      if ('dispatch' in command) {
        const { dispatch } = command;
        const pipeline = pipelines[i]!;
        const timestampWrites = this.#profiler?.next(dispatch);
        if (timestampWrites) endPass();
        pass ??= encoder.beginComputePass({ label: timestampWrites ? dispatch.label : this.label, timestampWrites });
        const storages = storagesOf(dispatch).map(({ tensor: t }) => ({
          buffer: bufferOf(t),
          offset: t.offset,
          size: this.#bindToEnd ? bufferOf(t).size - t.offset : Math.max(4, byteSize(t.dtype, t.shape)),
        }));
        pass.setPipeline(pipeline.pipeline);
        const hasParams = dispatch.params !== undefined;
        const group = this.gpu.pipelines.bindGroup(
          pipeline,
          `${dispatch.kernel} ${dispatch.label}`,
          storages,
          hasParams ? params : undefined,
        );
        if (hasParams) {
          pass.setBindGroup(0, group, [paramsOffset]);
          paramsOffset += paramsBytes;
        } else pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(dispatch.workgroups[0], dispatch.workgroups[1], dispatch.workgroups[2]);
        if (timestampWrites) endPass();
      } else {
        endPass();
        const from = 'copy' in command ? command.copy.from : command.readback.tensor;
        const [to, toOffset] =
          'copy' in command ? [bufferOf(command.copy.to), command.copy.to.offset] : [staging!, command.readback.offset];
        encoder.copyBufferToBuffer(bufferOf(from), from.offset, to, toOffset, byteSize(from.dtype, from.shape));
      }
    }
    endPass();
    this.#profiler?.resolve(encoder);
  }
}

function bufferOf(tensor: Tensor): GPUBuffer {
  const { buffer } = tensor.storage;
  if (!buffer) throw new KernelError(tensor.label, 'has no memory: it was destroyed, or belongs to another run');
  return buffer;
}
