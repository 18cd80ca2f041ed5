import { expect, test } from 'vitest';
import { decodeFloats, decodeIntegers, widenBf16, widenF16 } from '../../src/checkpoint/decode.ts';

/** By the definition of the format, in double precision. */
function halfValue(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> mantissaBits;
  const mantissa = bits & (2 ** mantissaBits - 1);
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent
    ? sign * (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias)
    : sign * (mantissa / 2 ** mantissaBits) * 2 ** (1 - bias);
}

test.each([
  ['f16', widenF16, 5],
  ['bf16', widenBf16, 8],
] as const)('all 65,536 values of %s widen exactly', (_, widen, exponentBits) => {
  const wide = widen(Uint16Array.from({ length: 65536 }, (_, i) => i));
  for (let i = 0; i < 65536; i++) {
    const expected = halfValue(i, exponentBits);
    if (!Object.is(wide[i], expected)) expect({ bits: i, value: wide[i] }).toEqual({ bits: i, value: expected });
  }
});

const shifted = (array: { buffer: ArrayBufferLike; byteLength: number }) => {
  const bytes = new Uint8Array(array.byteLength + 1);
  bytes.set(new Uint8Array(array.buffer), 1);
  return bytes.subarray(1);
};

test('floats decode from any byte offset', () => {
  expect([...decodeFloats({ name: 'a', dtype: 'F32' }, shifted(Float32Array.of(1.5, -2)))]).toEqual([1.5, -2]);
  expect([...decodeFloats({ name: 'a', dtype: 'F16' }, shifted(Uint16Array.of(0x3e00, 0xc000)))]).toEqual([1.5, -2]);
  expect([...decodeFloats({ name: 'a', dtype: 'BF16' }, shifted(Uint16Array.of(0x3fc0, 0xc000)))]).toEqual([1.5, -2]);
  expect([...decodeFloats({ name: 'a', dtype: 'F64' }, shifted(Float64Array.of(1.5, 0.1)))]).toEqual([
    1.5,
    Math.fround(0.1),
  ]);
});

test('integers decode, and none is changed on the way', () => {
  expect([...decodeIntegers({ name: 'a', dtype: 'I64' }, shifted(BigInt64Array.of(-5n, 7n)))]).toEqual([-5, 7]);
  expect([...decodeIntegers({ name: 'a', dtype: 'I8' }, shifted(Int8Array.of(-5, 7)))]).toEqual([-5, 7]);
  expect([...decodeIntegers({ name: 'a', dtype: 'BOOL' }, Uint8Array.of(1, 0))]).toEqual([1, 0]);
  expect(() => decodeIntegers({ name: 'a', dtype: 'I64' }, shifted(BigInt64Array.of(2n ** 31n)))).toThrow(
    '"a": 2147483648 does not fit',
  );
  expect(() => decodeIntegers({ name: 'a', dtype: 'U32' }, shifted(Uint32Array.of(2 ** 31)))).toThrow('does not fit');
});

test('the wrong kind is refused', () => {
  expect(() => decodeFloats({ name: 'a', dtype: 'I32' }, new Uint8Array(4))).toThrow('"a": stored as I32');
  expect(() => decodeIntegers({ name: 'a', dtype: 'F16' }, new Uint8Array(4))).toThrow('"a": stored as F16');
  expect(() => decodeFloats({ name: 'a', dtype: 'F32' }, new Uint8Array(6))).toThrow('6 bytes');
});
