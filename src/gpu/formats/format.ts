import { bytesPerElement, type DType, elementCount } from '../tensor.ts';

/** Of a stored matrix; `columns` is the K of products, along which formats may have groups. */
export type MatrixShape = readonly [rows: number, columns: number];

/** A tensor of any rank as a matrix of its first dimension's rows. */
export const matrixShape = ([rows, ...rest]: readonly number[]): MatrixShape => [rows, elementCount(rest)];

/** One of the buffers that hold a matrix. */
export interface FormatBuffer {
  /** What it holds beside the elements themselves, for labels: `scales`. */
  readonly what?: string;
  /** Packed elements are `u32` words. */
  readonly dtype: DType;
  /** [rows of the matrix, …]. Rows follow each other, and no row needs another one's data. */
  readonly shape: readonly [rows: number, ...rest: number[]];
}

/**
 * How a matrix is stored on the GPU. Arithmetic is always f32; a format is about memory only.
 *
 * Everything that knows a format is in its object: kernels put its WGSL into theirs, and loading, prices and problems ask it for
 * its buffers. A new format is one file here and a line in the table (index.ts). ADR 15 says more.
 *
 * Its name is its only data, the rest are functions: kernels keep WGSL source for each name (`cachedText`).
 */
export interface Format {
  /** Unique. Kernels, profiles and prices show it. */
  readonly name: string;
  /** The buffers of a matrix, in the order of their bindings. */
  buffers(shape: MatrixShape): readonly FormatBuffer[];
  /** Why it cannot hold rows of so many columns, or undefined where it can. */
  obstacle(columns: number): string | undefined;
  /**
   * WGSL that declares the buffers, one a binding from number `first` on; their variables begin with `name`.
   * @param width how many elements the kernel reads at once.
   */
  bindings(first: number, name: string, width: 1 | 4): readonly string[];
  /**
   * WGSL of the function `${name}At(i: u32)`, which reads those bindings: number i of the matrix as f32, or with width 4 the
   * elements 4 i to 4 i + 3 as vec4f, which are of one row. The matrix is row-major.
   */
  reader(name: string, width: 1 | 4): string;
  /**
   * WGSL of `${name}EightAt(i: u32) -> array<vec4f, 2>`, elements 8 i to 8 i + 7, the same numbers as two calls of the reader with width 4:
   * in a format of which eight share a word or a scale, for kernels that would else unpack more than they multiply. Rows are
   * then of whole eights.
   */
  readonly eightReader?: (name: string) => string;
  /** How kernels write it; absent in a format that the host alone packs. */
  readonly writer?: FormatWriter;
  /**
   * The same for two numbers at once, where two fill a word: `${name}StorePair(i: u32, pair: vec2f)` stores numbers 2 i and 2 i + 1.
   * For kernels that have no four side by side.
   */
  readonly pairWriter?: Omit<FormatWriter, 'unit'>;
  /** The bytes of each buffer, padded to a multiple of 4, for the elements of a matrix (row-major). */
  pack(values: Float32Array | Float64Array, shape: MatrixShape): Uint8Array<ArrayBuffer>[];
  /** The elements that the bytes of the buffers stand for, exactly as the WGSL reads them before it rounds to f32. */
  unpack(buffers: readonly Uint8Array[], shape: MatrixShape): Float64Array;
}

/** WGSL that stores elements in a format's buffers. */
export interface FormatWriter {
  /** How many elements are stored at once, a multiple of 4: they take whole words of every buffer. */
  readonly unit: number;
  /** As `Format.bindings`, to be written. */
  bindings(first: number, name: string): readonly string[];
  /**
   * The function `${name}Store(u: u32, v: ptr<function, array<vec4f, ${unit} / 4>>)`, which stores numbers u * unit and so on. Of the
   * last unit, which may be a part, it writes nothing behind the buffers' end.
   */
  store(name: string): string;
}

/** WGSL of one binding that is written. */
export const declareOut = (binding: number, name: string, elements: string): string =>
  `@group(0) @binding(${binding}) var<storage, read_write> ${name}: array<${elements}>;`;

/** WGSL of one read-only binding. */
export const declare = (binding: number, name: string, elements: string): string =>
  `@group(0) @binding(${binding}) var<storage, read> ${name}: array<${elements}>;`;

/** Bytes of a buffer, without what pads it. */
export const bufferBytes = ({ dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] }): number =>
  elementCount(shape) * bytesPerElement[dtype];

/** The same of a matrix, all buffers together. */
export const formatBytes = (format: Format, shape: MatrixShape): number =>
  format.buffers(shape).reduce((sum, buffer) => sum + bufferBytes(buffer), 0);

/** How many rows a part of a matrix may have, so that none of its buffers takes more than `limit` bytes; 0 where not even one. */
export function rowsPerPart(format: Format, [rows, columns]: MatrixShape, limit: number): number {
  const bytesOfRow = format.buffers([1, columns]).map(bufferBytes);
  return Math.min(rows, Math.floor(limit / Math.max(...bytesOfRow)));
}
