import { describe, expect, test } from 'vitest';
import { Tokenizer } from '../../../src/model/processor/tokenizer.ts';
import { readJsonFixture } from '../../fixtures.ts';

interface Row {
  text: string;
  ids: number[];
  bare: number[];
  decode: number[];
  decoded: string;
  skipped: string;
}
interface Variant {
  name: string;
  /** What differs from the fixture's tokenizer.json. */
  tokenizer: object;
  config: object;
  rows: Row[];
}
const { tokenizers } = readJsonFixture<{ tokenizers: Variant[] }>('processor/expected.json');
const base = readJsonFixture<Record<string, unknown>>('checkpoints/llava-f32/tokenizer.json');

describe.each(tokenizers)('$name', ({ tokenizer: changes, config, rows }) => {
  const tokenizer = Tokenizer.parse({ ...base, ...changes }, config);

  test('token ids equal the Rust library', () => {
    for (const { text, ids, bare } of rows) {
      expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(bare);
    }
  });

  test('decoded text equals the Rust library, invalid bytes and unknown ids included', () => {
    for (const { decode, decoded, skipped } of rows) {
      expect(tokenizer.decode(decode, { skipSpecialTokens: false }), String(decode)).toBe(decoded);
      expect(tokenizer.decode(decode), String(decode)).toBe(skipped);
    }
  });

  test('streamed pieces add up to the decoded text', () => {
    for (const { decode, ids } of rows)
      for (const sequence of [decode, ids])
        for (const skipSpecialTokens of [true, false]) {
          const stream = tokenizer.streamDecoder({ skipSpecialTokens });
          const text = sequence.map((id) => stream.push(id)).join('') + stream.end();
          expect(text, String(sequence)).toBe(tokenizer.decode(sequence, { skipSpecialTokens }));
        }
  });
});

describe('streaming', () => {
  const tokenizer = Tokenizer.parse(base);

  test('holds an incomplete character back, and gives words out at once', () => {
    const stream = tokenizer.streamDecoder();
    const ids = tokenizer.encode('red ♥ circle', { addSpecialTokens: false });
    const pieces = ids.map((id) => stream.push(id));
    expect(pieces.join('')).toBe('red ♥ circle');
    expect(pieces.every((piece) => !piece.includes('\ufffd'))).toBe(true);
    expect(pieces.filter((piece) => piece !== '').length).toBeGreaterThan(3);
    expect(stream.end()).toBe('');
  });

  test('gives an incomplete character out at the end', () => {
    const stream = tokenizer.streamDecoder();
    const [first, second] = ['<0xE2>', '<0x99>'].map((token) => tokenizer.requireId(token));
    expect([stream.push(first), stream.push(second), stream.end(), stream.end()]).toEqual(['', '', '\ufffd\ufffd', '']);
  });
});

test('ids without a token decode to nothing, as padding rows of an embedding would', () => {
  const tokenizer = Tokenizer.parse(base);
  const red = tokenizer.encode('red', { addSpecialTokens: false });
  for (const skipSpecialTokens of [true, false])
    expect(tokenizer.decode([9999, ...red, 421], { skipSpecialTokens })).toBe('red');
  expect(tokenizer.decode([9999])).toBe('');
  expect(tokenizer.decode([])).toBe('');
});

test('a byte order mark among byte tokens stays', () => {
  const tokenizer = Tokenizer.parse(base);
  const ids = ['<0xEF>', '<0xBB>', '<0xBF>'].map((token) => tokenizer.requireId(token));
  expect(tokenizer.decode([...ids, ...ids])).toBe('\ufeff\ufeff');
});

describe('named tokens', () => {
  test('are special even where tokenizer.json does not say so', () => {
    const plain = { ...base, added_tokens: (base.added_tokens as object[]).map((t) => ({ ...t, special: false })) };
    const tokenizer = Tokenizer.parse(plain, {
      eos_token: { content: '</s>' },
      extra_special_tokens: { image_token: '<image>' },
    });
    expect(tokenizer.specialTokens).toEqual({ eos_token: '</s>', image_token: '<image>' });
    const ids = ['</s>', '<image>', '<pad>'].map((token) => tokenizer.requireId(token));
    expect(tokenizer.decode(ids)).toBe('<pad>');
  });

  test('that only tokenizer_config.json has are added', () => {
    const tokenizer = Tokenizer.parse(base, { added_tokens_decoder: { 500: { content: '<video>', special: true } } });
    expect(tokenizer.encode('a<video>')).toContain(500);
    expect(tokenizer.decode([500])).toBe('');
  });
});

test.each([
  [{}, 'tokenizer.json: model: '],
  [{ ...base, model: { type: 'WordLevel' } }, 'tokenizer.json: model.type'],
  [{ ...base, model: { type: 'BPE' } }, 'tokenizer.json: model.vocab'],
  [{ ...base, pre_tokenizer: { type: 'Unheard' } }, 'tokenizer.json: damaged or not supported'],
  [{ ...base, added_tokens: [{ id: -1, content: 'x' }] }, 'tokenizer.json: added_tokens.0.id'],
  [null, 'tokenizer.json: the file'],
])('a damaged tokenizer.json is refused (%#)', (json, message) => {
  expect(() => Tokenizer.parse(json)).toThrow(message);
});
