import { describe, expect, test } from 'vitest';
import { CheckpointError } from '../../src/checkpoint/errors.ts';
import { parseSafetensors, readHeader, tensorBytes } from '../../src/checkpoint/safetensors.ts';

/** A file of this header text and this many bytes of data; `length` overrides what the first 8 bytes say. */
function file(header: string | Uint8Array, dataLength = 0, length?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + json.length + dataLength);
  new DataView(bytes.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  bytes.set(json, 8);
  for (let i = 0; i < dataLength; i++) bytes[8 + json.length + i] = i;
  return bytes;
}

const entry = (name: string, dtype: string, shape: unknown, offsets: unknown) =>
  `${JSON.stringify(name)}:{"dtype":${JSON.stringify(dtype)},"shape":${JSON.stringify(shape)},"data_offsets":${JSON.stringify(offsets)}}`;

const f32 = (name: string, shape: unknown, offsets: unknown) => entry(name, 'F32', shape, offsets);

describe('a good file', () => {
  const bytes = file(
    `{"__metadata__":{"format":"pt"},${f32('b', [2], [4, 12])},${entry('a', 'BF16', [1, 2], [0, 4])},${f32('none', [0, 3], [12, 12])}}   `,
    12,
  );

  test('gives tensors in the order of their bytes, and metadata', () => {
    const { tensors, metadata } = parseSafetensors('f', bytes);
    const start = bytes.length - 12;
    expect([...tensors.values()]).toEqual([
      { name: 'a', dtype: 'BF16', shape: [1, 2], start, end: start + 4 },
      { name: 'b', dtype: 'F32', shape: [2], start: start + 4, end: start + 12 },
      { name: 'none', dtype: 'F32', shape: [0, 3], start: start + 12, end: start + 12 },
    ]);
    expect(metadata).toEqual({ format: 'pt' });
  });

  test('is read by header only, from a file', async () => {
    const reads: [number, number][] = [];
    const read = async (start: number, end: number) => {
      reads.push([start, end]);
      return bytes.subarray(start, end);
    };
    expect(await readHeader({ name: 'f', size: bytes.length, read })).toEqual(parseSafetensors('f', bytes));
    expect(reads).toEqual([
      [0, 8],
      [8, bytes.length - 12],
    ]);
  });

  test('gives the bytes of a tensor by name', () => {
    const header = parseSafetensors('f', bytes);
    expect([...tensorBytes('f', header, bytes, 'b')]).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(() => tensorBytes('f', header, bytes, 'c')).toThrow('f: no tensor "c"');
  });

  test('may be empty, may name a tensor __proto__, and may be a scalar', () => {
    expect(parseSafetensors('f', file('{}')).tensors.size).toBe(0);
    const proto = parseSafetensors('f', file(`{"__metadata__":{"__proto__":"x"},${f32('__proto__', [], [0, 4])}}`, 4));
    expect([...proto.tensors.keys()]).toEqual(['__proto__']);
    expect(Object.getOwnPropertyNames(proto.metadata)).toEqual(['__proto__']);
  });
});

