// From the bytes of a checkpoint's files to the GPU's buffers.
import { f32 } from '../gpu/formats/f32.ts';
import { bufferBytes, type Format, formatBytes } from '../gpu/formats/format.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { elementCount, type Tensor } from '../gpu/tensor.ts';
import { makeMatrix, type StoredMatrix } from '../gpu/weight.ts';
import { convert } from '../kernels/convert/convert.ts';
import type { CheckpointTensor } from './checkpoint-tensor.ts';

/** What is read at a time; what is kept of it as garbage is what the host needs beside the GPU's memory. */
export const chunkBytes = 4 << 20;

/**
 * When so much has been sent, what was sent before is waited for. Every write is a copy in a staging buffer until the GPU has taken it:
 * there are 20 MiB of them at most.
 */
const bytesInFlight = 6 << 20;

/** What is read from one place: a tensor, or one of the buffers of a packed matrix. */
export interface UploadJob {
  readonly stored: Format;
  /** Which of the buffers of its format it is. */
  readonly index: number;
  readonly source: CheckpointTensor;
}

/** Bytes [start, end) of a file, and where they go. */
export interface Chunk {
  readonly start: number;
  readonly end: number;
  /** Waits where the queue holds enough: a GPU may be slower than a disk. */
  put(bytes: Uint8Array): Promise<void>;
}

/** Puts chunks into the GPU's queue, and waits for the GPU to take them. */
export class Upload {
  readonly #gpu: Gpu;
  #sent = 0;
  /** When the GPU has what was sent before. */
  #taken: Promise<undefined> | undefined;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** `parts` follow each other in the file. */
  *matrix({ stored, index, source }: UploadJob, parts: readonly StoredMatrix[]): Generator<Chunk> {
    let { start } = source;
    for (const part of parts) {
      const end = start + bufferBytes(stored.buffers(part.shape)[index]);
      if (part.format === stored) yield* this.#asStored(part.buffers[index], start, end);
      else yield* this.#converted(part, stored, start);
      start = end;
    }
  }

  /** Widened to f32 by the host: vectors and tables are small, and of any length. */
  *vector({ stored, source }: UploadJob, vector: Tensor): Generator<Chunk> {
    if (stored === f32) return yield* this.#asStored(vector, source.start, source.end);
    const bytesEach = formatBytes(stored, [1, 1]);
    const perChunk = chunkBytes / bytesEach;
    const count = elementCount(source.shape);
    for (let first = 0; first < count; first += perChunk) {
      const shape = [1, Math.min(perChunk, count - first)] as const;
      const start = source.start + first * bytesEach;
      const put = (bytes: Uint8Array) =>
        this.#write(vector, 4 * first, f32.pack(stored.unpack([bytes], shape), shape)[0]);
      yield { start, end: start + formatBytes(stored, shape), put };
    }
  }

  /** The file's bytes are the buffer's. */
  *#asStored(buffer: Tensor, first: number, last: number): Generator<Chunk> {
    for (let start = first; start < last; start += chunkBytes)
      yield {
        start,
        end: Math.min(last, start + chunkBytes),
        put: (bytes) => this.#write(buffer, start - first, bytes),
      };
  }

  /** Some rows at a time, converted on the GPU. */
  *#converted(to: StoredMatrix, stored: Format, first: number): Generator<Chunk> {
    const [rows, columns] = to.shape;
    const bytesOfRow = formatBytes(stored, [1, columns]);
    const perChunk = 4 * Math.max(1, Math.floor(chunkBytes / bytesOfRow / 4));
    for (let row = 0; row < rows; row += perChunk) {
      const shape = [Math.min(perChunk, rows - row), columns] as const;
      const start = first + row * bytesOfRow;
      const put = async (bytes: Uint8Array) => {
        const rec = this.#gpu.record('convert weights');
        const from = makeMatrix({ label: `${to.label} rows`, format: stored, shape }, (name, dtype, shape) =>
          rec.input(name, dtype, shape, bytes as Uint8Array<ArrayBuffer>),
        );
        convert(rec, { from, to, firstRow: row });
        await rec.submit();
        await this.#count(bytes);
      };
      yield { start, end: start + formatBytes(stored, shape), put };
    }
  }

  async #write(tensor: Tensor, offset: number, data: Uint8Array): Promise<void> {
    this.#gpu.assertAlive();
    let whole = data;
    if (data.byteLength % 4) {
      // The end of an odd count of 16-bit numbers.
      whole = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
      whole.set(data);
    }
    this.#gpu.device.queue.writeBuffer(tensor.storage.buffer!, tensor.offset + offset, whole as BufferSource);
    await this.#count(data);
  }

  async #count({ byteLength }: Uint8Array): Promise<void> {
    this.#sent += byteLength;
    if (this.#sent < bytesInFlight) return;
    this.#sent = 0;
    const before = this.#taken;
    this.#taken = this.#flush();
    await this.#wait(before);
  }

  /** Waits until the GPU has everything. */
  async finish(): Promise<void> {
    await this.#wait(this.#flush());
  }

  #flush(): Promise<undefined> {
    const { queue } = this.#gpu.device;
    // What was written is flushed by a submission; without one it may stay where it is.
    queue.submit([]);
    const taken = queue.onSubmittedWorkDone();
    taken.catch(() => {}); // of a lost device, which is told by itself
    return taken;
  }

  async #wait(taken: Promise<undefined> | undefined): Promise<void> {
    if (taken) await this.#gpu.wait(taken);
    this.#gpu.assertAlive();
  }
}
