/**
 * Buffers of one kind: the arena holds those for a recorder's temporaries, another pool those for params. A run takes what its memory
 * plan asks for and gives everything back at its end. What is free is handed out by size and age, in whatever order it came back: so
 * the next run of the same shape gets the same buffers and therefore the same bind groups.
 *
 * Separate buffers rather than one big one with offsets: WebGPU refuses a dispatch that reads and writes one buffer through
 * two bindings, however far apart.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #kind: 'arena' | 'params';
  /** By size, then by age. */
  #free: GPUBuffer[] = [];
  readonly #ages = new WeakMap<GPUBuffer, number>();
  #made = 0;
  #bytes = 0;

  constructor(device: GPUDevice, kind: 'arena' | 'params') {
    this.#device = device;
    this.#kind = kind;
  }

  /** Bytes that the pool holds, in use or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The smallest free buffer that holds `size` bytes and is not twice as large, or a new one. */
  take(size: number): GPUBuffer {
    const free = takeBestFit(this.#free, size, 2 * size + 4096);
    if (free) return free;
    const rounded = roundedSize(size);
    this.#bytes += rounded;
    const { STORAGE, COPY_SRC, COPY_DST, UNIFORM } = GPUBufferUsage;
    const usage = this.#kind === 'params' ? UNIFORM | COPY_DST : STORAGE | COPY_SRC | COPY_DST;
    const buffer = this.#device.createBuffer({ label: `${this.#kind} ${rounded}`, size: rounded, usage });
    this.#ages.set(buffer, this.#made++);
    return buffer;
  }

  give(buffer: GPUBuffer): void {
    const age = this.#ages.get(buffer)!;
    const isAfter = (other: GPUBuffer) =>
      other.size > buffer.size || (other.size === buffer.size && this.#ages.get(other)! > age);
    const at = this.#free.findIndex(isAfter);
    this.#free.splice(at < 0 ? this.#free.length : at, 0, buffer);
  }

  /** Frees the buffers that no run holds. */
  destroy(): void {
    for (const buffer of this.#free) {
      this.#bytes -= buffer.size;
      buffer.destroy();
    }
    this.#free = [];
  }
}

/** What the pool makes of a wanted size. */
export const roundedSize = (size: number): number => Math.ceil(size / 256) * 256;

/** Takes the smallest buffer of `size` to `atMost` bytes out of a list, if there is one. */
export function takeBestFit<Buffer extends { readonly size: number }>(
  free: Buffer[],
  size: number,
  atMost = Number.POSITIVE_INFINITY,
): Buffer | undefined {
  let best = -1;
  for (const [i, { size: candidate }] of free.entries())
    if (candidate >= size && candidate <= atMost && (best < 0 || candidate < free[best].size)) best = i;
  return best < 0 ? undefined : free.splice(best, 1)[0];
}
