/**
 * The arena: buffers for a recorder's temporaries. A run takes what its memory plan asks for and gives everything back at
 * its end, so that the next run of the same shape gets the same buffers and therefore the same cached bind groups.
 *
 * Separate buffers rather than one big one with offsets: WebGPU refuses a dispatch that reads and writes one buffer through
 * two bindings, however far apart.
 */
export class BufferPool {
  readonly #device: GPUDevice;
  #free: GPUBuffer[] = [];
  #bytes = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** Bytes that the pool holds, in use or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The smallest free buffer that holds `size` bytes and is not twice as large, or a new one. */
  take(size: number): GPUBuffer {
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const candidate = this.#free[i].size;
      if (candidate >= size && candidate <= 2 * size + 4096 && (best < 0 || candidate < this.#free[best].size))
        best = i;
    }
    if (best >= 0) return this.#free.splice(best, 1)[0];
    const rounded = Math.ceil(size / 256) * 256;
    this.#bytes += rounded;
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    return this.#device.createBuffer({ label: `arena ${rounded}`, size: rounded, usage });
  }

  give(buffer: GPUBuffer): void {
    this.#free.push(buffer);
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
