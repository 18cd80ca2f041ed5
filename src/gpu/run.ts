// Runs a recording: memory, pipelines, submissions, read-backs.
import { debugLevel } from '#platform';
import { labelOf, workOf } from './command.ts';
import type { GpuContext } from './context.ts';
import { debugPrint } from './debug.ts';
import { type Encoding, encodeCommands, paramsOf } from './encode.ts';
import { KernelError } from './errors.ts';
import type { Pipeline } from './pipeline-cache.ts';
import type { Recording } from './recording.ts';
import { RunMemory } from './run-memory.ts';
import { byteSize } from './tensor.ts';

/** Who watches a run. */
export interface Watch {
  /** Any of them ends the run before its next submission, with the signal's reason. */
  readonly signals?: readonly AbortSignal[];
  /** Of a run that takes several submissions: told after each but the last how much work is done, and how much there is. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A run that the GPU's queue has. */
export interface Started {
  /**
   * When its read-backs are home: their bytes, in the order in which they were recorded.
   * @throws KernelError for what WebGPU refused; DeviceLostError.
   */
  readonly finished: Promise<readonly Uint8Array<ArrayBuffer>[]>;
}

/** Submissions that the GPU has at a time: while it works on one, the next one waits for it. */
const atOnce = 2;

/**
 * A recording with its pipelines, compiled all at once where they were not. It runs as often as it is started, and keeps its memory
 * from the first time until it is released.
 */
export class Run {
  readonly #recording: Recording;
  readonly #watch: Watch;
  readonly #pipelines: readonly (Pipeline | undefined)[];
  readonly #memory: RunMemory;
  #encoding: Encoding | undefined;

  /** @throws KernelError naming the kernel that does not compile; DeviceLostError. */
  static async prepare(recording: Recording, watch: Watch): Promise<Run> {
    const { gpu, commands } = recording;
    gpu.assertAlive();
    if (debugLevel() >= 2) debugPrint(recording);
    const pipelines = commands.map((c) => ('dispatch' in c ? gpu.pipelines.get(c.dispatch) : undefined));
    const compiled = await gpu.wait(Promise.all(pipelines));
    return new Run(recording, watch, compiled);
  }

  private constructor(recording: Recording, watch: Watch, pipelines: readonly (Pipeline | undefined)[]) {
    this.#recording = recording;
    this.#watch = watch;
    this.#pipelines = pipelines;
    this.#memory = new RunMemory(recording);
  }

