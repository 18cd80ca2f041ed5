import { expect, it } from 'vitest';
import * as s from '../../src/base/schema.ts';

const schema = s.looseObject({
  count: s.optional(s.int(1, 64)),
  share: s.optional(s.number(0, 1)),
  width: s.nullish(s.positive(8)),
  name: s.optional(s.string(1, 5)),
  digits: s.optional(s.matching(/^\d+$/, 'digits')),
  kind: s.optional(s.oneOf(['a', 'b']), 'a'),
  three: s.optional(s.literal(3)),
  on: s.optional(s.boolean()),
  some: s.optional(s.list(s.int(), 1, 2)),
  pair: s.optional(s.tuple([s.int(), s.int()])),
  either: s.optional(s.union([s.int(), s.list(s.int(), 1)], 'give one or more')),
  inner: s.nullish(s.strictObject({ x: s.int() })),
  names: s.optional(s.record(s.matching(/^\d+$/, 'digits'), s.string())),
  parts: s.optional(s.partial({ x: s.int() })),
});

const problems = (json: unknown, of: s.GenericSchema = schema) =>
  s.check(of, json).problems?.map((problem) => s.describe(problem, 'all of it'));

it('gives what it took: defaults in their places, and what it does not know only where it is to be kept', () => {
  expect(s.check(schema, JSON.parse('{"count":2,"width":null,"more":[1]}')).value).toEqual({
    count: 2,
    width: null,
    kind: 'a',
    more: [1],
  });
  expect(s.check(s.object({ x: s.int() }), { x: 1, y: 2 }).value).toEqual({ x: 1 });
});

it.each([
  ['[]', 'all of it: expected object, got an empty array'],
  ['null', 'all of it: expected object, got null'],
  ['{"count":0}', 'count: expected whole number from 1 to 64, got 0'],
  ['{"count":1.5}', 'count: expected whole number from 1 to 64, got 1.5'],
  ['{"count":"2"}', 'count: expected whole number from 1 to 64, got "2"'],
  ['{"count":null}', 'count: expected whole number from 1 to 64, got null'],
  ['{"share":1.1}', 'share: expected number from 0 to 1, got 1.1'],
  ['{"share":-1}', 'share: expected number from 0 to 1, got -1'],
  ['{"width":0}', 'width: expected number above 0, of at most 8, got 0'],
  ['{"width":1e999}', 'width: expected number above 0, of at most 8, got Infinity'],
  ['{"name":""}', 'name: expected string from 1 to 5 characters, got ""'],
  ['{"name":"abcdef"}', 'name: expected string from 1 to 5 characters, got "abcdef"'],
  ['{"digits":"1a"}', 'digits: expected digits, got "1a"'],
  ['{"kind":"c"}', 'kind: expected one of "a", "b", got "c"'],
  ['{"three":4}', 'three: expected 3, got 4'],
  ['{"on":"true"}', 'on: expected boolean, got "true"'],
  ['{"some":{}}', 'some: expected array, got an object'],
  ['{"some":[]}', 'some: expected array from 1 to 2 elements, got 0'],
  ['{"some":[1,"b"]}', 'some.1: expected whole number, got "b"'],
  ['{"pair":[1]}', 'pair.1: expected whole number, got nothing'],
  ['{"pair":[1,2,3]}', 'pair: expected array of 2 elements, got 3'],
  ['{"either":"x"}', 'either: give one or more'],
  ['{"inner":{}}', 'inner.x: missing'],
  ['{"inner":[]}', 'inner: expected object, got an empty array'],
  ['{"inner":{"x":1,"y\\n":2}}', 'inner: Unrecognized key: "y\\n"'],
  ['{"inner":{"x":1,"__proto__":2}}', 'inner: Unrecognized key: "__proto__"'],
  ['{"names":["a"]}', 'names: expected object, got an array'],
  ['{"names":{"a":"b"}}', 'names.a: expected digits, got "a"'],
  ['{"parts":{"x":true}}', 'parts.x: expected whole number, got true'],
])('of %s it says what is wrong', (text, message) => {
  expect(problems(JSON.parse(text))).toEqual([message]);
});

it('names every problem, and neither long texts nor the contents of lists', () => {
  const found = problems({ count: 0, on: 1, name: 'x'.repeat(1e6), some: 'y', share: Array(1e6).fill(1) });
  expect(found).toHaveLength(5);
  expect(found!.join().length).toBeLessThan(600);
});

it('takes whole numbers that JavaScript has exactly, and no more', () => {
  expect(problems(2 ** 53 - 1, s.int())).toBeUndefined();
  expect(problems(2 ** 53, s.int())).toEqual(['all of it: expected whole number, got 9007199254740992']);
  expect(problems(Number.POSITIVE_INFINITY, s.number())).toEqual(['all of it: expected number, got Infinity']);
});
