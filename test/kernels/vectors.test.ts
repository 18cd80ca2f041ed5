import { describe, expect, it } from 'vitest';
import { foldWorkgroups, vectorWidth } from '../../src/kernels/vectors.ts';

describe('vectorWidth', () => {
  it('is the widest that divides all counts', () => {
    expect([vectorWidth(8, 12), vectorWidth(8, 6), vectorWidth(8, 5), vectorWidth(1)]).toEqual([4, 2, 1, 1]);
  });
});

describe('foldWorkgroups', () => {
  it('covers the count within the limit, with less than a row to spare', () => {
    for (const count of [0, 1, 99, 100, 101, 150, 5001, 9999, 10000]) {
      const [x, y] = foldWorkgroups(count, 100);
      expect(Math.max(x, y)).toBeLessThanOrEqual(100);
      expect(x * y).toBeGreaterThanOrEqual(count);
      expect(x * y - count).toBeLessThan(Math.max(1, y));
    }
  });
});