  /**
   * Encodes and submits. A run that would keep the GPU busy for long takes several submissions (`Pace`), which changes nothing that
   * it computes. With HEADLIGHT_DEBUG each command is a submission, so that an error names it.
   * @param later as the run would be so many steps of a generation later (`Dispatch.later`).
   * @returns when the queue has all of it: a run that is started then comes after it, and may use the same memory. Nothing, and
   * nothing runs, where it would be another run by then.
   * @throws the reason of a signal that is aborted; KernelError and DeviceLostError as far as they are known by then.
   */
  async start(later = 0): Promise<Started | undefined> {
    const { gpu, label, inputs, readbackBytes } = this.#recording;
    gpu.assertAlive();
    const params = paramsOf(this.#recording, later);
    if (!params) return undefined;
    const { device } = gpu;
    const staging = readbackBytes
      ? device.createBuffer({
          label: `${label} read-back`,
          size: readbackBytes,
          usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
        })
      : undefined;
    try {
      const hasMemory = checked(device, label, () => {
        if (!this.#encoding) {
          this.#memory.take(params.byteLength);
          const groups = new Array<GPUBindGroup | undefined>(this.#pipelines.length);
          const { params: buffer } = this.#memory;
          this.#encoding = { recording: this.#recording, pipelines: this.#pipelines, params: buffer, groups };
        }
        const data = later ? inputs.map((input) => ({ ...input, data: input.later?.(later) ?? input.data })) : inputs;
        this.#memory.write(data, params);
      });
      const running = await this.#enqueue(this.#encoding!, staging);
      const accepted = { label, work: 0, accepted: hasMemory, finished: undefined };
      const finished = this.#finish([accepted, ...running], staging);
      finished.catch(() => {}); // thrown where it is waited for
      return { finished };
    } catch (error) {
      staging?.destroy();
      throw error;
    }
  }

  /** Gives its memory back: once it is in the queue for the last time. */
  release(): void {
    this.#memory.giveBack();
    this.#encoding = undefined;
  }

  /** @returns the submissions that have not been waited for. */
  async #enqueue(encoding: Encoding, staging: GPUBuffer | undefined): Promise<Submission[]> {
    const { gpu, label, commands, profiler } = this.#recording;
    const { signals = [], onProgress } = this.#watch;
    const { device, pace } = gpu;
    const debug = debugLevel();
    const total = onProgress ? commands.reduce((sum, command) => sum + workOf(command), 0) : 0;
    const running: Submission[] = [];
    let [withParams, done] = [0, 0];
    for (let start = 0; start < commands.length; ) {
      if (start) for (const signal of signals) signal.throwIfAborted();
      const { end, work } = debug ? { end: start + 1, work: workOf(commands[start]) } : pace.next(commands, start);
      const last = end === commands.length;
      const range = [start, end] as const;
      const accepted = checked(device, debug ? labelOf(commands[start]) : label, () => {
        const encoder = device.createCommandEncoder({ label });
        withParams = encodeCommands(encoder, encoding, range, withParams, staging);
        if (last) profiler?.resolve(encoder);
        device.queue.submit([encoder.finish()]);
      });
      const finished = last ? staging?.mapAsync(GPUMapMode.READ) : device.queue.onSubmittedWorkDone();
      running.push({ label, work, accepted, finished: finished && pace.time(work, finished) });
      start = end;
      if (last || running.length < atOnce) continue;
      const first = running.shift()!;
      await settled(gpu, first);
      done += first.work;
      onProgress?.(done, total);
    }
    return running;
  }

  /** Brings read-backs home through one staging buffer. */
  async #finish(running: readonly Submission[], staging: GPUBuffer | undefined) {
    let bytes: Uint8Array<ArrayBuffer>[] = [];
    try {
      for (const submission of running) await settled(this.#recording.gpu, submission);
      if (staging) bytes = readbacksOf(this.#recording, staging.getMappedRange());
    } finally {
      staging?.destroy();
    }
    await this.#recording.profiler?.collect();
    return bytes;
  }
}

interface Submission {
  readonly label: string;
  readonly work: number;
  readonly accepted: Promise<void>;
  /** Nobody waits for the end of a run that reads nothing back. */
  readonly finished: Promise<void> | undefined;
}

async function settled(gpu: GpuContext, { label, accepted, finished }: Submission): Promise<void> {
  await gpu.wait(accepted);
  if (!finished) return;
  const read = finished.catch((cause: Error) => {
    throw new KernelError(label, `read-back failed: ${cause.message}`, [], { cause });
  });
  await gpu.wait(read);
}

/** Does something within error scopes. @returns when WebGPU has said that it takes it; KernelError where it refuses. */
function checked(device: GPUDevice, title: string, work: () => void): Promise<void> {
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  let errors: Promise<(GPUError | null)[]>;
  try {
    work();
  } finally {
    errors = Promise.all([device.popErrorScope(), device.popErrorScope()]);
    errors.catch(() => {}); // of a lost device, which is told by itself
  }
  const accepted = errors.then((found) => {
    for (const error of found) if (error) throw new KernelError(title, error.message);
  });
  accepted.catch(() => {}); // thrown where it is waited for, if nothing else is thrown before
  return accepted;
}

function readbacksOf({ commands }: Recording, all: ArrayBuffer): Uint8Array<ArrayBuffer>[] {
  return commands.flatMap((command) => {
    if (!('readback' in command)) return [];
    const { tensor, offset } = command.readback;
    return [new Uint8Array(all.slice(offset, offset + byteSize(tensor.dtype, tensor.shape)))];
  });
}
