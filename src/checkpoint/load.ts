import { waitForGpu } from '#platform';
import { f32 } from '../gpu/formats/f32.ts';
import { bufferBytes, type Format, formatBytes } from '../gpu/formats/format.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { type DType, elementCount, type Tensor } from '../gpu/tensor.ts';
import { makeMatrix, type StoredMatrix } from '../gpu/weight.ts';
import { convert } from '../kernels/convert/convert.ts';
import { type Allocated, allocate } from './allocate.ts';
import { batches, batchReader, type Checkpoint, storedAs } from './checkpoint-files.ts';
import type { CheckpointTensor, StoredAs } from './checkpoint-tensor.ts';
import { CheckpointError } from './errors.ts';
import { checkSpecs, checkTied, type IgnoredTensor, type TensorSpec, type UnreadTensors } from './specs.ts';

export type { TensorSpec } from './specs.ts';

export interface LoadProgress {
  /** Bytes of the checkpoint on the GPU so far, and in the end. */
  readonly loaded: number;
  readonly total: number;
}

export interface LoadOptions extends UnreadTensors {
  /** The format that a matrix is to have on the GPU. Default: as it is stored; a packed one stays so. One that cannot hold it is a ShapeError. */
  formatOf?: (spec: TensorSpec, stored: Format) => Format;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** Weights on the GPU, found by their canonical names. */
export interface LoadedTensors extends Allocated {
  readonly ignored: readonly IgnoredTensor[];
  /** Bytes of GPU buffers. */
  readonly bytes: number;
  destroy(): void;
}

/** What is read at a time; what is kept of it as garbage is what the host needs beside the GPU's memory. */
const chunkBytes = 4 << 20;

/** What the queue may hold: every write is a copy in a staging buffer until the GPU has taken it. */
const maxBytesInFlight = 16 << 20;

/**
 * Streams the tensors that `specs` name from the checkpoint to the GPU, in the order of the files.
 *
 * The host never holds more than some chunks, whatever the size of a tensor. A matrix that is larger than a binding may be
 * is split by rows into parts. On any failure, an abort included, what was loaded is freed.
 *
 * @throws CheckpointError naming every tensor that is missing, mis-shaped or of an unsupported dtype, or saying
 *   that the GPU has not the memory; the signal's reason when aborted.
 */
export async function loadTensors(
  gpu: Gpu,
  checkpoint: Checkpoint,
  specs: readonly TensorSpec[],
  options: LoadOptions,
): Promise<LoadedTensors> {
  const { tied = {}, signal } = options;
  signal?.throwIfAborted();
  const ignored = checkSpecs(checkpoint, specs, options);
  await checkTied(checkpoint, tied, signal);

  const jobs = specs.flatMap((spec): Job[] => {
    const { format, buffers } = storedAs(checkpoint, spec.name)!;
    return buffers.map((tensor, index) => ({ spec, stored: format!, index, source: partOf(spec, tensor) }));
  });
  const tensors: Tensor[] = [];
  const make = (label: string, dtype: DType, shape: readonly number[]) => {
    const tensor = gpu.tensor(label, dtype, shape);
    tensors.push(tensor);
    return tensor;
  };
  const destroy = () => gpu.destroy(...tensors);
  const bytes = () => tensors.reduce((sum, tensor) => sum + tensor.storage.size, 0);
  const limit = Math.min(gpu.capabilities.maxStorageBufferBindingSize, gpu.capabilities.maxBufferSize);
  const formatOf = (spec: TensorSpec) => chosenFormat(spec, storedAs(checkpoint, spec.name)!, options);
  let allocated: Allocated;
  try {
    allocated = await reportOutOfMemory(gpu, checkpoint, bytes, () => allocate(specs, { formatOf, limit, make }));
    const upload = new Upload(
      gpu,
      jobs.map((job) => job.source),
      options,
    );
    for (const batch of batches(jobs, (job) => job.source, chunkBytes)) {
      signal?.throwIfAborted();
      const read = await batchReader(
        checkpoint.folder,
        batch.map((job) => job.source),
      );
      for (const job of batch) {
        const { name, shape, role } = job.spec;
        if (role === 'vector') await upload.vector(job, allocated.vector(name, shape, job.spec), read);
        else await upload.matrix(job, allocated.matrix(name, shape, job.spec).parts, read);
      }
    }
    await upload.finish();
  } catch (e) {
    destroy();
    throw e;
  }

  return { ...allocated, ignored, bytes: bytes(), destroy };
}

/** What is read from one place: a tensor, or one of the buffers of a packed matrix. */
interface Job {
  readonly spec: TensorSpec;
  readonly stored: Format;
  /** Which of the buffers of its format it is. */
  readonly index: number;
  readonly source: CheckpointTensor;
}

/** The rows of a stored tensor that a spec asks for, as a tensor of their own. Shapes were checked. */
function partOf({ part }: TensorSpec, tensor: CheckpointTensor): CheckpointTensor {
  if (!part) return tensor;
  const [rows, ...rest] = tensor.shape;
  const bytes = (tensor.end - tensor.start) / part.of;
  const start = tensor.start + part.index * bytes;
  return { ...tensor, shape: [rows / part.of, ...rest], start, end: start + bytes };
}

/** The format that a matrix is to have on the GPU. */
function chosenFormat(
  spec: TensorSpec,
  { name, format: stored, buffers }: StoredAs,
  { formatOf = (_, stored) => stored }: LoadOptions,
): Format {
  const format = formatOf(spec, stored!);
  if (format !== stored && buffers.length > 1)
    throw new CheckpointError(
      `${name}: stored as ${stored!.name}, and cannot become ${format.name} (${buffers[0].file})`,
    );
  return format;
}

async function reportOutOfMemory<T>(
  gpu: Gpu,
  { folder }: Checkpoint,
  bytes: () => number,
  allocate: () => T,
): Promise<T> {
  gpu.device.pushErrorScope('out-of-memory');
  try {
    return allocate();
  } finally {
    const error = await waitForGpu(gpu.device.popErrorScope());
    if (error)
      // biome-ignore lint/correctness/noUnsafeFinally: the lack of memory is the cause of whatever else was thrown
      throw new CheckpointError(
        `${folder.location}: the GPU has not the memory for ${(bytes() / 2 ** 30).toFixed(1)} GiB of weights: ${error.message}`,
      );
  }
}

/** Gives bytes [start, end) of a file. */
type Read = (start: number, end: number) => Promise<Uint8Array>;

/** The stream of chunks from the files to the GPU's buffers. */
class Upload {
  readonly #gpu: Gpu;
  readonly #options: LoadOptions;
  readonly #total: number;
  #loaded = 0;
  #inFlight = 0;

