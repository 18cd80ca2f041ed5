import { describe, expect, it } from 'vitest';
import { edit, keptRow } from '../../src/kernels/edit/edit.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

interface Case {
  rows: number;
  parts: number;
  unit: number;
  scale?: number;
  values?: number;
  constant?: number;
}

describe('edit', () => {
  it.each<Case>([
    { rows: 1, parts: 1, unit: 1 },
    { rows: 7, parts: 3, unit: 5, constant: 0.25 },
    { rows: 5, parts: 4, unit: 24, scale: -1.5 },
    { rows: 5, parts: 4, unit: 24, scale: 1, values: 2 },
    { rows: 13, parts: 2, unit: 6, values: 3 },
    { rows: 130, parts: 1, unit: 64, scale: 0.5, values: 1 },
    { rows: 4, parts: 9, unit: 1, constant: -3.4028235e38 },
  ])('%j', async ({ rows, parts, unit, scale, values, constant = 0 }) => {
    const width = parts * unit;
    const x = random(rows * width, 1);
    const added = random((values ?? 0) * width, 2);
    const rowOf = Uint32Array.from({ length: rows }, (_, r) => (r % 3 === 1 ? keptRow : r % (values ?? 1)));
    const chosen = Uint32Array.from({ length: parts }, (_, g) => (g % 2 ? 0 : 1));
    const rec = gpu().record('edit', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [rows, parts, unit]);
    edit(rec, {
      x: rec.input('x', 'f32', [rows, parts, unit], x),
      rows: rec.input('rows', 'u32', [rows], rowOf),
      columns: rec.input('columns', 'u32', [parts], chosen),
      values: values ? rec.input('values', 'f32', [values, parts, unit], added) : undefined,
      scale,
      constant,
      label: 'edited',
      out,
    });
    const expected = Float64Array.from(x, (old, i) => {
      const [r, c] = [Math.floor(i / width), i % width];
      if (rowOf[r] === keptRow || !chosen[Math.floor(c / unit)]) return old;
      return (scale === undefined ? 0 : old * scale) + (values ? added[rowOf[r] * width + c] : constant);
    });
    const found = await readGuarded(rec, out);
    expect(nmse(found, expected)).toBeLessThan(1e-12);
    const kept = [...expected.keys()].filter((i) => expected[i] === x[i]);
    expect(kept.every((i) => found[i] === x[i])).toBe(true);
    gpu().destroy(out);
  });

  it('lets no NaN survive where it replaces', async () => {
    const rec = gpu().record('nan');
    const out = edit(rec, {
      x: rec.input('x', 'f32', [2, 4], new Float32Array(8).fill(Number.NaN)),
      rows: rec.input('rows', 'u32', [2], new Uint32Array(2)),
      columns: rec.input('columns', 'u32', [1], Uint32Array.of(1)),
      label: 'zeroed',
    });
    const read = rec.read(out);
    await rec.submit();
    expect([...read.f32]).toEqual(new Array(8).fill(0));
  });

  it('refuses parts that do not divide a row, and values of another width', () => {
    const rec = gpu().record('wrong');
    const x = rec.temp('x', 'f32', [2, 6]);
    const rows = rec.temp('rows', 'u32', [2]);
    const columns = (n: number) => rec.temp('columns', 'u32', [n]);
    expect(() => edit(rec, { x, rows, columns: columns(4), label: 'e' })).toThrow(
      'rows of [6] do not split into 4 parts',
    );
    const values = rec.temp('values', 'f32', [1, 5]);
    expect(() => edit(rec, { x, rows, columns: columns(1), values, label: 'e' })).toThrow(
      'values: expected [?,6], got',
    );
  });
});
