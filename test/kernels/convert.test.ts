// Matrices from one storage format to another, on the GPU: what is written is what the host packs, wherever it goes.
import { describe, expect, it } from 'vitest';
import { ShapeError } from '../../src/gpu/errors.ts';
import { type Format, formatBytes } from '../../src/gpu/formats/format.ts';
import { formats } from '../../src/gpu/formats/index.ts';
import type { Tensor } from '../../src/gpu/tensor.ts';
import { makeMatrix, type StoredMatrix } from '../../src/gpu/weight.ts';
import { convert } from '../../src/kernels/convert/convert.ts';
import { useGpu } from '../gpu.ts';
import { random } from './check.ts';

const gpu = useGpu();
const { f32, f16, bf16, q8, q4 } = formats;
const sentinel = 0x5e_a7_5e_a7;

/** Converts rows of `values`, into a larger matrix from `firstRow` on; the buffers' bytes, and whether anything else was written. */
async function converted(
  [rows, columns]: readonly [number, number],
  values: Float32Array,
  from: Format,
  to: Format,
  { firstRow = 0, more = 0 } = {},
) {
  const rec = gpu().record('convert', { bindToEnd: true });
  const packed = from.pack(values, [rows, columns]);
  let n = 0;
  const source = makeMatrix({ label: 'source', format: from, shape: [rows, columns] }, (label, dtype, shape) =>
    rec.input(label, dtype, shape, packed[n++]),
  );
  const all = firstRow + rows + more;
  const tensors: Tensor[] = [];
  const target: StoredMatrix = makeMatrix(
    { label: 'out', format: to, shape: [all, columns] },
    (label, dtype, shape) => {
      const count = Math.ceil(shape.reduce((a, b) => a * b, 1) / (dtype === 'f16' || dtype === 'bf16' ? 2 : 1));
      const tensor = gpu().tensor(label, 'u32', [count], new Uint32Array(count).fill(sentinel));
      tensors.push(tensor);
      return { ...tensor, dtype, shape };
    },
  );
  convert(rec, { from: source, to: target, firstRow });
  const reads = tensors.map((tensor) => rec.read(tensor));
  await rec.submit();
  gpu().destroy(...tensors);
  const words = reads.map(({ u32 }) => u32);
  const buffers = words.map((w) => new Uint8Array(w.buffer));
  const untouched = words.every((w, b) => {
    const { shape, dtype } = to.buffers([1, columns])[b];
    const bytesOfRow = shape.reduce((a, c) => a * c, 1) * (dtype === 'f16' || dtype === 'bf16' ? 2 : 4);
    const head = w.subarray(0, (firstRow * bytesOfRow) / 4);
    const tail = w.subarray(Math.ceil(((all - more) * bytesOfRow) / 4));
    return [...head, ...tail].every((word) => word === sentinel);
  });
  const bytesBefore = (b: number) => {
    const { shape, dtype } = to.buffers([firstRow || 1, columns])[b];
    return firstRow ? shape.reduce((a, c) => a * c, 1) * (dtype === 'f16' || dtype === 'bf16' ? 2 : 4) : 0;
  };
  const own = buffers.map((bytes, b) => bytes.slice(bytesBefore(b)));
  return { found: to.unpack(own, [rows, columns]), untouched };
}

/** The largest difference, as a share of the largest number of its group of 32. */
function worst(found: Float64Array, wanted: Float64Array): number {
  let most = 0;
  for (let g = 0; g < found.length; g += 32) {
    const scale = Math.max(1e-30, ...wanted.subarray(g, g + 32).map(Math.abs));
    for (let i = g; i < Math.min(found.length, g + 32); i++)
      most = Math.max(most, Math.abs(found[i] - wanted[i]) / scale);
  }
  return most;
}

const shapes: [number, number][] = [
  [1, 32],
  [1, 64],
  [3, 32],
  [5, 96],
  [7, 160],
  [64, 128],
  [33, 1056],
];

