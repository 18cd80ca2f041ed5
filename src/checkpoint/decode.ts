// Stored bytes to numbers, on the host.
import { quote } from '../base/quote.ts';
import { CheckpointError } from './errors.ts';
import type { TensorInfo } from './safetensors.ts';
import { dtypeBytes, type SafetensorsDType } from './safetensors-dtypes.ts';
import { storedFormats } from './stored-formats.ts';

type Info = Pick<TensorInfo, 'name' | 'dtype'>;

/**
 * Floating-point numbers as f32: F32, F16 and BF16 exactly, F64 rounded.
 * @throws CheckpointError for other dtypes, which f32 may not hold: see `decodeIntegers`.
 */
export function decodeFloats(info: Info, bytes: Uint8Array): Float32Array {
  const size = dtypeBytes[info.dtype];
  if (info.dtype === 'F64') return Float32Array.from(new Float64Array(aligned(bytes, size))); // no storage format: of files only
  const format = storedFormats[info.dtype];
  if (!format)
    throw new CheckpointError(`${quote(info.name)}: stored as ${info.dtype}, expected floating-point numbers`);
  return new Float32Array(format.unpack([new Uint8Array(aligned(bytes, size))], [1, bytes.length / size]));
}

/**
 * Whole numbers (token ids, counts, flags) as i32.
 * @throws CheckpointError for floating-point dtypes, and for a value that i32 does not hold.
 */
export function decodeIntegers(info: Info, bytes: Uint8Array): Int32Array {
  const make = integerArrays[info.dtype];
  if (!make) throw new CheckpointError(`${quote(info.name)}: stored as ${info.dtype}, expected whole numbers`);
  return Int32Array.from(make(bytes), (value) => {
    const number = Number(value);
    if ((number | 0) !== number)
      throw new CheckpointError(`${quote(info.name)}: ${value} does not fit in 32 bits with a sign`);
    return number;
  });
}

const integerArrays: Partial<Record<SafetensorsDType, (bytes: Uint8Array) => Iterable<number | bigint>>> = {
  BOOL: (b) => b,
  U8: (b) => b,
  I8: (b) => new Int8Array(aligned(b, 1)),
  I16: (b) => new Int16Array(aligned(b, 2)),
  U16: (b) => new Uint16Array(aligned(b, 2)),
  I32: (b) => new Int32Array(aligned(b, 4)),
  U32: (b) => new Uint32Array(aligned(b, 4)),
  I64: (b) => new BigInt64Array(aligned(b, 8)),
  U64: (b) => new BigUint64Array(aligned(b, 8)),
};

/** A buffer of its own: typed arrays must start at a multiple of their element, which a tensor in a file need not. */
function aligned(bytes: Uint8Array, element: number): ArrayBuffer {
  if (bytes.length % element !== 0)
    throw new CheckpointError(`${bytes.length} bytes are no whole count of ${element}-byte numbers`);
  return bytes.slice().buffer as ArrayBuffer;
}
