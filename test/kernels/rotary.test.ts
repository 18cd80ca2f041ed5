import { describe, expect, it } from 'vitest';
import { openGpu } from '../../src/kernels/gpu.ts';
import { copyRows, rotaryEmbedding } from '../../src/kernels/rotary/rotary.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

/** The launcher's table for these positions, and the rotation by definition: pairs as complex numbers. */
function reference(x: Float32Array, heads: number, headSize: number, positions: number[]) {
  const half = headSize / 2;
  const table = new Float32Array(positions.length * headSize);
  const y = new Float64Array(x.length);
  for (const [row, position] of positions.entries())
    for (let i = 0; i < half; i++) {
      const angle = position * 10000 ** (-i / half);
      table[row * headSize + i] = Math.cos(angle);
      table[row * headSize + half + i] = Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const at = (row * heads + h) * headSize + i;
        const [size, phase] = [Math.hypot(x[at], x[at + half]), Math.atan2(x[at + half], x[at])];
        y[at] = size * Math.cos(phase + angle);
        y[at + half] = size * Math.sin(phase + angle);
      }
    }
  return { table, y };
}

describe('rotaryEmbedding', () => {
  it.each(
    [2, 4, 6, 16, 20, 24, 40, 64, 72, 80, 96, 128].flatMap((headSize) =>
      [1, 7, 65].map((length) => ({ headSize, length, heads: 3 })),
    ),
  )('$length rows, $heads heads of $headSize', async ({ headSize, length, heads }) => {
    const shape = [length, heads, headSize];
    const x = random(length * heads * headSize, 1);
    const { table, y } = reference(
      x,
      heads,
      headSize,
      Array.from({ length }, (_, i) => i + 11),
    );
    const recorder = gpu().record('rotary', { bindToEnd: true });
    const out = guarded(gpu(), 'rotated', 'f32', shape);
    rotaryEmbedding(recorder, {
      x: recorder.input('x', 'f32', shape, x),
      table: recorder.input('table', 'f32', [length, headSize], table),
      label: 'rotated',
      out,
    });
    const rotated = await readGuarded(recorder, out);
    gpu().destroy(out);
    expect(nmse(rotated, y)).toBeLessThanOrEqual(1e-12); // the table is rounded to float32
  });

  it('appends to a cache and touches no other row', async () => {
    const cache = gpu().tensor('cache', 'f32', [10, 2, 8], new Float32Array(160).fill(7));
    const x = random(3 * 16, 1);
    const { table, y } = reference(x, 2, 8, [4, 5, 6]);
    const recorder = gpu().record('rotary');
    const result = rotaryEmbedding(recorder, {
      x: recorder.input('x', 'f32', [3, 2, 8], x),
      table: recorder.input('table', 'f32', [3, 8], table),
      label: 'rotated',
      out: cache,
      outRow: 4,
    });
    expect(result).toBe(cache);
    const all = recorder.read(cache);
    await recorder.submit();
    gpu().destroy(cache);
    expect(nmse(all.f32.slice(64, 112), y)).toBeLessThanOrEqual(1e-12);
    expect(all.f32.slice(0, 64).every((n) => n === 7)).toBe(true);
    expect(all.f32.slice(112).every((n) => n === 7)).toBe(true);
  });

  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const tensor = (label: string, shape: number[]) => recorder.temp(label, 'f32', shape);
    const table = tensor('table', [3, 8]);
    const x = tensor('x', [3, 2, 8]);
    const out = tensor('cache', [5, 2, 8]);
    const attempt = (args: object) => () => rotaryEmbedding(recorder, { x, table, label: 'r', ...args });
    expect(attempt({ x: tensor('x', [3, 2, 5]) })).toThrow('x: [3,2,5] has no pairs in a head of odd size');
    expect(attempt({ x: tensor('x', [4, 2, 8]) })).toThrow('table: expected [4,8], got [3,8] (in rotary)');
    expect(attempt({ out, outRow: 3 })).toThrow('cache: [5,2,8] has no room for x [3,2,8] at row 3 (in rotary)');
    expect(attempt({ out: tensor('cache', [5, 3, 8]) })).toThrow('cache: expected [?,2,8], got [5,3,8] (in rotary)');
  });
});