describe('a bad file is named, with what is wrong', () => {
  const tooMany = JSON.stringify(Array(200).fill(1));
  const cases: [what: string, bytes: Uint8Array, message: string | RegExp][] = [
    ['empty', new Uint8Array(0), '0 bytes are too few'],
    ['seven bytes', new Uint8Array(7), '7 bytes are too few'],
    ['a length of 2^64 - 1', file('{}', 0, 2n ** 64n - 1n), 'header has 18446744073709551615 bytes'],
    ['a header above the limit', file('{}', 0, 100_000_001n), "the format's limit is 100000000"],
    [
      'a Git LFS pointer',
      new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'),
      'fetch it with: git lfs pull',
    ],
    ['a header beyond the end', file('{}', 0, 3n), 'needs 11 bytes, the file has 10: it is truncated'],
    ['no header', file(''), 'does not begin with {'],
    ['a header that begins with a space', file(' {}'), 'does not begin with {'],
    ['a byte order mark', file('\ufeff{}'), 'does not begin with {'],
    ['an array', file('[]'), 'does not begin with {'],
    ['not UTF-8', file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), 'not UTF-8'],
    ['not JSON', file('{"a":}'), 'expected { at character 5'],
    ['JSON cut off', file('{"a":{"dtype":"F32"'), 'expected } at character 19, found the end'],
    ['a string cut off', file('{"a'), 'a string that does not end'],
    ['a bad escape', file('{"\\x":{}}'), 'not valid JSON'],
    ['a second value', file('{}{}'), 'more text after the end'],
    ['a trailing comma', file('{"__metadata__":{},}'), 'expected a string'],
    ['metadata that is no object', file('{"__metadata__":[]}'), 'expected {'],
    ['metadata that is no string', file('{"__metadata__":{"a":1}}'), 'expected a string'],
    ['an entry that is no object', file('{"a":1}'), 'expected {'],
    ['a missing dtype', file('{"a":{"shape":[],"data_offsets":[0,4]}}', 4), 'tensor "a" needs dtype'],
    ['a missing shape', file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), 'tensor "a" needs'],
    ['three offsets', file(`{${f32('a', [1], [0, 4, 4])}}`, 4), 'two data_offsets'],
    ['an unknown field', file('{"a":{"size":4}}'), 'tensor "a" has an unknown field "size"'],
    ['a dtype that is a number', file('{"a":{"dtype":1}}'), 'expected a string'],
    ['an unknown dtype', file(`{${entry('a', 'F4', [1], [0, 1])}}`, 1), 'dtype "F4"; known are BOOL'],
    ['an inherited property as dtype', file(`{${entry('a', 'toString', [1], [0, 1])}}`, 1), 'dtype "toString"'],
    ['a negative dimension', file(`{${f32('a', [-1], [0, 4])}}`, 4), 'whole number that is not negative'],
    ['a fractional dimension', file(`{${f32('a', [1.5], [0, 4])}}`, 4), 'expected ]'],
    ['a dimension in exponents', file(`{"a":{"dtype":"F32","shape":[1e0]}}`, 4), 'expected ]'],
    ['a dimension above 2^53', file(`{"a":{"dtype":"F32","shape":[9007199254740993]}}`, 4), 'a number above 2^53'],
    ['a dimension of 2^64', file(`{"a":{"dtype":"F32","shape":[18446744073709551616]}}`, 4), 'a number above 2^53'],
    ['a leading zero', file(`{"a":{"dtype":"F32","shape":[01]}}`, 4), 'a number with a leading zero'],
    ['a null offset', file(`{${f32('a', [1], [0, null])}}`, 4), 'whole number that is not negative'],
    ['a shape that overflows', file(`{${f32('a', [2 ** 40, 2 ** 40], [0, 4])}}`, 4), 'is absurdly large'],
    ['one that a 0 hides', file(`{${f32('a', [2 ** 40, 2 ** 40, 0], [0, 0])}}`), 'is absurdly large'],
    ['one that wraps to a small size', file(`{${f32('a', [2 ** 32, 2 ** 30 + 1], [0, 4])}}`, 4), 'is absurdly large'],
    ['a rank of 200', file(`{${f32('a', JSON.parse(tooMany), [0, 8])}}`, 8), 'tensor "a" has more than 64 dimensions'],
    ['offsets past 2^53', file(`{${f32('a', [1], [2 ** 53 - 5, 2 ** 53 - 1])}}`, 4), 'data_offsets above 2^53'],
    ['end before start', file(`{${f32('a', [1], [4, 0])}}`, 4), 'data_offsets [4, 0] hold -4'],
    [
      'too few bytes for its shape',
      file(`{${f32('a', [2], [0, 4])}}`, 4),
      'F32 [2] takes 8 bytes, data_offsets [0, 4]',
    ],
    [
      'a truncated file',
      file(`{${f32('a', [2], [0, 8])}}`, 7),
      /tensor "a" ends at byte \d+, the file has \d+: it is truncated/,
    ],
    [
      'overlapping tensors',
      file(`{${f32('a', [2], [0, 8])},${f32('b', [1], [4, 8])}}`, 8),
      '"b" starts at byte 119, not 123: it overlaps tensor "a"',
    ],
    ['two tensors in one place', file(`{${f32('a', [1], [0, 4])},${f32('b', [1], [0, 4])}}`, 4), 'overlaps tensor "a"'],
    [
      'a hole',
      file(`{${f32('a', [1], [0, 4])},${f32('b', [1], [8, 12])}}`, 12),
      '"b" starts at byte 124, not 120: it leaves a hole after tensor "a"',
    ],
    ['a hole at the start', file(`{${f32('a', [1], [4, 8])}}`, 8), 'leaves a hole after the header'],
    ['bytes left over', file(`{${f32('a', [1], [0, 4])}}`, 9), '5 bytes after the last tensor belong to none'],
    ['a tensor twice', file(`{${f32('a', [1], [0, 4])},${f32('a', [1], [4, 8])}}`, 8), 'a second "a" in one object'],
    ['a tensor twice, once escaped', file(`{${f32('a', [1], [0, 4])},"\\u0061":{}}`, 4), 'a second "a" in one object'],
    ['a field twice', file('{"a":{"dtype":"F32","dtype":"F16"}}'), 'a second "dtype" in one object'],
    ['metadata twice', file('{"__metadata__":{},"__metadata__":{}}'), 'a second "__metadata__"'],
    ['depth', file(`{"a":${'['.repeat(1_000_000)}`), 'expected {'],
  ];
  test.each(cases)('%s', (_, bytes, message) => {
    let error: unknown;
    try {
      parseSafetensors('weights.safetensors', bytes);
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).toMatch(/^weights\.safetensors: /);
    expect((error as Error).message.length).toBeLessThan(500);
  });

  test('names from the file cannot drive a terminal', () => {
    const bytes = file(`{${f32('\u001b[2J\u009b\u202eevil', [2], [0, 4])}}`, 4);
    expect(() => parseSafetensors('f', bytes)).toThrow('tensor "\\u001b[2J\\u009b\\u202eevil"');
    const long = file(`{${f32('x'.repeat(1_000_000), [2], [0, 4])}}`, 4);
    expect(() => parseSafetensors('f', long)).toThrow('… (1000000 characters)');
  });
});
