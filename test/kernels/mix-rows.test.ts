import { describe, expect, it } from 'vitest';
import { bilinearTaps, mixRows } from '../../src/kernels/mix-rows/mix-rows.ts';
import { mixRowsProblems } from '../../src/kernels/mix-rows/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

interface Data {
  x: Float32Array<ArrayBuffer>;
  indices: Uint32Array<ArrayBuffer>;
  weights: Float32Array<ArrayBuffer>;
}

async function run({ x, indices, weights }: Data, columns: number): Promise<Float32Array> {
  const rows = indices.length / 4;
  const recorder = gpu().record('mixRows', { bindToEnd: true });
  const out = guarded(gpu(), 'out', 'f32', [rows, columns]);
  mixRows(recorder, {
    x: recorder.input('x', 'f32', [x.length / columns, columns], x),
    indices: recorder.input('indices', 'u32', [rows, 4], indices),
    weights: recorder.input('weights', 'f32', [rows, 4], weights),
    label: 'mix',
    out,
  });
  const result = await readGuarded(recorder, out);
  gpu().destroy(out);
  return result;
}

describe('mixRows', () => {
  it.each(mixRowsProblems())('of $name', (problem) => expectSolved(gpu(), problem, { bound: 1e-12 }));

  it.each([8, 5])('ignores a tap of weight 0, wherever it points, rows %i wide', async (columns) => {
    const x = random(6 * columns, 3).fill(Number.NaN, columns, 2 * columns);
    x.fill(Number.POSITIVE_INFINITY, 2 * columns, 3 * columns);
    const indices = Uint32Array.of(1, 0, 2, 0xffffffff, 3, 1, 6, 4, 1, 2, 1, 2);
    const weights = Float32Array.of(0, 2, 0, 0, 0.5, 0, 0, -1, 0, 0, 0, 0);
    const expected = Float32Array.from({ length: 3 * columns }, (_, i) => {
      const c = i % columns;
      return [2 * x[c], 0.5 * x[3 * columns + c] - x[4 * columns + c], 0][Math.floor(i / columns)];
    });
    expect(nmse(await run({ x, indices, weights }, columns), expected)).toBeLessThanOrEqual(1e-14);
  });

  it('names the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const x = recorder.temp('x', 'f32', [6, 8]);
    const indices = recorder.temp('indices', 'u32', [5, 4]);
    const weights = recorder.temp('weights', 'f32', [5, 4]);
    const attempt = (args: object) => () => mixRows(recorder, { x, indices, weights, label: 'mix', ...args });
    expect(attempt({ weights: recorder.temp('weights', 'f32', [4, 4]) })).toThrow('weights: expected [5,4], got [4,4]');
    expect(attempt({ indices: recorder.temp('indices', 'u32', [5, 2]) })).toThrow('indices: expected [?,4], got [5,2]');
    expect(attempt({ indices: weights })).toThrow('weights: expected u32, got f32 (in mixRows)');
    expect(attempt({ out: x })).toThrow('x: expected [5,8], got [6,8]');
  });
});

describe('bilinearTaps', () => {
  const mixOnHost = ({ indices, weights }: Omit<Data, 'x'>, x: (row: number) => number) =>
    Array.from({ length: indices.length / 4 }, (_, r) =>
      [0, 1, 2, 3].reduce((sum, j) => sum + weights[4 * r + j] * x(indices[4 * r + j]), 0),
    );
  const value = (p: number) => (p * 37) % 101;

  // torch 2.13: interpolate(x[1, 1, h, w], [H, W], mode="bilinear", align_corners=False) of value(0), value(1), ...
  it.each<[[number, number, number, number], number[]]>([
    [
      [5, 3, 2, 7],
      [
        7.5, 12.7857151, 28.6428585, 44.5, 60.3571472, 76.2142868, 81.5, 32.5, 37.785717, 53.6428566, 69.5, 42.0714264,
        14.6428528, 5.5,
      ],
    ],
    [
      [1, 27, 1, 14],
      [
        17.1785717, 48.8571472, 58.8928642, 29.25, 82.5714111, 60.1428223, 41.3214226, 15.2857056, 83.0357285,
        53.3928452, 49.0, 26.5714111, 65.4643097, 35.8214569,
      ],
    ],
    [
      [3, 2, 4, 1],
      [18.5, 33.1875, 50.8125, 65.5],
    ],
    [
      [2, 10, 1, 3],
      [26.1666641, 48.5, 70.8333206],
    ],
  ])('%j as torch', (size, expected) => {
    const mixed = mixOnHost(bilinearTaps(...size), value);
    expect(mixed).toHaveLength(expected.length);
    // Tight enough to see two roundings of the coordinate in place of one at 27 -> 14.
    for (const [i, y] of expected.entries()) expect(Math.abs(mixed[i] - y)).toBeLessThanOrEqual(8e-6);
  });

  it('changes nothing where the size stays', () => {
    const mixed = mixOnHost(bilinearTaps(7, 9, 7, 9), value);
    expect(mixed).toEqual(Array.from({ length: 63 }, (_, p) => value(p)));
  });

  it('takes rows from where the caller says', () => {
    const { indices, weights } = bilinearTaps(4, 3, 2, 2, (y, x) => 100 + x * 4 + y);
    const plain = bilinearTaps(4, 3, 2, 2);
    expect(weights).toEqual(plain.weights);
    expect(indices).toEqual(plain.indices.map((p) => 100 + (p % 3) * 4 + Math.floor(p / 3)));
  });

  it.each([0, 1.5, -2, Number.NaN])('refuses a size of %d', (n) => {
    expect(() => bilinearTaps(3, n, 2, 2)).toThrow(`bilinear taps from 3 x ${n} to 2 x 2: sizes are to be 1 or more`);
    expect(() => bilinearTaps(3, 3, 2, n)).toThrow('sizes are to be 1 or more');
  });
});
