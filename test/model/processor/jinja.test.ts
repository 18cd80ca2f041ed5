import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ChatTemplate, type Message } from '../../../src/model/processor/chat-template.ts';

interface Case {
  readonly t: string;
  readonly m: string;
  readonly r?: string;
  readonly err?: string;
}
// Of transformers' own renderer, by test/reference/chat_templates.py.
const { messages, cases } = JSON.parse(
  readFileSync(new URL('../../fixtures/chat-template-values.json', import.meta.url), 'utf8'),
) as { messages: Record<string, Message[]>; cases: Case[] };

const render = (source: string, conversation: readonly Message[] = []) =>
  new ChatTemplate(source, 'chat_template.jinja', { bos_token: '<s>' }).render(conversation);

test.each(cases)('writes what transformers writes: $t ($m)', ({ t, m, r }) => {
  const call = () => render(t, messages[m]);
  if (r === undefined) expect(call).toThrow(/^chat_template\.jinja: the chat template .+$/);
  else expect(call()).toBe(r);
});

test.each([
  ["{{ 'abc'.encode() }}", '"encode" of a str'],
  ['{% for m in messages recursive %}{% endfor %}', 'a recursive for is not supported'],
  ['{{ range }}', 'a function has no text'],
  ["{{ ['a'] | map('upper') }}", 'a generator has no text'],
  ["{{ '<' | e | upper }}", 'escaped text'],
  ["{{ 'a' | urlize }}", 'the filter "urlize"'],
  ["{{ '{:>5}'.format(1) }}", 'str.format of "{:>5}"'],
  ["{{ strftime_now('%Q') }}", 'strftime_now: %Q'],
  ["{% include 'x' %}", '{% include %}'],
  ["{{ 'ǆ'.title() }}", 'the title case of "ǆ"'],
  ['{{ self }}', 'a function has no text'],
  ["{{ '٣'|int }}", 'the digits of "٣"'],
  ["{{ '٣.5'|float }}", 'the digits of "٣.5"'],
  ["{{ '-inf'|float|int }}", 'int of an infinite float'],
])('refuses by name what it cannot write as Python does: %s', (source, message) => {
  expect(() => render(source)).toThrow(message);
});

describe('a template that would take all time or memory ends in one line', () => {
  test.each([
    [
      'nested ranges',
      '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}',
      'longer than',
    ],
    ['a long range', '{{ range(1000000000) | list }}', 'range() of 1000000000 numbers; at most 100000'],
    ['a long text', "{{ 'a' * 1000000000 }}", 'at most 10000000'],
    ['a long list', '{{ [1] * 1000000000 }}', 'at most 10000000'],
    ['a wide format', "{{ '%999999999d' % 1 }}", 'at most 10000000'],
    [
      'doubling',
      "{% set n = namespace(x='aa') %}{% for i in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      'at most',
    ],
    ['many long texts', "{% for i in range(99) %}{% set x = 'a' * 9000000 %}{% endfor %}", 'in all'],
    ['much output', "{% for i in range(99) %}{{ 'a' * 900000 }}{% endfor %}", 'more than 10000000 characters'],
    ['recursion', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', 'too deeply'],
    ['nesting', `{{ ${'('.repeat(100_000)}1${')'.repeat(100_000)} }}`, 'too deeply'],
    ['a large power', '{{ 10 ** 99999 }}', '"**"'],
    ['control characters', "{{ raise_exception('a\\x1b[2J\\nb') }}", 'a\\u001b[2J\\nb'],
  ])(
    '%s',
    (_, source, message) => {
      const error = (() => {
        try {
          render(source);
        } catch (e) {
          return (e as Error).message;
        }
        return 'none';
      })();
      expect(error).toMatch(/^chat_template\.jinja: the chat template[^\n]*$/);
      expect(error).toContain(message);
    },
    30_000,
  );
});
