import { beforeAll, describe, expect, it } from 'vitest';
import { add, concatColumns, gatherRows } from '../../src/kernels/elementwise/elementwise.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();
// So few that most shapes take the second dimension of workgroups, as more than 65535 of them do.
beforeAll(() => void Object.assign(gpu().capabilities, { maxWorkgroupsPerDimension: 16 }));

describe('add', () => {
  it.each([[[1]], [[63]], [[65]], [[7, 131]], [[3, 5, 4]], [[10, 64]], [[40, 131]]])('of %j', async (shape) => {
    const count = shape.reduce((n, d) => n * d, 1);
    const a = random(count, 1);
    const b = random(count, 2);
    const recorder = gpu().record('add', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', shape);
    add(recorder, {
      a: recorder.input('a', 'f32', shape, a),
      b: recorder.input('b', 'f32', shape, b),
      label: 'add',
      out,
    });
    expect(
      nmse(
        await readGuarded(recorder, out),
        a.map((v, i) => v + b[i]),
      ),
    ).toBeLessThan(1e-7);
    gpu().destroy(out);
  });

  it('names the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const a = recorder.temp('residual', 'f32', [2, 3]);
    const b = recorder.temp('mlp', 'f32', [3, 2]);
    expect(() => add(recorder, { a, b, label: 'add' })).toThrow('mlp: expected [2,3], got [3,2] (in add)');
  });
});

describe('gatherRows', () => {
  it.each([
    [1, 1, 1],
    [37, 5, 3],
    [13, 64, 128],
    [65, 7, 129],
  ])('of %i rows, %i of them, %i wide', async (available, count, columns) => {
    const x = random(available * columns, 1);
    const rows = Uint32Array.from({ length: count }, (_, i) => (i * 31) % available).reverse();
    if (count > 1) rows[1] = available;
    const recorder = gpu().record('gatherRows', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [count, columns]);
    gatherRows(recorder, {
      x: recorder.input('x', 'f32', [available, columns], x),
      rows: recorder.input('rows', 'u32', [count], rows),
      label: 'gather',
      out,
    });
    const expected = Float32Array.from({ length: count * columns }, (_, i) => {
      const row = rows[Math.floor(i / columns)];
      return row < available ? x[row * columns + (i % columns)] : 0;
    });
    expect(await readGuarded(recorder, out)).toEqual(expected);
    gpu().destroy(out);
  });
});

describe('concatColumns', () => {
  it.each([
    [1, [1]],
    [5, [3, 1, 7]],
    [37, [128, 128]],
    [2, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  ])('of %i rows, %j wide', async (height, widths) => {
    const parts = widths.map((w, i) => random(height * w, i));
    const recorder = gpu().record('concatColumns', { bindToEnd: true });
    const width = widths.reduce((s, w) => s + w, 0);
    const out = guarded(gpu(), 'out', 'f32', [height, width]);
    const inputs = parts.map((p, i) => recorder.input(`part ${i}`, 'f32', [height, widths[i]], p));
    concatColumns(recorder, { parts: inputs, label: 'concat', out });
    const expected: number[] = [];
    for (let r = 0; r < height; r++)
      for (const [i, w] of widths.entries()) expected.push(...parts[i].subarray(r * w, (r + 1) * w));
    expect([...(await readGuarded(recorder, out))]).toEqual(expected);
    gpu().destroy(out);
  });

  it('names the part of another height', () => {
    const recorder = gpu().record('wrong');
    const parts = [recorder.temp('layer 1', 'f32', [4, 8]), recorder.temp('layer 2', 'f32', [3, 8])];
    expect(() => concatColumns(recorder, { parts, label: 'concat' })).toThrow('layer 2: expected [4,?], got [3,8]');
  });
});
