import { describe, expect, test } from 'vitest';
import { ChatTemplate } from '../../../src/model/processor/chat-template.ts';
import { memoryFolder } from './memory-folder.ts';

const image = { type: 'image' } as const;
const text = (t: string) => ({ type: 'text', text: t }) as const;

describe('render', () => {
  const source = [
    '{%- for m in messages %}',
    "{%- if m.role == 'tool' %}{{ raise_exception('No tools here, ' ~ m.role) }}{% endif %}",
    '{{ bos_token }}{{ m.role }}|',
    '{%- if m.content is string %}{{ m.content }}{% else %}',
    "{%- for p in m.content %}{% if p.type == 'image' %}<image>{% else %}{{ p.text }}{% endif %}{% endfor %}",
    '{%- endif %};',
    '{%- endfor %}',
    '{%- if add_generation_prompt %}{{ name | default("assistant") }}|{% endif %}',
  ].join('\n');
  const template = new ChatTemplate(source, 'chat_template.jinja', { bos_token: '<s>' });

  test('takes strings and lists of parts, special tokens and variables', () => {
    const messages = [
      { role: 'user', content: [image, text('What?')] },
      { role: 'assistant', content: 'A cat.' },
    ];
    expect(template.render(messages)).toBe('<s>user|<image>What?;<s>assistant|A cat.;assistant|');
    expect(template.render(messages, { addGenerationPrompt: false })).not.toContain(';assistant|');
    expect(template.render([], { variables: { name: 'bot' } })).toBe('bot|');
  });

  test("passes on the template's own refusal", () => {
    expect(() => template.render([{ role: 'tool', content: '' }])).toThrow(
      'chat_template.jinja: the chat template refuses the conversation: No tools here, tool',
    );
  });

  test('does not take text of a message for template code', () => {
    expect(template.render([{ role: 'user', content: '{{ bos_token }}{% raw %}' }])).toContain(
      '{{ bos_token }}{% raw %}',
    );
  });

  test('offers what HF offers', () => {
    const year = new ChatTemplate("{{ strftime_now('%Y') }} {{ tools is none }} {{ {'a': 1} | tojson }}", 't');
    expect(year.render([])).toBe(`${new Date().getFullYear()} True {"a": 1}`);
  });
});

describe('load', () => {
  const load = (
    files: Record<string, string>,
    { processorConfig, chatTemplate }: { processorConfig?: object; chatTemplate?: unknown } = {},
  ) => ChatTemplate.load(memoryFolder(files), { processorConfig, tokenizer: { chatTemplate, specialTokens: {} } });

  test('looks where transformers looks, in its order', async () => {
    const files = { 'chat_template.json': '{"chat_template": "legacy"}', 'chat_template.jinja': 'jinja' };
    expect((await load(files, { processorConfig: { chat_template: 'processor' } }))?.render([])).toBe('processor');
    expect((await load(files))?.render([])).toBe('legacy');
    expect((await load({ 'chat_template.jinja': 'jinja' }, { chatTemplate: 'tokenizer' }))?.render([])).toBe('jinja');
    expect((await load({}, { chatTemplate: 'tokenizer' }))?.render([])).toBe('tokenizer');
    expect(await load({})).toBeUndefined();
  });

  test('takes the one named "default" of several', async () => {
    const both = [
      { name: 'rag', template: 'r' },
      { name: 'default', template: 'd' },
    ];
    expect((await load({}, { chatTemplate: both }))?.render([])).toBe('d');
    expect((await load({}, { chatTemplate: { default: 'e' } }))?.render([])).toBe('e');
    await expect(load({}, { chatTemplate: { rag: 'r', tool: 't' } })).rejects.toThrow(
      'none named "default": rag, tool',
    );
  });

  test('names the file of a template that does not parse, or is none', async () => {
    await expect(load({ 'chat_template.jinja': '{% for %}' })).rejects.toThrow(
      'chat_template.jinja: the chat template does not parse',
    );
    await expect(load({ 'chat_template.json': '{"chat_template": 5}' })).rejects.toThrow(
      'chat_template.json: chat_template: the file: expected a template',
    );
    await expect(load({ 'chat_template.json': '{' })).rejects.toThrow('chat_template.json: not valid JSON');
  });
});
