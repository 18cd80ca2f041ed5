import { describe, expect, it } from 'vitest';
import { Tokenizer } from '../../../src/model/processor/tokenizer.ts';
import { readJsonFixture } from '../../fixtures.ts';

interface Case {
  base: string;
  added: { id: number; content: string }[];
  /** What the Rust library makes of each (test/reference/added_tokens.py). */
  texts: [text: string, ids: number[]][];
}

const cases = readJsonFixture<Case[]>('tokenizers/added-tokens.json');

function tokenizerOf(base: string, added: readonly object[]): Tokenizer {
  const json = readJsonFixture<{ added_tokens: object[] }>(`${base}/tokenizer.json`);
  return Tokenizer.parse({ ...json, added_tokens: [...json.added_tokens, ...added] });
}

describe('added tokens', () => {
  it.each([...new Set(cases.map(({ base }) => base))])('are found as the Rust library finds them: %s', (base) => {
    const own = cases.filter((one) => one.base === base);
    expect(own.length).toBeGreaterThan(15);
    for (const { added, texts } of own) {
      const tokenizer = tokenizerOf(base, added);
      for (const [text, ids] of texts)
        expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify({ added, text })).toEqual(ids);
    }
  });

  it('that must be words are none within words', () => {
    const cat = { id: 421, content: 'cat', single_word: true, lstrip: false, rstrip: false, normalized: false };
    const tokenizer = tokenizerOf('checkpoints/llava-f32', [cat]);
    for (const text of ['category', 'concat x', 'cat_', '1cat', 'catе́', 'cat\u0301', 'cat\u200dx'])
      expect(tokenizer.encode(text), text).not.toContain(421);
    for (const text of ['cat', 'a cat.', '-cat-', '😀cat😀', 'cat\n', '(cat)'])
      expect(tokenizer.encode(text), text).toContain(421);
    expect(tokenizer.id('cat')).toBe(421);
    expect(tokenizer.decode([421])).toBe('cat');
  });
});
