import { describe, expect, test, vi } from 'vitest';
import { ChatTemplate, type Message } from '../../../src/model/processor/chat-template.ts';

// What may take ten seconds stops after 1 here.
vi.mock('#platform', async (original) => {
  const platform = await original<typeof import('#platform')>();
  return { ...platform, boundedCall: (what: string, call: () => unknown) => platform.boundedCall(what, call, 1000) };
});

const render = (source: string, conversation: readonly Message[] = []) =>
  new ChatTemplate(source, 'chat_template.jinja', { bos_token: '<s>' }).render(conversation);

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
  ])('%s', (_, source, message) => {
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
  });
});
