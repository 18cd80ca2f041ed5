import { takeBestFit } from './buffer-pool.ts';
import { assignSlots, lifetimes } from './memory-plan.ts';
import { type Recording, usesOf } from './recording.ts';

/** Smallest buffer of params: runs of different lengths then find the same one, and with it their bind groups. */
const leastParams = 65536;

/** The buffers of a run while it is in the making: the arena's for its temporaries, and its params. */
export class RunMemory {
  readonly #recording: Recording;
  readonly #arena = new Set<GPUBuffer>();
  #params: GPUBuffer | undefined;

  constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** The params of all dispatches, where there are any. */
  get params(): GPUBuffer | undefined {
    return this.#params;
  }

  /** Takes the buffers. @param paramsBytes of all dispatches. */
  take(paramsBytes: number): void {
    const { gpu } = this.#recording;
    const free: GPUBuffer[] = [];
    const take = (size: number): GPUBuffer => {
      const buffer = takeBestFit(free, size) ?? gpu.pool.take(size);
      this.#arena.add(buffer);
      return buffer;
    };
    const buffers = assignSlots(lifetimes(usesOf(this.#recording)), take, (buffer) => free.push(buffer));
    for (const [storage, buffer] of buffers) storage.buffer = buffer;
    if (paramsBytes) this.#params = gpu.paramsPool.take(Math.max(leastParams, 2 ** Math.ceil(Math.log2(paramsBytes))));
  }

  /** Writes what they hold before the first command. */
  write(inputs: Recording['inputs'], params: Uint32Array<ArrayBuffer>): void {
    const { queue } = this.#recording.gpu.device;
    for (const { tensor, data } of inputs) if (tensor.storage.buffer) queue.writeBuffer(tensor.storage.buffer, 0, data);
    if (this.#params) queue.writeBuffer(this.#params, 0, params);
  }

  /** When the last command is submitted: later submissions run after it, so that other runs may have the buffers at once. */
  giveBack(): void {
    const { gpu, temporaries } = this.#recording;
    for (const storage of temporaries) storage.buffer = undefined;
    for (const buffer of this.#arena) gpu.pool.give(buffer);
    this.#arena.clear();
    if (this.#params) gpu.paramsPool.give(this.#params);
    this.#params = undefined;
  }
}
