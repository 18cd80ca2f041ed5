import { roundedSize, takeBestFit } from './buffer-pool.ts';
import { checkDispatch } from './check-dispatch.ts';
import type { Command } from './command.ts';
import type { GpuContext } from './context.ts';
import type { Cost, Dispatch } from './dispatch.ts';
import { KernelError, ShapeError } from './errors.ts';
import { assignSlots, lifetimes } from './memory-plan.ts';
import type { Profiler } from './profiler.ts';
import { Readback } from './readback.ts';
import { type Input, type Recording, usesOf } from './recording.ts';
import { Run, type Started, type Watch } from './run.ts';
import { byteSize, type DType, type Storage, type Tensor } from './tensor.ts';

export { type Binding, type Cost, type Dispatch, read, readWrite, type Workgroups } from './dispatch.ts';

const floatView = new Float32Array(1);
/** The bits of a float as the u32 that `params` takes. */
export function floatBits(x: number): number {
  floatView[0] = x;
  return new Uint32Array(floatView.buffer)[0];
}

/** What a recorder does beside recording. */
export interface RecorderOptions extends Watch {
  /** Times each dispatch. */
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
 * Records one phase (a prefill, a decode step, an image) and runs it, in one submission where it is short.
 *
 * Temporaries have no memory while recording: `submit()` plans their lives and gives them some (submit.ts).
 */
export class Recorder {
  readonly gpu: GpuContext;
  /** Names the run in errors and captures. */
  readonly label: string;
  readonly #profiler: Profiler | undefined;
  readonly #bindToEnd: boolean;
  readonly #replacement: Replacement | undefined;
  readonly #watch: Watch;
  readonly #extras = new Map<string, ReadonlyMap<string, Tensor>>();
  readonly #commands: Command[] = [];
  readonly #temporaries = new Set<Storage>();
  readonly #inputs: Input[] = [];
  #readbackBytes = 0;
  #submitted = false;

  constructor(gpu: GpuContext, label: string, options: RecorderOptions = {}) {
    this.gpu = gpu;
    this.label = label;
    this.#profiler = options.profiler;
    this.#bindToEnd = options.bindToEnd ?? false;
    this.#replacement = options.replacement;
    this.#watch = options;
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

  /** Whether any kernels may be in the place of ours. */
  get hasReplacement(): boolean {
    return this.#replacement !== undefined;
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

  /**
   * A temporary that holds `data` before the first command.
   * @param later what it holds so many steps of a generation later; the same by default.
   */
  input(
    label: string,
    dtype: DType,
    shape: readonly number[],
    data: BufferSource,
    later?: (steps: number) => BufferSource,
  ): Tensor {
    const tensor = this.temp(label, dtype, shape);
    if (data.byteLength !== byteSize(dtype, shape))
      throw new ShapeError(
        `${label}: [${shape}] ${dtype} takes ${byteSize(dtype, shape)} bytes, got ${data.byteLength}`,
      );
    this.#inputs.push({ tensor, data, later });
    return tensor;
  }

  /**
   * Records one call of a kernel, or of the custom kernel in its place. One of no workgroups is left out.
   * @throws KernelError for a dispatch that this adapter cannot run.
   */
  dispatch(ours: Dispatch): void {
    if (ours.workgroups.some((n) => n === 0)) return;
    const theirs = this.#replacement?.replace(this, ours);
    const dispatch = theirs?.dispatch ?? ours;
    if (theirs) this.#extras.set(dispatch.label, theirs.extras);
    checkDispatch(this.gpu, dispatch);
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
    assignSlots(lifetimes(usesOf(this.#recording)), take, (slot) => free.push(slot));
    return total;
  }

  /** The largest temporary recorded so far: what an adapter's limits for a buffer and a binding must allow. */
  get largest(): { readonly label: string; readonly bytes: number } {
    let largest = { label: '', bytes: 0 };
    for (const { label, size } of this.#temporaries) if (size > largest.bytes) largest = { label, bytes: size };
    return largest;
  }

  /**
   * Runs what was recorded, once, and waits for its results.
   * @throws as `start` and what it returns.
   */
  async submit(): Promise<void> {
    await (await this.start()).finished;
  }

  /**
   * Puts what was recorded into the GPU's queue, once. What is started after it has resolved runs after it, and need not wait for its
   * results.
   * @throws KernelError naming the kernel that does not compile or the command that WebGPU refused.
   * @throws the reason of a signal that is aborted between two of its submissions.
   * @throws DeviceLostError
   */
  async start(): Promise<Started> {
    const run = await this.prepare();
    try {
      const finished = (await run.start())!.finished.then((all) => this.#fill(all));
      finished.catch(() => {}); // thrown where it is waited for
      return { finished };
    } finally {
      run.release();
    }
  }

  /** What was recorded, made ready to run, once or as the steps of a generation: this recorder is then done. @throws as `start`. */
  async prepare(): Promise<Run> {
    if (this.#submitted) throw new KernelError(this.label, 'submitted twice; record a new run');
    this.#submitted = true;
    return Run.prepare(this.#recording, this.#watch);
  }

  #fill(all: readonly Uint8Array<ArrayBuffer>[]): typeof all {
    let next = 0;
    for (const command of this.#commands) if ('readback' in command) command.readback.bytes = all[next++];
    return all;
  }

  get #recording(): Recording {
    return {
      gpu: this.gpu,
      label: this.label,
      commands: this.#commands,
      inputs: this.#inputs,
      temporaries: this.#temporaries,
      readbackBytes: this.#readbackBytes,
      profiler: this.#profiler,
      bindToEnd: this.#bindToEnd,
    };
  }
}
