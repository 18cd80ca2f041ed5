// Random files, random damage. Whatever the bytes, the reader ends with tensors inside the file or with a CheckpointError.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CheckpointError } from '../../src/checkpoint/errors.ts';
import { JsonCursor } from '../../src/checkpoint/json-cursor.ts';
import { parseSafetensors, tensorBytes } from '../../src/checkpoint/safetensors.ts';
import { byteLength, dtypeBytes, type SafetensorsDType } from '../../src/checkpoint/safetensors-dtypes.ts';
import { type StoredTensor, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';

const dtypes = Object.keys(dtypeBytes) as SafetensorsDType[];
const name = fc
  .string({ unit: 'grapheme', maxLength: 12 })
  .filter((n) => n !== '__metadata__' && !/\p{Surrogate}/u.test(n));
const storedTensor: fc.Arbitrary<StoredTensor> = fc
  .record({
    name,
    dtype: fc.constantFrom(...dtypes),
    shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
  })
  .chain((info) => {
    const length = byteLength(info.dtype, info.shape)!;
    return fc.uint8Array({ minLength: length, maxLength: length }).map((data) => ({ ...info, data }));
  });
const content = fc.record({
  tensors: fc.uniqueArray(storedTensor, { selector: (t) => t.name, maxLength: 6 }),
  metadata: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
});

/** What must hold of every file that the reader accepts. */
function expectInBounds(bytes: Uint8Array): void {
  const { tensors } = parseSafetensors('f', bytes);
  let end: number | undefined;
  for (const info of tensors.values()) {
    expect(info.end - info.start).toBe(byteLength(info.dtype, info.shape));
    if (end !== undefined) expect(info.start).toBe(end);
    end = info.end;
  }
  if (end !== undefined) expect(end).toBe(bytes.length);
}

function expectInBoundsOrRefused(bytes: Uint8Array): void {
  try {
    expectInBounds(bytes);
  } catch (e) {
    if (!(e instanceof CheckpointError)) throw e;
  }
}

test('what the writer wrote, the reader reads', () => {
  fc.assert(
    fc.property(content, ({ tensors, metadata }) => {
      const bytes = writeSafetensors(tensors, metadata);
      expectInBounds(bytes);
      const header = parseSafetensors('f', bytes);
      expect(header.metadata).toEqual(metadata);
      expect(header.tensors.size).toBe(tensors.length);
      for (const { name, dtype, shape, data } of tensors) {
        const info = header.tensors.get(name)!;
        expect([info.dtype, info.shape]).toEqual([dtype, shape]);
        expect(tensorBytes('f', header, bytes, name)).toEqual(data);
        expect((info.start - (bytes.length - tensors.reduce((n, t) => n + t.data.length, 0))) % dtypeBytes[dtype]).toBe(
          0,
        );
      }
    }),
    { numRuns: 200 },
  );
});

test('bytes changed, inserted, removed, cut off', () => {
  const damage = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), at: fc.nat(), byte: fc.nat(255) }),
    fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), byte: fc.nat(7) }),
    fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), byte: fc.nat(255) }),
    fc.record({ kind: fc.constant('remove' as const), at: fc.nat(), byte: fc.nat(20) }),
    fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), byte: fc.constant(0) }),
  );
  fc.assert(
    fc.property(content, fc.array(damage, { minLength: 1, maxLength: 4 }), ({ tensors, metadata }, damages) => {
      let bytes = [...writeSafetensors(tensors, metadata)];
      for (const { kind, at, byte } of damages) {
        const i = at % (bytes.length + 1);
        if (kind === 'set') bytes[i] = byte;
        else if (kind === 'flip') bytes[i] ^= 1 << byte;
        else if (kind === 'insert') bytes.splice(i, 0, byte);
        else if (kind === 'remove') bytes.splice(i, byte + 1);
        else bytes = bytes.slice(0, i);
      }
      expectInBoundsOrRefused(Uint8Array.from(bytes));
    }),
    { numRuns: 2000 },
  );
});

test('any bytes at all', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), expectInBoundsOrRefused), { numRuns: 500 });
});

test('values of the wrong kind anywhere in the header', () => {
  const odd = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(-1, -0, 0, 1, 1.5, 1e308, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, '', 'F32', [], {}, null),
  );
  const entry = fc.record(
    {
      dtype: fc.oneof({ weight: 4, arbitrary: fc.constantFrom<unknown>(...dtypes) }, { weight: 1, arbitrary: odd }),
      shape: fc.oneof({ weight: 4, arbitrary: fc.array(fc.nat(4), { maxLength: 3 }) }, { weight: 1, arbitrary: odd }),
      data_offsets: fc.oneof(
        { weight: 4, arbitrary: fc.tuple(fc.nat(64), fc.nat(64)) },
        { weight: 1, arbitrary: fc.array(odd, { maxLength: 3 }) },
      ),
    },
    { requiredKeys: ['dtype', 'shape'] },
  );
  const header = fc.dictionary(fc.oneof(name, fc.constant('__metadata__')), fc.oneof(entry, odd), { maxKeys: 4 });
  fc.assert(
    fc.property(header, fc.nat(64), (header, dataLength) => {
      const json = new TextEncoder().encode(JSON.stringify(header));
      const bytes = new Uint8Array(8 + json.length + dataLength);
      new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
      bytes.set(json, 8);
      expectInBoundsOrRefused(bytes);
    }),
    { numRuns: 1000 },
  );
});

test('the JSON reader takes what JSON.parse takes, except duplicate keys and great depth', () => {
  const takes = (text: string): boolean => {
    const cursor = new JsonCursor(text, (problem) => new CheckpointError(problem));
    try {
      cursor.skip();
      cursor.end();
      return true;
    } catch (e) {
      if (e instanceof CheckpointError) return false;
      throw e;
    }
  };
  const parses = (text: string): boolean => {
    try {
      JSON.parse(text);
      return true;
    } catch {
      return false;
    }
  };
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (text) => {
      expect(takes(text), text).toBe(true);
    }),
    { numRuns: 500 },
  );
  const piece = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'a',
    'u',
    '0',
    '1',
    '-',
    '.',
    'e',
    ' ',
    '\n',
    'null',
    'true',
    '""',
    '"a":',
    '"b":',
    '\u0001',
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
      const text = pieces.join('');
      const duplicate = /"a":.*"a":|"b":.*"b":|"":.*"":/s.test(text);
      if (!duplicate) expect(takes(text), text).toBe(parses(text));
    }),
    { numRuns: 20_000 },
  );
});