describe.each([q8, q4])('to $name', (to) => {
  it.each(shapes)('[%i, %i] is what the host packs, from every format, at any place', async (rows, columns) => {
    const values = random(rows * columns, rows + columns);
    for (const from of [f32, f16, bf16, q8]) {
      const source = from.unpack(from.pack(values, [rows, columns]), [rows, columns]);
      const wanted = to.unpack(to.pack(source, [rows, columns]), [rows, columns]);
      const whole = (rows * columns) % to.writer!.unit === 0;
      for (const place of [{}, { firstRow: 4, more: whole ? 3 : 0 }]) {
        const { found, untouched } = await converted([rows, columns], values, from, to, place);
        expect(untouched, `${from.name}: sentinels`).toBe(true);
        // A quotient that lies between two places may fall to either: a step, in few places.
        const steps = found.filter((x, i) => Math.abs(x - wanted[i]) > 1e-6).length;
        expect(steps, `${from.name}: places that differ`).toBeLessThanOrEqual(Math.ceil(found.length / 500));
        expect(worst(found, wanted)).toBeLessThan(to === q8 ? 1.01 / 127 : 1.01 / 8);
      }
    }
  });

  it('loses at most half a step of each number, and little of all', async () => {
    const shape = [16, 512] as const;
    const values = random(16 * 512, 9);
    const { found } = await converted(shape, values, f32, to);
    const half = to === q8 ? 0.5 / 127 : 0.5 / 8;
    // The scale is rounded to 11 bits; and of q4, what lies opposite of the farthest number may be cut by a step.
    expect(worst(found, Float64Array.from(values))).toBeLessThan(half * (to === q8 ? 1.1 : 2.1));
    const noise =
      found.reduce((sum, x, i) => sum + (x - values[i]) ** 2, 0) / values.reduce((sum, x) => sum + x * x, 0);
    expect(noise).toBeLessThan(to === q8 ? 2.5e-5 : 7e-3);
    expect(noise).toBeGreaterThan(to === q8 ? 2e-6 : 5e-4);
  });

  it('keeps zeros, tiny and huge groups apart, and says NaN and infinity by numbers that are not finite', async () => {
    const groups = [
      () => 0,
      (i: number) => (i - 16) * 1e-3,
      (i: number) => (i - 16) * 1e4,
      (i: number) => (i === 5 ? Number.NaN : i),
      (i: number) => (i === 31 ? Number.POSITIVE_INFINITY : i),
      (i: number) => (i === 0 ? Number.NEGATIVE_INFINITY : i),
      (i: number) => (i === 7 ? 3e38 : 1),
      (i: number) => (i % 2 ? 1 : -1),
      (i: number) => (i === 3 ? -2 : 1),
      () => 1e-9,
    ];
    const values = Float32Array.from({ length: groups.length * 32 }, (_, i) => groups[Math.floor(i / 32)](i % 32));
    const { found } = await converted([2, 160], values, f32, to);
    const host = to.unpack(to.pack(values, [2, 160]), [2, 160]);
    for (const [g] of groups.entries()) {
      const [own, packed, wanted] = [found, host, values].map((all) => [...all.slice(32 * g, 32 * g + 32)]);
      if (g >= 3 && g <= 6) {
        expect(own.some(Number.isFinite), `group ${g}`).toBe(false);
        expect(packed.some(Number.isFinite), `group ${g}`).toBe(false);
      } else {
        const size = Math.max(1e-6, ...wanted.map(Math.abs));
        for (const [i, x] of own.entries())
          expect(Math.abs(x - wanted[i]) / size, `${g} ${i}`).toBeLessThan(to === q8 ? 0.005 : 0.13);
        expect(own.map((x) => x + 0)).toEqual(packed.map((x) => x + 0));
      }
    }
  });
});

it.each([f32, f16, bf16])('to $name rounds as the host packs', async (to) => {
  const shape = [5, 68] as const;
  const values = random(5 * 68, 4).map((x, i) => x * 2 ** ((i % 30) - 15));
  values[0] = 0;
  const { found, untouched } = await converted(shape, values, f32, to, { firstRow: 4, more: 2 });
  const wanted = to.unpack(to.pack(values, shape), shape);
  // WGSL may round a half-precision number to either neighbour.
  if (to === f16) expect(worst(found, wanted)).toBeLessThan(2 ** -10);
  else expect(found).toEqual(wanted);
  expect(untouched).toBe(true);
});

it('makes NaN of what half precision does not hold, and rounds what it nearly does not', async () => {
  const values = Float32Array.of(
    65504,
    -65504,
    65519,
    -65519,
    65520,
    -65520,
    3e38,
    -3e38,
    Number.NaN,
    1 / 0,
    -1 / 0,
    1,
  );
  const { found } = await converted([1, 12], values, f32, f16);
  const nan = Array(7).fill(Number.NaN);
  expect([...found]).toEqual([65504, -65504, 65504, -65504, ...nan, 1]);
});

it('takes as many bytes as it says', () => {
  expect(formatBytes(q8, [10, 64])).toBe(10 * (64 + 2 * 2));
  expect(formatBytes(q4, [10, 64])).toBe(10 * (32 + 2 * 2));
  expect(q4.obstacle(48)).toBe('rows of 48 are not of whole groups of 32');
});

it('refuses what does not fit', () => {
  const rec = gpu().record('refused');
  const matrix = (format: Format, shape: readonly [number, number]) =>
    makeMatrix({ label: format.name, format, shape }, (label, dtype, size) => rec.temp(label, dtype, size));
  const run =
    (from: StoredMatrix, to: StoredMatrix, firstRow = 0) =>
    () =>
      convert(rec, { from, to, firstRow });
  expect(run(matrix(f32, [4, 64]), matrix(q8, [4, 32]))).toThrow(ShapeError);
  expect(run(matrix(f32, [4, 64]), matrix(q8, [4, 32]))).toThrow('f32 [4,64] to q8 [4,32]: rows of another length');
  expect(run(matrix(f32, [5, 64]), matrix(q8, [4, 64]))).toThrow('rows from 0 on');
  expect(run(matrix(f32, [4, 64]), matrix(q8, [9, 64]), 2)).toThrow('rows from 2 on');
  expect(run(matrix(f32, [3, 32]), matrix(q8, [4, 32]))).toThrow('3 rows are no whole units of 64 numbers');
  expect(run(matrix(f32, [4, 30]), matrix(f16, [4, 30]))).toThrow('rows of 30 numbers, which are no multiple of 4');
  const { writer: _, ...unwritten } = q8;
  expect(run(matrix(f32, [4, 64]), matrix(unwritten, [4, 64]))).toThrow('no kernel writes q8');
});
