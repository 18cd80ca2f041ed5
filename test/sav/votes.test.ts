import { describe, expect, it } from 'vitest';
import { reliability, Tally } from '../../src/sav/votes.ts';

/** Adds heads' class scores in rank order. */
function count(rule: 'majority' | 'soft', heads: number[][], allowed?: number[]): Tally {
  const tally = new Tally(rule, heads[0].length, allowed);
  for (const scores of heads) tally.add(Float64Array.from(scores), 0);
  return tally;
}

describe('Tally', () => {
  it('majority: one head, one vote', () => {
    const tally = count('majority', [
      [0.9, 0.8],
      [0.1, 0.2],
      [0.3, 0.4],
    ]);
    expect([...tally.totals]).toEqual([1, 2]);
    expect(tally.winner()).toBe(1);
    expect(tally.lead()).toBeCloseTo(1 / 3);
  });

  it('a tie of votes goes to the class that a better head voted for, not to the lower index', () => {
    expect(
      count('majority', [
        [0, 0, 1],
        [1, 0, 0],
        [0, 1, 0],
        [1, 0, 0],
        [0, 0, 1],
      ]).winner(),
    ).toBe(2);
  });

  it('a head whose scores tie votes for the first class', () => {
    expect(count('majority', [[0.5, 0.5]]).winner()).toBe(0);
  });

  it('soft: sums scores, so that one sure head may outvote two unsure ones', () => {
    const heads = [
      [0.9, 0.1],
      [0.4, 0.5],
      [0.4, 0.5],
    ];
    expect(count('majority', heads).winner()).toBe(1);
    expect(count('soft', heads).winner()).toBe(0);
  });

  it('weighted: counts a vote by what the head is worth for that class', () => {
    const tally = new Tally('weighted', 2);
    tally.add(Float64Array.of(1, 0), 0, Float64Array.of(0.9, 0.5));
    tally.add(Float64Array.of(0, 1), 0, Float64Array.of(0.5, 0.3));
    tally.add(Float64Array.of(0, 1), 0, Float64Array.of(0.5, 0.4));
    expect(tally.totals[1]).toBeCloseTo(0.7);
    expect(tally.winner()).toBe(0);
    expect([...tally.votes]).toEqual([1, 2]);
  });

  it('a mask keeps heads, ties and leads among the candidates', () => {
    const tally = count(
      'majority',
      [
        [0.9, 0.2, 0.3],
        [0.9, 0.4, 0.1],
      ],
      [1, 2],
    );
    expect([...tally.votes]).toEqual([0, 1, 1]);
    expect(tally.winner()).toBe(2);
    expect(tally.lead()).toBe(0);
    expect(count('soft', [[9, 1, 2]], [1]).lead()).toBe(0);
  });

  it('similarities below zero do not let an excluded class win', () => {
    expect(count('soft', [[0, -0.5, -0.6]], [1, 2]).winner()).toBe(1);
  });
});

describe('reliability', () => {
  it('is drawn to chance, and is chance without evidence', () => {
    expect(reliability(0, 0, 4)).toBe(0.25);
    expect(reliability(10, 10, 2)).toBeCloseTo(11 / 12);
    expect(reliability(1, 1, 2)).toBeCloseTo(2 / 3);
  });
});
