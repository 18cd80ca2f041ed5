import { expect } from 'vitest';
import type { Gpu } from '../../src/gpu/gpu.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import type { DType, Tensor, Weight } from '../../src/gpu/tensor.ts';
import type { Problem } from '../../src/kernels/problem.ts';
import { runGuarded } from '../../src/verify/guard.ts';
import { solve } from '../../src/verify/solve.ts';

export { pseudoRandom as random } from '../../src/kernels/pseudo-random.ts';
export { guarded } from '../../src/verify/guard.ts';
export { nmse } from '../../src/verify/nmse.ts';

/** Fails the test where our kernel does not solve the problem. */
export async function expectSolved<Variant>(
  gpu: Gpu,
  problem: Problem<Variant>,
  options?: { variant?: Variant; bound?: number },
): Promise<void> {
  expect((await solve(gpu, problem, options)).failure, problem.name).toBeUndefined();
}

/** max |a-b| / max |b|, the measure for whole models. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) throw new Error(`${actual.length} numbers, expected ${expected.length}`);
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    if (!(d <= difference)) difference = d; // NaN sticks
    size = Math.max(size, Math.abs(expected[i]));
  }
  return difference / size;
}

/** Rounds to the storage dtype: the stored bytes, and the f32 values that they stand for. */
export function store(values: Float32Array, dtype: DType): { bytes: Uint8Array<ArrayBuffer>; values: Float32Array } {
  if (dtype === 'f32') return { bytes: new Uint8Array(values.slice().buffer), values };
  const halves = Uint16Array.from(values, dtype === 'bf16' ? toBf16 : toF16);
  return {
    bytes: new Uint8Array(halves.buffer),
    values: Float32Array.from(halves, dtype === 'bf16' ? fromBf16 : fromF16),
  };
}

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
function toBf16(x: number): number {
  f32[0] = x;
  return (u32[0] + 0x7fff + ((u32[0] >>> 16) & 1)) >>> 16;
}
function fromBf16(h: number): number {
  u32[0] = h << 16;
  return f32[0];
}
/** Truncating, which is as good as rounding here: the test takes the value back from the bytes. */
function toF16(x: number): number {
  const sign = x < 0 ? 0x8000 : 0;
  const a = Math.abs(x);
  if (a < 2 ** -24) return sign;
  if (a >= 65504) return sign | 0x7bff;
  const e = Math.max(-14, Math.floor(Math.log2(a)));
  const m = Math.floor((a / 2 ** e) * 1024);
  return m < 1024 ? sign | m : sign | ((e + 15) << 10) | (m - 1024);
}
function fromF16(h: number): number {
  const e = (h >> 10) & 31;
  const m = h & 1023;
  return (h & 0x8000 ? -1 : 1) * (e ? (1 + m / 1024) * 2 ** (e - 15) : (m / 1024) * 2 ** -14);
}

/** A persistent weight [rows, columns], in `parts` tensors of about equal row counts. */
export function weightOf(
  gpu: Gpu,
  label: string,
  shape: [number, number],
  dtype: DType,
  values: Float32Array,
  parts = 1,
): Weight {
  const perPart = Math.ceil(shape[0] / parts);
  const tensors: Tensor[] = [];
  for (let start = 0; start < shape[0]; start += perPart) {
    const end = Math.min(shape[0], start + perPart);
    const { bytes } = store(values.slice(start * shape[1], end * shape[1]), dtype);
    tensors.push(gpu.tensor(`${label}[${start}:${end}]`, dtype, [end - start, shape[1]], bytes));
  }
  return { label, dtype, shape, parts: tensors };
}

/** The content of a guarded f32 tensor; fails the test where a sentinel was overwritten or an output was left unwritten. */
export async function readGuarded(recorder: Recorder, tensor: Tensor): Promise<Float32Array> {
  const { content, overrun, unwritten } = await runGuarded(recorder, tensor);
  expect(overrun, `${tensor.label}: written past its end`).toBe(false);
  expect(unwritten, `${tensor.label}: left partly unwritten`).toBe(false);
  return content as Float32Array;
}
