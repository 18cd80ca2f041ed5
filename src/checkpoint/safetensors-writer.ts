import { quote, showShape } from '../base/quote.ts';
import { CheckpointError } from './errors.ts';
import { byteLength, dtypeBytes, type SafetensorsDType } from './safetensors-dtypes.ts';

/** A tensor to be written; `data` is its bytes, row-major and little-endian. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const arrayDTypes = new Map<unknown, SafetensorsDType>([
  [Float32Array, 'F32'],
  [Float64Array, 'F64'],
  [Uint8Array, 'U8'],
  [Int8Array, 'I8'],
  [Uint16Array, 'U16'],
  [Int16Array, 'I16'],
  [Uint32Array, 'U32'],
  [Int32Array, 'I32'],
  [BigUint64Array, 'U64'],
  [BigInt64Array, 'I64'],
]);

type NumberArray =
  | Float32Array
  | Float64Array
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array;

/** A typed array as a tensor of the dtype that it is, without a copy. */
export function tensorOf(name: string, shape: readonly number[], array: NumberArray): StoredTensor {
  const dtype = arrayDTypes.get(array.constructor);
  if (!dtype) throw new CheckpointError(`${quote(name)}: a ${array.constructor.name} cannot be stored in safetensors`);
  return { name, dtype, shape, data: new Uint8Array(array.buffer, array.byteOffset, array.byteLength) };
}

/**
 * The bytes of a safetensors file. The same content gives the same bytes: tensors are ordered as the reference orders
 * them (by dtype, widest first, then by name), metadata by key.
 * @throws CheckpointError for two tensors of one name, or data whose length is not what dtype and shape take.
 */
export function writeSafetensors(
  tensors: readonly StoredTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const parts = safetensorsParts(tensors, metadata);
  const file = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    file.set(part, at);
    at += part.length;
  }
  return file;
}

/** The same file as pieces to be written one after the other, so that big tensors need not be copied into one array. */
export function safetensorsParts(
  tensors: readonly StoredTensor[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  for (const { name, dtype, shape, data } of tensors) {
    const expected = checkedLength(name, dtype, shape);
    if (data.length !== expected)
      throw new CheckpointError(
        `${quote(name)}: ${dtype} ${showShape(shape)} takes ${expected} bytes, the data has ${data.length}`,
      );
  }
  const ordered = inReferenceOrder(tensors);
  return [safetensorsHeader(ordered, metadata), ...ordered.map((tensor) => tensor.data)];
}

/** The bytes before the data of a file whose tensors' data follow each other in the order given. */
export function safetensorsHeader(
  tensors: readonly Omit<StoredTensor, 'data'>[],
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const entries: string[] = [];
  const add = (key: string, value: unknown) => entries.push(`${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const keys = Object.keys(metadata).sort();
  if (keys.length > 0) add('__metadata__', Object.fromEntries(keys.map((key) => [key, metadata[key]])));
  const names = new Set<string>();
  let offset = 0;
  for (const { name, dtype, shape } of tensors) {
    if (names.has(name)) throw new CheckpointError(`${quote(name)}: two tensors of this name cannot go into one file`);
    names.add(name);
    const end = offset + checkedLength(name, dtype, shape);
    add(name, { dtype, shape, data_offsets: [offset, end] });
    offset = end;
  }
  // Spaces up to a multiple of 8, so that the data of every dtype is aligned for readers that map the file.
  const json = new TextEncoder().encode(`{${entries.join(',')}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return header;
}

// The reference sorts by dtype in the order of its list, from last to first, then by name: wide numbers come first, so
// that all are aligned.
const rank = new Map(Object.keys(dtypeBytes).map((dtype, i) => [dtype, i]));
const inReferenceOrder = (tensors: readonly StoredTensor[]) =>
  [...tensors].sort(
    (a, b) => rank.get(b.dtype)! - rank.get(a.dtype)! || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  );

/** Bytes of the tensor's data. */
function checkedLength(name: string, dtype: SafetensorsDType, shape: readonly number[]): number {
  if (name === '__metadata__') throw new CheckpointError('__metadata__ is not a name that a tensor may have');
  if (/\p{Surrogate}/u.test(name)) throw new CheckpointError(`${quote(name)}: a name must be well-formed Unicode`);
  const isShape = shape.every((d) => Number.isSafeInteger(d) && d >= 0);
  const length = isShape ? byteLength(dtype, shape) : undefined;
  if (length === undefined) throw new CheckpointError(`${quote(name)}: ${showShape(shape)} is not a shape`);
  return length;
}