  constructor(gpu: Gpu, sources: readonly CheckpointTensor[], options: LoadOptions) {
    this.#gpu = gpu;
    this.#options = options;
    this.#total = sources.reduce((sum, { start, end }) => sum + end - start, 0);
    this.#report();
  }

  /** `parts` follow each other in the file; `read` gives bytes [start, end) of it. */
  async matrix({ stored, index, source }: Job, parts: readonly StoredMatrix[], read: Read): Promise<void> {
    let { start } = source;
    for (const part of parts) {
      const end = start + bufferBytes(stored.buffers(part.shape)[index]);
      if (part.format === stored) await this.#asStored(part.buffers[index], start, end, read);
      else await this.#converted(part, stored, start, read);
      start = end;
    }
  }

  /** Widened to f32 by the host: vectors and tables are small, and of any length. */
  async vector({ stored, source }: Job, vector: Tensor, read: Read): Promise<void> {
    if (stored === f32) return this.#asStored(vector, source.start, source.end, read);
    const bytesEach = formatBytes(stored, [1, 1]);
    const perChunk = chunkBytes / bytesEach;
    const count = elementCount(source.shape);
    for (let first = 0; first < count; first += perChunk) {
      const chunk = [1, Math.min(perChunk, count - first)] as const;
      const at = source.start + first * bytesEach;
      const bytes = await this.#read(at, at + formatBytes(stored, chunk), read);
      const [data] = f32.pack(stored.unpack([bytes], chunk), chunk);
      await this.#write(vector, 4 * first, data);
      this.#count(bytes);
    }
  }

  /** The file's bytes are the buffer's. */
  async #asStored(buffer: Tensor, start: number, end: number, read: Read): Promise<void> {
    for (let at = start; at < end; at += chunkBytes) {
      const bytes = await this.#read(at, Math.min(end, at + chunkBytes), read);
      await this.#write(buffer, at - start, bytes);
      this.#count(bytes);
    }
  }

  /** Some rows at a time, converted on the GPU. */
  async #converted(to: StoredMatrix, stored: Format, start: number, read: Read): Promise<void> {
    const [rows, columns] = to.shape;
    const bytesOfRow = formatBytes(stored, [1, columns]);
    const perChunk = 4 * Math.max(1, Math.floor(chunkBytes / bytesOfRow / 4));
    for (let row = 0; row < rows; row += perChunk) {
      const chunk = [Math.min(perChunk, rows - row), columns] as const;
      const at = start + row * bytesOfRow;
      const bytes = await this.#read(at, at + formatBytes(stored, chunk), read);
      const rec = this.#gpu.record('convert weights');
      const label = `${to.label} rows`;
      const data = bytes as Uint8Array<ArrayBuffer>;
      const from = makeMatrix({ label, format: stored, shape: chunk }, (name, dtype, shape) =>
        rec.input(name, dtype, shape, data),
      );
      convert(rec, { from, to, firstRow: row });
      await rec.submit();
      await this.#sent(bytes);
      this.#count(bytes);
    }
  }

  async #read(start: number, end: number, read: Read): Promise<Uint8Array> {
    this.#options.signal?.throwIfAborted();
    return read(start, end);
  }

  #count({ length }: Uint8Array): void {
    this.#loaded += length;
    this.#report();
  }

  /** Waits until the GPU has everything. */
  async finish(): Promise<void> {
    // What was written is flushed by a submission; without one it may stay where it is.
    this.#gpu.device.queue.submit([]);
    await waitForGpu(this.#gpu.device.queue.onSubmittedWorkDone());
    this.#gpu.assertAlive();
    this.#inFlight = 0;
  }

  async #write(tensor: Tensor, offset: number, data: Uint8Array): Promise<void> {
    this.#gpu.assertAlive();
    const { queue } = this.#gpu.device;
    let whole = data;
    if (data.byteLength % 4) {
      // The end of an odd count of 16-bit numbers.
      whole = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
      whole.set(data);
    }
    queue.writeBuffer(tensor.storage.buffer!, tensor.offset + offset, whole as BufferSource);
    await this.#sent(data);
  }

  /** Waits where the queue holds enough: a GPU may be slower than a disk. */
  async #sent({ byteLength }: Uint8Array): Promise<void> {
    this.#inFlight += byteLength;
    if (this.#inFlight >= maxBytesInFlight) await this.finish();
  }

  #report(): void {
    this.#options.onProgress?.({ loaded: this.#loaded, total: this.#total });
  }
}
