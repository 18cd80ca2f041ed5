import { expect } from 'vitest';
import type { Format } from '../../src/gpu/formats/format.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { makeWeight, type Weight } from '../../src/gpu/weight.ts';
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

/** max |a-b| / max |b|, the measure of docs/proofs.md for whole models. */
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

/** A persistent weight [rows, columns], in `parts` of about equal row counts. */
export function weightOf(
  gpu: Gpu,
  label: string,
  [rows, columns]: readonly [rows: number, columns: number],
  format: Format,
  values: Float32Array,
  parts = 1,
): Weight {
  const perPart = Math.ceil(rows / parts);
  const packed = Array.from({ length: Math.ceil(rows / perPart) }, (_, part) => {
    const [start, end] = [part * perPart, Math.min(rows, (part + 1) * perPart)];
    return format.pack(values.subarray(start * columns, end * columns), [end - start, columns]);
  });
  return makeWeight({ label, format, shape: [rows, columns], perPart, packed }, (...tensor) => gpu.tensor(...tensor));
}

/** The content of a guarded f32 tensor; fails the test where a sentinel was overwritten or an output was left unwritten. */
export async function readGuarded(recorder: Recorder, tensor: Tensor): Promise<Float32Array> {
  const { content, overrun, unwritten } = await runGuarded(recorder, tensor);
  expect(overrun, `${tensor.label}: written past its end`).toBe(false);
  expect(unwritten, `${tensor.label}: left partly unwritten`).toBe(false);
  return content as Float32Array;
}
