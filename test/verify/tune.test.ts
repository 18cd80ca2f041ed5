import { describe, expect, it } from 'vitest';
import { tunedTo } from '../../src/gpu/tuning.ts';
import { environmentOf } from '../../src/model/numerics.ts';
import { askingTuning, tune, tunedChoices, verdict, winnerOf } from '../../src/verify/tune.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const rows = (times: Record<string, number>) =>
  Object.entries(times).map(([candidate, milliseconds]) => ({ candidate, milliseconds }));

describe('a candidate is kept', () => {
  it('where it is 3 % faster than the default', () => {
    expect(winnerOf(rows({ default: 100, a: 97.5, b: 97 }))).toBe('b');
    expect(winnerOf(rows({ default: 100, a: 97.5, b: 97.1 }))).toBeUndefined();
    expect(winnerOf(rows({ default: 100 }))).toBeUndefined();
  });

  it('where the confirmation says the same', () => {
    const first = rows({ default: 100, a: 80, b: 90 });
    expect(verdict(first, rows({ default: 100, a: 96 }))).toEqual({
      byDefault: 100,
      fastest: { candidate: 'a', milliseconds: 96 },
      kept: true,
    });
    expect(verdict(first, rows({ default: 100, a: 98 }))).toMatchObject({ kept: false, byDefault: 100 });
    expect(verdict(rows({ default: 100, a: 99 }), [])).toMatchObject({ kept: false });
    expect(verdict(rows({ default: 100 }), [])).toEqual({ byDefault: 100, fastest: undefined, kept: false });
  });

  it('beside those of other shapes, until its own shape is measured again', () => {
    const at = (shape: string, kept: boolean) => ({
      op: 'matmul',
      shape,
      byDefault: 2,
      fastest: { candidate: 'new', milliseconds: 1 },
      kept,
    });
    const before = { attention: { x: 'tile' }, matmul: { a: 'old', b: 'old', c: 'old' } };
    const result = { shapes: [at('a', true), at('b', false), at('d', true)], leftOut: [] };
    expect(tunedChoices(before, result)).toEqual({
      attention: { x: 'tile' },
      matmul: { a: 'new', c: 'old', d: 'new' },
    });
    expect(tunedChoices({ matmul: { b: 'old' } }, { shapes: [at('b', false)], leftOut: [] })).toEqual({});
  });
});

describe('tune', () => {
  const question = (rows: number) => ({
    op: 'matmul',
    sizes: { rows, n: 36, k: 8, format: 'f32' },
    growing: ['rows'],
  });

  it('times each class once, and says what it left out', async () => {
    const asking = askingTuning();
    for (const rows of [2, 1, 2]) expect(asking.candidate(question(rows))).toBeUndefined();
    const huge = { ...question(2 ** 20), sizes: { rows: 2 ** 20, n: 4096, k: 4096, format: 'f32' } };
    if (gpu().capabilities.software) asking.candidate(huge);
    const { shapes, leftOut } = await tune(gpu(), asking.asked(), { rounds: 1 });
    expect(shapes.map(({ op, shape }) => `${op} ${shape}`)).toEqual([
      'matmul rows up to 2, n 36, k 8, format f32',
      'matmul rows up to 1, n 36, k 8, format f32',
    ]);
    for (const { byDefault, fastest } of shapes) {
      expect(byDefault).toBeGreaterThan(0);
      expect(fastest!.candidate).not.toBe('default');
    }
    if (gpu().capabilities.software)
      expect(leftOut).toEqual([{ op: 'matmul', shape: 'rows up to 1048576, n 4096, k 4096, format f32' }]);
  });
});

describe('the environment that feature caches depend on', () => {
  const of = (choices: Parameters<typeof tunedTo>[0]) =>
    environmentOf(Object.assign(Object.create(gpu()), { capabilities: gpu().capabilities, tuning: tunedTo(choices) }));

  it('has the choices, in any order, where there are any', async () => {
    expect(await of({})).toBe(await environmentOf(gpu()));
    const one = await of({ matmul: { a: 'x', b: 'y' }, attention: { c: 'z' } });
    expect(one).toBe(await of({ attention: { c: 'z' }, matmul: { b: 'y', a: 'x' } }));
    expect(one).not.toBe(await of({ attention: { c: 'z' }, matmul: { b: 'y', a: 'y' } }));
    expect(one).not.toBe(await of({}));
  });
});
