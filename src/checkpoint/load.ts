import { waitForGpu } from '#platform';
import type { Gpu } from '../gpu/gpu.ts';
import { type DType, elementCount, splitRows, type Tensor, type Weight } from '../gpu/tensor.ts';
import { batches, batchReader, type Checkpoint, type CheckpointTensor } from './checkpoint-files.ts';
import { decodeFloats } from './decode.ts';
import { CheckpointError } from './errors.ts';
import { dtypeBytes, type SafetensorsDType } from './safetensors.ts';
import { checkSpecs, checkTied, type IgnoredTensor, specKey, type TensorSpec, type UnreadTensors } from './specs.ts';

export type { TensorSpec } from './specs.ts';

export interface LoadProgress {
  /** Bytes of the checkpoint on the GPU so far, and in the end. */
  readonly loaded: number;
  readonly total: number;
}

export interface LoadOptions extends UnreadTensors {
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
}

/** Weights on the GPU, found by their canonical names. */
export interface LoadedTensors {
  matrix(name: string, shape?: readonly number[], part?: TensorSpec['part']): Weight;
  vector(name: string, shape?: readonly number[], part?: TensorSpec['part']): Tensor;
  readonly ignored: readonly IgnoredTensor[];
  /** Bytes of GPU buffers. */
  readonly bytes: number;
  destroy(): void;
}

/** What is read at a time; what is kept of it as garbage is what the host needs beside the GPU's memory. */
const chunkBytes = 4 << 20;

/** What the queue may hold: every write is a copy in a staging buffer until the GPU has taken it. */
const maxBytesInFlight = 16 << 20;

const gpuDTypes: Partial<Record<SafetensorsDType, DType>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };

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

  const jobs = specs.map((spec) => ({ spec, source: partOf(spec, checkpoint.tensors.get(spec.name)!) }));
  const matrices = new Map<string, Weight>();
  const vectors = new Map<string, Tensor>();
  const tensors = () => [...[...matrices.values()].flatMap((w) => w.parts), ...vectors.values()];
  const destroy = () => gpu.destroy(...tensors());
  try {
    await reportOutOfMemory(gpu, checkpoint, () => {
      for (const { spec, source } of jobs)
        if (spec.role === 'matrix') allocateMatrix(gpu, spec, source, matrices);
        else vectors.set(specKey(spec), gpu.tensor(specKey(spec), 'f32', source.shape));
    });
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
      for (const { spec, source } of batch)
        await upload.tensor(source, matrices.get(specKey(spec))?.parts ?? [vectors.get(specKey(spec))!], read);
    }
    await upload.finish();
  } catch (e) {
    destroy();
    throw e;
  }

  const find = <T>(map: Map<string, T>, role: TensorSpec['role'], name: string): T => {
    const found = map.get(name);
    if (!found) throw new CheckpointError(`${name}: no ${role} of this name was loaded`);
    return found;
  };
  return {
    matrix: (name, _, part) => find(matrices, 'matrix', specKey({ name, part })),
    vector: (name, _, part) => find(vectors, 'vector', specKey({ name, part })),
    ignored,
    bytes: tensors().reduce((sum, tensor) => sum + tensor.storage.size, 0),
    destroy,
  };
}

/** The rows of a stored tensor that a spec asks for, as a tensor of their own. Shapes were checked. */
function partOf({ part }: TensorSpec, tensor: CheckpointTensor): CheckpointTensor {
  if (!part) return tensor;
  const [rows, ...rest] = tensor.shape;
  const bytes = (tensor.end - tensor.start) / part.of;
  const start = tensor.start + part.index * bytes;
  return { ...tensor, shape: [rows / part.of, ...rest], start, end: start + bytes };
}

/** Adds the matrix to `into` before its parts, so that a failure on the way frees those that were made. */
function allocateMatrix(gpu: Gpu, spec: TensorSpec, source: CheckpointTensor, into: Map<string, Weight>): void {
  const dtype = gpuDTypes[source.dtype]!;
  const [rows, ...rest] = source.shape;
  const label = specKey(spec);
  const columns = elementCount(rest);
  const limit = Math.min(gpu.capabilities.maxStorageBufferBindingSize, gpu.capabilities.maxBufferSize);
  const ranges = splitRows([rows, columns], dtype, limit);
  if (!ranges.length)
    throw new CheckpointError(
      `${source.name}: one row of [${rows}, ${columns}] ${source.dtype} exceeds the ${limit} bytes that this adapter can bind`,
    );
  const parts: Tensor[] = [];
  into.set(label, { label, dtype, shape: [rows, columns], parts });
  for (const [start, end] of ranges) {
    const of = ranges.length > 1 ? `${label}[${start}:${end}]` : label;
    parts.push(gpu.tensor(of, dtype, [end - start, columns]));
  }
}

async function reportOutOfMemory(gpu: Gpu, checkpoint: Checkpoint, allocate: () => void): Promise<void> {
  gpu.device.pushErrorScope('out-of-memory');
  try {
    allocate();
  } finally {
    const error = await waitForGpu(gpu.device.popErrorScope());
    if (error)
      // biome-ignore lint/correctness/noUnsafeFinally: the lack of memory is the cause of whatever else was thrown
      throw new CheckpointError(
        `${checkpoint.folder.location}: the GPU has not the memory for ${(checkpoint.bytes / 2 ** 30).toFixed(1)} GiB of weights: ${error.message}`,
      );
  }
}

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
  async tensor(
    source: CheckpointTensor,
    parts: readonly Tensor[],
    read: (start: number, end: number) => Promise<Uint8Array>,
  ): Promise<void> {
    let start = source.start;
    for (const part of parts) {
      const end = start + elementCount(part.shape) * dtypeBytes[source.dtype];
      const widen = gpuDTypes[source.dtype] !== part.dtype;
      let target = part.offset;
      for (let at = start; at < end; at += chunkBytes) {
        this.#options.signal?.throwIfAborted();
        const bytes = await read(at, Math.min(end, at + chunkBytes));
        target += await this.#write(part, target, widen ? decodeFloats(source, bytes) : bytes);
        this.#loaded += bytes.length;
        this.#report();
      }
      start = end;
    }
  }

  /** Waits until the GPU has everything. */
  async finish(): Promise<void> {
    // What was written is flushed by a submission; without one it may stay where it is.
    this.#gpu.device.queue.submit([]);
    await waitForGpu(this.#gpu.device.queue.onSubmittedWorkDone());
    this.#gpu.assertAlive();
    this.#inFlight = 0;
  }

  async #write(part: Tensor, offset: number, data: Uint8Array | Float32Array): Promise<number> {
    this.#gpu.assertAlive();
    const { queue } = this.#gpu.device;
    const buffer = part.storage.buffer!;
    if (data.byteLength % 4 === 0) queue.writeBuffer(buffer, offset, data as BufferSource);
    else {
      // The end of an odd count of 16-bit numbers.
      const padded = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
      padded.set(data);
      queue.writeBuffer(buffer, offset, padded);
    }
    this.#inFlight += data.byteLength;
    if (this.#inFlight >= maxBytesInFlight) await this.finish();
    return data.byteLength;
  }

  #report(): void {
    this.#options.onProgress?.({ loaded: this.#loaded, total: this.#total });
  }
}
