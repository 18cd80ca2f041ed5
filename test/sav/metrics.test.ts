import { describe, expect, it } from 'vitest';
import {
  evaluate,
  matchLabel,
  naturalBench,
  normaliseAnswer,
  sugarCrepe,
  wilsonInterval,
} from '../../src/sav/metrics.ts';

describe('evaluate', () => {
  it('counts right answers per label, with the confusion matrix', () => {
    const result = evaluate(['a', 'a', 'b', 'a'], ['a', 'b', 'b', 'a'], ['a', 'b', 'c']);
    expect(result).toMatchObject({ n: 4, correct: 3, accuracy: 0.75, chance: 0.75, labels: ['a', 'b', 'c'] });
    expect(result.confusion).toEqual([
      [2, 1, 0],
      [0, 1, 0],
      [0, 0, 0],
    ]);
    expect(result.recall).toEqual([2 / 3, 1, null]);
    expect(JSON.parse(JSON.stringify(result))).toEqual(result);
  });

  it('gives answers that are no label a column of their own', () => {
    const result = evaluate(['a', 'b'], ['nonsense', 'b'], ['a', 'b']);
    expect(result.confusion).toEqual([
      [0, 0, 1],
      [0, 1, 0],
    ]);
    expect(result.correct).toBe(1);
  });

  it('a true label that training never saw counts against', () => {
    expect(evaluate(['z', 'a'], ['a', 'a'], ['a', 'b'])).toMatchObject({ correct: 1, labels: ['a', 'b', 'z'] });
  });

  it('refuses nothing, and unequal lengths', () => {
    expect(() => evaluate([], [], ['a'])).toThrow('0 rows');
    expect(() => evaluate(['a'], [], ['a'])).toThrow('1 rows, 0 predictions');
  });
});

describe('wilsonInterval', () => {
  it('agrees with published values', () => {
    // Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for (const [x, n, low, high] of [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ]) {
      const [a, b] = wilsonInterval(x, n);
      expect(a).toBeCloseTo(low, 4);
      expect(b).toBeCloseTo(high, 4);
    }
  });
});

describe('grouped metrics', () => {
  const rights = (text: string) => [...text].map((c) => c === '1');
  it.each([
    ['1111', 1, 1, 1],
    ['1100', 0.5, 0, 0],
    ['1010', 0, 0.5, 0],
    ['1001', 0, 0, 0],
    ['1110', 0.5, 0.5, 0],
    ['11110000', 0.5, 0.5, 0.5],
  ])('naturalBench %s', (text, question, image, group) => {
    expect(naturalBench(rights(text))).toEqual({ question, image, group });
  });

  it('naturalBench refuses part of a group, and rows of two questions in one group', () => {
    expect(() => naturalBench(rights('11111'))).toThrow('groups of 4, got 5 rows');
    expect(() => naturalBench(rights('1111'), ['7', '7', '8', '8'])).toThrow("row 3 belongs to '8' and not to '7'");
    expect(naturalBench(rights('11111111'), [...'77778888']).group).toBe(1);
  });

  it('sugarCrepe counts pairs', () => {
    expect(sugarCrepe(rights('111000')).pair).toBeCloseTo(1 / 3);
    expect(() => sugarCrepe(rights('1'))).toThrow('groups of 2');
  });
});

describe('normaliseAnswer', () => {
  it.each([
    [' The  Red.\n', 'red'],
    ['"Yes"', 'yes'],
    ['(A)', 'a'],
    ['a', 'a'],
    ['A cat', 'cat'],
    ['ＹＥＳ！', 'yes'],
    ['left-hand side?', 'left-hand side'],
    ['3.5', '3.5'],
    ['theatre', 'theatre'],
    ['', ''],
  ])('%j is %j', (text, expected) => {
    expect(normaliseAnswer(text)).toBe(expected);
    expect(normaliseAnswer(expected)).toBe(expected);
  });

  it('matchLabel finds the label, not a part of one', () => {
    expect(matchLabel('The red', ['Red', 'Blue'])).toBe('Red');
    expect(matchLabel('red car', ['Red', 'Blue'])).toBeUndefined();
    expect(() => matchLabel('x', ['red', 'Red.'])).toThrow("labels 'red' and 'Red.' cannot be told apart");
  });
});