describe('copyRows', () => {
  it.each([
    [1, [1]],
    [3, [5]],
    [7, [2, 3]],
    [5, [4, 32]],
    [1, [2, 128]],
  ])('copies %i rows of [%s] to row 2', async (length, rest) => {
    const size = rest.reduce((a, b) => a * b);
    const before = random((length + 2) * size, 1);
    const x = random(length * size, 2);
    const recorder = gpu().record('copy', { bindToEnd: true });
    const out = guarded(gpu(), 'cache', 'f32', [length + 2, ...rest]);
    gpu().write(out, before);
    copyRows(recorder, { x: recorder.input('x', 'f32', [length, ...rest], x), out, outRow: 2, label: 'copy' });
    const result = await readGuarded(recorder, out);
    gpu().destroy(out);
    expect(result.slice(0, 2 * size)).toEqual(before.slice(0, 2 * size));
    expect(result.slice(2 * size)).toEqual(x);
  });

  it('copies 16-bit numbers whose rows fill words, and refuses others', async () => {
    const recorder = gpu().record('halves');
    const out = gpu().tensor('cache', 'bf16', [3, 2]);
    const x = recorder.input('x', 'bf16', [2, 2], Uint16Array.of(1, 2, 3, 4));
    copyRows(recorder, { x, out, outRow: 1, label: 'copy' });
    const all = recorder.read(out);
    const odd = recorder.temp('odd', 'bf16', [2, 3]);
    expect(() => copyRows(recorder, { x: odd, out: odd, outRow: 0, label: 'copy' })).toThrow(
      'odd: rows of [3] bf16 do not fill words of 4 bytes (in copy-rows)',
    );
    await recorder.submit();
    gpu().destroy(out);
    expect([...new Uint16Array(all.u32.buffer)]).toEqual([0, 0, 1, 2, 3, 4]);
  });

  it('puts each sequence of a batch into its own stretch of the cache', async () => {
    const [batch, length, capacity, heads, headSize] = [3, 2, 5, 2, 8];
    const x = random(batch * length * heads * headSize, 5);
    const positions = Array.from({ length: batch * length }, (_, row) => 2 + (row % length));
    const { table, y } = reference(x, heads, headSize, positions);
    const recorder = gpu().record('batch');
    const cache = (label: string) => gpu().tensor(label, 'f32', [batch * capacity, heads, headSize]);
    const [keys, values] = [cache('keys'), cache('values')];
    const input = recorder.input('x', 'f32', [batch * length, heads, headSize], x);
    const angles = recorder.input('table', 'f32', [batch * length, headSize], table);
    rotaryEmbedding(recorder, { x: input, table: angles, out: keys, outRow: 2, batch, label: 'keys' });
    copyRows(recorder, { x: input, out: values, outRow: 2, batch, label: 'values' });
    const [k, v] = [recorder.read(keys), recorder.read(values)];
    await recorder.submit();
    gpu().destroy(keys, values);
    const width = heads * headSize;
    const spread = (rows: ArrayLike<number>) =>
      Float64Array.from({ length: batch * capacity * width }, (_, i) => {
        const [b, row] = [Math.floor(i / width / capacity), Math.floor(i / width) % capacity];
        return row >= 2 && row < 2 + length ? rows[(b * length + row - 2) * width + (i % width)] : 0;
      });
    expect(nmse(k.f32, spread(y))).toBeLessThanOrEqual(1e-12);
    expect([...k.f32].map(Boolean)).toEqual([...spread(x)].map(Boolean));
    expect([...v.f32]).toEqual([...spread(x)]);
    expect(() => copyRows(recorder, { x: input, out: values, outRow: 4, batch, label: 'v' })).toThrow(/has no room/);
    expect(() => copyRows(recorder, { x: input, out: values, outRow: 0, batch: 4, label: 'v' })).toThrow(
      /is not 4 sequences/,
    );
  });

  it('goes on in the second dimension past the limit of workgroups', async () => {
    const other = await openGpu();
    Object.assign(other.capabilities, { maxWorkgroupsPerDimension: 4 });
    const count = 64 * 10 + 7;
    const x = new Float32Array(count).map((_, i) => i % 1009);
    const recorder = other.record('large');
    const out = recorder.temp('out', 'f32', [count, 1]);
    copyRows(recorder, { x: recorder.input('x', 'f32', [count, 1], x), out, outRow: 0, label: 'copy' });
    const result = recorder.read(out);
    await recorder.submit();
    other.dispose();
    expect(result.f32).toEqual(x);
  });
});
