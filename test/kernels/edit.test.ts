import { describe, expect, it } from 'vitest';
import { edit } from '../../src/kernels/edit/edit.ts';
import { editProblem, editProblems } from '../../src/kernels/edit/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

describe('edit', () => {
  it.each(editProblems())('of $name', (problem) => expectSolved(gpu(), problem, { bound: 1e-12 }));

  it('keeps to the bit what is not chosen', async () => {
    const { name, prepare, shape } = editProblem({ rows: 3, parts: 2, unit: 3, scale: 0.1, constant: 7 });
    const rec = gpu().record(name);
    const inputs: Float32Array[] = [];
    const run = prepare((label, dtype, shape, data) => {
      inputs.push(data as Float32Array);
      return rec.input(label, dtype, shape, data);
    });
    const found = rec.read(run(rec));
    await rec.submit();
    const [x] = inputs;
    expect(shape).toEqual([3, 2, 3]);
    expect([...found.f32].map((value, i) => value === x[i])).toEqual(
      [...x].map((_, i) => Math.floor(i / 6) === 1 || i % 6 >= 3),
    );
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
