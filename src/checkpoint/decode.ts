// Stored bytes to numbers, on the host.
import { quote } from '../base/quote.ts';
import { CheckpointError } from './errors.ts';
import type { SafetensorsDType, TensorInfo } from './safetensors.ts';

type Info = Pick<TensorInfo, 'name' | 'dtype'>;

/** IEEE half precision to single, exact for every value, subnormals, infinities and NaN included. */
export function widenF16(halves: Uint16Array): Float32Array {
  const out = new Float32Array(halves.length);
  const bits = new Uint32Array(out.buffer);
  for (let i = 0; i < halves.length; i++) {
    const h = halves[i];
    const exponentAndMantissa = (h & 0x7fff) << 13;
    if ((h & 0x7c00) === 0x7c00) bits[i] = exponentAndMantissa | 0x7f800000;
    else {
      // Read with half's exponent bits in single's place the value is 2^112 too small, and subnormals stay subnormal.
      bits[i] = exponentAndMantissa;
      out[i] *= 2 ** 112;
    }
    bits[i] |= (h & 0x8000) << 16;
  }
  return out;
}

/** bfloat16 to single: its upper half. */
export function widenBf16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i] << 16;
  return new Float32Array(bits.buffer);
}

/**
 * Floating-point numbers as f32: F32, F16 and BF16 exactly, F64 rounded.
 * @throws CheckpointError for other dtypes, which f32 may not hold: see `decodeIntegers`.
 */
export function decodeFloats(info: Info, bytes: Uint8Array): Float32Array {
  switch (info.dtype) {
    case 'F32':
      return new Float32Array(aligned(bytes, 4));
    case 'F16':
      return widenF16(new Uint16Array(aligned(bytes, 2)));
    case 'BF16':
      return widenBf16(new Uint16Array(aligned(bytes, 2)));
    case 'F64':
      return Float32Array.from(new Float64Array(aligned(bytes, 8)));
    default:
      throw new CheckpointError(`${quote(info.name)}: stored as ${info.dtype}, expected floating-point numbers`);
  }
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
