import { expect, test } from 'vitest';
import { decodeFloats } from '../../src/checkpoint/decode.ts';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import { safetensorsParts, tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';

const b = tensorOf('b', [2], Float32Array.of(1, 2));
const a = tensorOf('a', [3], Uint8Array.of(3, 4, 5));
const c = { name: 'c', dtype: 'F16', shape: [1], data: Uint8Array.of(0, 0x3c) } as const;

test('the bytes are what the format says, widest dtype first, the header padded to 8', () => {
  const bytes = writeSafetensors([a, b, c], { z: '1', format: 'pt' });
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
  expect(length % 8).toBe(0);
  expect(text.trimEnd()).toBe(
    '{"__metadata__":{"format":"pt","z":"1"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},' +
      '"c":{"dtype":"F16","shape":[1],"data_offsets":[8,10]},"a":{"dtype":"U8","shape":[3],"data_offsets":[10,13]}}',
  );
  expect([...bytes.subarray(8 + length)]).toEqual([0, 0, 128, 63, 0, 0, 0, 64, 0, 0x3c, 3, 4, 5]);
});

test('the order of tensors and metadata does not change the bytes', () => {
  const once = writeSafetensors([a, b, c], { x: '1', y: '2' });
  expect(writeSafetensors([c, b, a], { y: '2', x: '1' })).toEqual(once);
});

test('parts are the same file, without copying the data', () => {
  const parts = safetensorsParts([a, b]);
  expect(Uint8Array.from(parts.flatMap((part) => [...part]))).toEqual(writeSafetensors([a, b]));
  expect(parts[1].buffer).toBe(b.data.buffer);
});

test('a typed array is stored as what it is, from where it starts', () => {
  const view = Float32Array.of(9, 1, 2).subarray(1);
  const bytes = writeSafetensors([tensorOf('v', [1, 2], view), tensorOf('n', [1], BigInt64Array.of(-1n))]);
  const header = parseSafetensors('f', bytes);
  const info = header.tensors.get('v')!;
  expect([...decodeFloats(info, tensorBytes('f', header, bytes, 'v'))]).toEqual([1, 2]);
  expect(header.tensors.get('n')!.dtype).toBe('I64');
});

test('what no reader would take is not written', () => {
  expect(() => writeSafetensors([a, a])).toThrow('"a": two tensors of this name');
  expect(() => writeSafetensors([{ ...a, name: '__metadata__' }])).toThrow('__metadata__');
  expect(() => writeSafetensors([{ ...a, name: '\ud800' }])).toThrow('well-formed');
  expect(() => writeSafetensors([{ ...a, shape: [4] }])).toThrow('"a": U8 [4] takes 4 bytes, the data has 3');
  expect(() => writeSafetensors([{ ...a, shape: [-3] }])).toThrow('"a": [-3] is not a shape');
  expect(() => writeSafetensors([{ ...a, shape: [1.5, 2] }])).toThrow('"a": [1.5, 2] is not a shape');
});
