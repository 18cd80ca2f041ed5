import { describe, expect, it } from 'vitest';
import { shapeClass, tunedTo, untuned } from '../../src/gpu/tuning.ts';

const question = (rows: number) => ({ op: 'matmul', sizes: { rows, n: 6, format: 'f16' }, growing: ['rows'] });

describe('a class of shapes', () => {
  it('has what grows up to the next power of two, and the rest as it is', () => {
    const names = [1, 2, 3, 4, 5, 8, 9, 640].map((rows) => shapeClass(question(rows)));
    expect(names.map((name) => /^rows up to (\d+), n 6, format f16$/.exec(name)?.[1])).toEqual([
      '1',
      '2',
      '4',
      '4',
      '8',
      '8',
      '16',
      '1024',
    ]);
  });
});

describe('tunedTo', () => {
  it('answers for the classes that it has', () => {
    const { candidate } = tunedTo({ matmul: { 'rows up to 8, n 6, format f16': 'tile 4x4' } });
    expect(candidate(question(7))).toBe('tile 4x4');
    expect(candidate(question(9))).toBeUndefined();
    expect(candidate({ ...question(7), op: 'attention' })).toBeUndefined();
    expect(candidate({ ...question(7), op: 'toString' })).toBeUndefined();
    expect(untuned.candidate(question(7))).toBeUndefined();
  });
});
