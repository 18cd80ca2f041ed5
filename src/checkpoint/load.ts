import type { Format } from '../gpu/formats/format.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { DType, Tensor } from '../gpu/tensor.ts';
import type { Folder } from '../platform/types.ts';
import { type Allocated, allocate } from './allocate.ts';
import { batches, type Checkpoint, readRange, storedAs } from './checkpoint-files.ts';
import type { CheckpointTensor, StoredAs } from './checkpoint-tensor.ts';
import { CheckpointError } from './errors.ts';
import { SeenTensors } from './model-id.ts';
import { checkSpecs, checkTied, type IgnoredTensor, type TensorSpec, type UnreadTensors } from './specs.ts';
import { type Chunk, chunkBytes, Upload, type UploadJob } from './upload.ts';

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
  /** For `modelId`, of the tensors that were loaded as a whole. */
  readonly hashes: ReadonlyMap<CheckpointTensor, readonly string[]>;
  /** Bytes of GPU buffers. */
  readonly bytes: number;
  destroy(): void;
}

/**
 * Streams the tensors that `specs` name from the checkpoint to the GPU, in the order of the files.
 *
 * The host never holds more than some chunks, whatever the size of a tensor; it reads one while the GPU takes those before. A matrix
 * that is larger than a binding may be is split by rows into parts. On any failure, an abort included, what was loaded is freed.
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
  const { tied = {}, signal, onProgress } = options;
  signal?.throwIfAborted();
  const ignored = checkSpecs(checkpoint, specs, options);
  await checkTied(checkpoint, tied, signal);

  const jobs = specs.flatMap((spec): Job[] => {
    const { format, buffers } = storedAs(checkpoint, spec.name)!;
    return buffers.map((tensor, index) => ({ spec, stored: format!, index, tensor, source: partOf(spec, tensor) }));
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
  const formatOf = (spec: TensorSpec) => formatOnGpu(spec, storedAs(checkpoint, spec.name)!, options);
  const seen = new SeenTensors();
  let allocated: Allocated;
  try {
    allocated = await reportOutOfMemory(gpu, checkpoint, bytes, () => allocate(specs, { formatOf, limit, make }));
    const upload = new Upload(gpu);
    const chunksOf = function* (job: Job): Generator<JobChunk> {
      const { name, shape, role } = job.spec;
      const chunks =
        role === 'vector'
          ? upload.vector(job, allocated.vector(name, shape, job.spec))
          : upload.matrix(job, allocated.matrix(name, shape, job.spec).parts);
      for (const chunk of chunks) yield { ...chunk, job };
    };
    const total = jobs.reduce((sum, { source }) => sum + source.end - source.start, 0);
    let loaded = 0;
    onProgress?.({ loaded, total });
    const reads = readsOf(
      batches(jobs, (job) => job.source, chunkBytes),
      chunksOf,
    );
    for await (const [{ start: first, chunks }, bytes] of readAhead(checkpoint.folder, reads, signal)) {
      for (const { start, end, put, job } of chunks) {
        const own = bytes.subarray(start - first, end - first);
        await put(own);
        await seen.take(job.tensor, start, own);
        loaded += end - start;
        onProgress?.({ loaded, total });
      }
    }
    await upload.finish();
  } catch (e) {
    destroy();
    throw e;
  }

  return { ...allocated, ignored, hashes: seen.hashes, bytes: bytes(), destroy };
}

/** A job with the spec that it is of. */
interface Job extends UploadJob {
  readonly spec: TensorSpec;
  /** What `source` is, or is a part of. */
  readonly tensor: CheckpointTensor;
}

interface JobChunk extends Chunk {
  readonly job: Job;
}

/** Bytes of a file that are read at once, and the chunks in them. */
interface Read extends Pick<CheckpointTensor, 'file' | 'start' | 'end'> {
  readonly chunks: readonly JobChunk[];
}

/** Small tensors that follow each other are read at once, those of a larger one chunk by chunk. */
function* readsOf(batches: readonly (readonly Job[])[], chunksOf: (job: Job) => Iterable<JobChunk>): Generator<Read> {
  for (const batch of batches) {
    const { file, start } = batch[0].source;
    if (batch.length > 1)
      yield { file, start, end: batch.at(-1)!.source.end, chunks: batch.flatMap((job) => [...chunksOf(job)]) };
    else for (const chunk of chunksOf(batch[0])) yield { file, start: chunk.start, end: chunk.end, chunks: [chunk] };
  }
}

/** Reads the next bytes while those before are dealt with. @throws the signal's reason between two of them. */
async function* readAhead(folder: Folder, reads: Generator<Read>, signal?: AbortSignal) {
  const start = () => {
    const { value, done } = reads.next();
    if (done) return undefined;
    const bytes = readRange(folder, value.file, value.start, value.end);
    bytes.catch(() => {}); // thrown where it is waited for
    return [value, bytes] as const;
  };
  for (let next = start(); next; ) {
    signal?.throwIfAborted();
    const [read, bytes] = next;
    const here = await bytes;
    next = start();
    yield [read, here] as const;
  }
  signal?.throwIfAborted();
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
function formatOnGpu(
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
    const error = await gpu.wait(gpu.device.popErrorScope());
    if (error)
      // biome-ignore lint/correctness/noUnsafeFinally: the lack of memory is the cause of whatever else was thrown
      throw new CheckpointError(
        `${folder.location}: the GPU has not the memory for ${(bytes() / 2 ** 30).toFixed(1)} GiB of weights: ${error.message}`,
      );
  }
}
