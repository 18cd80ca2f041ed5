import { ShapeError } from './errors.ts';

/**
 * How a number of a tensor is stored. Arithmetic is always f32; f16 and bf16 are storage only (two per u32). How a matrix is stored
 * is said by its format (formats/), in one tensor or several.
 */
export type DType = 'f32' | 'f16' | 'bf16' | 'u32';

export const bytesPerElement: Record<DType, number> = { f32: 4, u32: 4, f16: 2, bf16: 2 };

/**
 * The memory behind tensors. A persistent storage has its buffer from the start; a temporary one gets it from the
 * recorder's memory plan just before the run, and may share it with others whose lives do not overlap.
 */
export interface Storage {
  readonly label: string;
  /** Bytes, a multiple of 4. */
  readonly size: number;
  buffer: GPUBuffer | undefined;
}

/** A typed, shaped, labelled window onto a storage; row-major and contiguous. */
export interface Tensor {
  /** Names it in errors and captures. */
  readonly label: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The memory behind it, which other tensors may share. */
  readonly storage: Storage;
  /** Bytes from the start of the storage. */
  readonly offset: number;
}

export const elementCount = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** Bytes that a tensor of this dtype and shape occupies, rounded up to the 4 that WebGPU copies in. */
export const byteSize = (dtype: DType, shape: readonly number[]): number =>
  Math.ceil((elementCount(shape) * bytesPerElement[dtype]) / 4) * 4;

/** The same data under another shape. Throws ShapeError when the counts differ. */
export function reshape(tensor: Tensor, shape: readonly number[], label = tensor.label): Tensor {
  if (elementCount(shape) !== elementCount(tensor.shape))
    throw new ShapeError(`${tensor.label}: cannot view [${tensor.shape}] as [${shape}]`);
  return { ...tensor, shape, label };
}

/**
 * Rows [start, end) of the first axis, without a copy. The view can be copied or read back from any row; to be bound in a
 * dispatch its byte offset must be a multiple of 256 (`isBindable`), the floor that WebGPU sets.
 */
export function rows(tensor: Tensor, start: number, end: number, label = `${tensor.label}[${start}:${end}]`): Tensor {
  const [count, ...rest] = tensor.shape;
  if (!(start >= 0 && start <= end && end <= count))
    throw new ShapeError(`${tensor.label}: rows ${start} to ${end} of [${tensor.shape}]`);
  const offset = tensor.offset + start * elementCount(rest) * bytesPerElement[tensor.dtype];
  return { ...tensor, shape: [end - start, ...rest], offset, label };
}

/** The tensor that these make one after the other, if they lie so in one storage. Their rows are of one shape. */
export function adjacent(tensors: readonly Tensor[], label: string): Tensor | undefined {
  const [{ dtype, storage, offset, shape }] = tensors;
  let [count, end] = [0, offset];
  for (const tensor of tensors) {
    if (tensor.storage !== storage || tensor.offset !== end || tensor.dtype !== dtype) return undefined;
    end += elementCount(tensor.shape) * bytesPerElement[dtype];
    count += tensor.shape[0];
  }
  return { label, dtype, shape: [count, ...shape.slice(1)], storage, offset };
}

export const isBindable = (tensor: Tensor): boolean => tensor.offset % 256 === 0;

/** Throws ShapeError in the style `q: expected [3, 4], got [3, 5] (in attention)`. -1 matches any size. */
export function expectShape(
  where: string,
  tensor: { label: string; shape: readonly number[] },
  shape: readonly number[],
) {
  const fits = tensor.shape.length === shape.length && shape.every((d, i) => d === -1 || d === tensor.shape[i]);
  if (!fits)
    throw new ShapeError(
      `${tensor.label}: expected [${shape.map((d) => (d < 0 ? '?' : d))}], got [${tensor.shape}] (in ${where})`,
    );
}

export function expectDType(where: string, tensor: { label: string; dtype: DType }, ...dtypes: DType[]) {
  if (!dtypes.includes(tensor.dtype))
    throw new ShapeError(`${tensor.label}: expected ${dtypes.join(' or ')}, got ${tensor.dtype} (in ${where})`);
}
