import { expect, test } from 'vitest';
import { decodeFloats, decodeIntegers } from '../../src/checkpoint/decode.ts';

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
