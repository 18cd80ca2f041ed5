import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decodeFloats, decodeIntegers } from '../src/checkpoint/decode.ts';
import { parseSafetensors, tensorBytes } from '../src/checkpoint/safetensors.ts';

const fixtures = new URL('./fixtures/', import.meta.url);

export const fixturePath = (name: string): string => fileURLToPath(new URL(name, fixtures));

export interface Expected {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** All tensors of a small safetensors file of test/fixtures/: floats as f32, integers as int32. */
export function readTensors(name: string): Map<string, Expected> {
  const bytes = new Uint8Array(readFileSync(fixturePath(name)));
  const header = parseSafetensors(name, bytes);
  return new Map(
    [...header.tensors.values()].map((info) => {
      const raw = tensorBytes(name, header, bytes, info.name);
      const data = /^[IUB]\d|^BOOL/.test(info.dtype) ? decodeIntegers(info, raw) : decodeFloats(info, raw);
      return [info.name, { data, shape: info.shape }];
    }),
  );
}

export const readJsonFixture = <T>(name: string): T => JSON.parse(readFileSync(fixturePath(name), 'utf8')) as T;

/** The tiny random checkpoints that test/reference/ made. */
export const checkpointNames: readonly string[] = readdirSync(fixturePath('checkpoints')).sort();
