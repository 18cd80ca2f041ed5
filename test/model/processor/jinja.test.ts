import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
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
