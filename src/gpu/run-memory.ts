import { takeBestFit } from './buffer-pool.ts';
import { paramsOf } from './encode.ts';
import { assignSlots, lifetimes } from './memory-plan.ts';
import { type Recording, usesOf } from './recording.ts';

/** Smallest buffer of params: runs of different lengths then find the same one, and with it their bind groups. */
const leastParams = 65536;

/** The buffers of one run: the arena's for its temporaries, its params, and the one that its read-backs are copied to. */
export class RunMemory {
  readonly #recording: Recording;
  readonly #arena = new Set<GPUBuffer>();
  #params: GPUBuffer | undefined;
  #staging: GPUBuffer | undefined;

  constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** The params of all dispatches, where there are any. */
  get params(): GPUBuffer | undefined {
    return this.#params;
  }

  /** Where read-backs are copied to, where there are any. */
  get staging(): GPUBuffer | undefined {
    return this.#staging;
  }

  /** Takes the buffers, and writes what they hold before the first command. */
  take(): void {
    const { gpu, label, inputs, readbackBytes } = this.#recording;
    const { queue } = gpu.device;
    const free: GPUBuffer[] = [];
    const take = (size: number): GPUBuffer => {
      const buffer = takeBestFit(free, size) ?? gpu.pool.take(size);
      this.#arena.add(buffer);
      return buffer;
    };
    const buffers = assignSlots(lifetimes(usesOf(this.#recording)), take, (buffer) => free.push(buffer));
    for (const [storage, buffer] of buffers) storage.buffer = buffer;
    for (const { tensor, data } of inputs) if (tensor.storage.buffer) queue.writeBuffer(tensor.storage.buffer, 0, data);
    const words = paramsOf(this.#recording);
    if (words.length) {
      this.#params = gpu.paramsPool.take(Math.max(leastParams, 2 ** Math.ceil(Math.log2(words.byteLength))));
      queue.writeBuffer(this.#params, 0, words);
    }
    if (readbackBytes)
      this.#staging = gpu.device.createBuffer({
        label: `${label} read-back`,
        size: readbackBytes,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
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

  /** When the read-backs are home. */
  destroyStaging(): void {
    this.#staging?.destroy();
  }
}
