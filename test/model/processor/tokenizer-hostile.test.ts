import { describe, expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import { greatest, least } from '../../../src/base/extremes.ts';
import { ConfigError, InputError } from '../../../src/model/errors.ts';
import { checkTextLength } from '../../../src/model/processor/text-length.ts';
import { Tokenizer } from '../../../src/model/processor/tokenizer.ts';
import { fixturePath, loadProcessor, readJsonFixture } from '../../fixtures.ts';

// What may take ten seconds stops after 0.2 here.
vi.mock('#platform', async (original) => {
  const platform = await original<typeof import('#platform')>();
  return { ...platform, boundedCall: (what: string, call: () => unknown) => platform.boundedCall(what, call, 200) };
});

type Json = Record<string, unknown>;
const base = () =>
  readJsonFixture<Json & { model: Json & { vocab: Record<string, unknown> } }>('checkpoints/llava-f32/tokenizer.json');
const siglip = () => readJsonFixture<Json & { model: Json & { vocab: unknown[] } }>('tokenizers/siglip.json');
const evil = { Regex: '(a+)+$' };
const text = `${'a'.repeat(40)}!`;

describe('a regular expression that never ends is stopped', () => {
  const stopped = 'tokenizer.json: it takes longer than';

  it.each<[string, Json]>([
    ['pre_tokenizer', { pre_tokenizer: { type: 'Split', pattern: evil, behavior: 'Isolated', invert: false } }],
    [
      'normalizer',
      { normalizer: { type: 'Sequence', normalizers: [{ type: 'Replace', pattern: evil, content: '' }] } },
    ],
  ])('in the %s', (_, part) => {
    const tokenizer = Tokenizer.parse({ ...base(), ...part });
    const started = performance.now();
    expect(() => tokenizer.encode(text)).toThrow(stopped);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it('in the decoder', () => {
    const added = { id: 5000, content: text, special: false, normalized: false };
    const tokenizer = Tokenizer.parse({
      ...base(),
      added_tokens: [...(base().added_tokens as Json[]), added],
      decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Replace', pattern: evil, content: '' }] },
    });
    expect(() => tokenizer.decode([5000])).toThrow(stopped);
    expect(() => tokenizer.streamDecoder().push(5000)).toThrow(stopped);
  });

  it('while the tokenizer is made', () => {
    expect(() =>
      Tokenizer.parse({
        ...base(),
        added_tokens: [...(base().added_tokens as Json[]), { id: 5000, content: text, normalized: true }],
        normalizer: { type: 'Replace', pattern: evil, content: '' },
      }),
    ).toThrow(stopped);
  });
});

describe('a damaged tokenizer.json is named with what is wrong', () => {
  const model = (change: Json) => ({ ...base(), model: { ...base().model, ...change } });
  const vocab = (change: Json) => model({ vocab: { ...base().model.vocab, ...change } });
  const first = () => Object.entries(base().model.vocab)[7];

  it.each<[string, unknown, string]>([
    ['a negative id', vocab({ zzz: -1 }), 'model.vocab: the id of "zzz" is -1, expected an integer'],
    ['a huge id', vocab({ zzz: 1e9 }), 'the id of "zzz" is 1000000000'],
    ['an id that is no number', vocab({ zzz: null }), 'the id of "zzz" is null'],
    ['an id twice', vocab({ zzz: first()[1] }), `both have the id ${first()[1]}`],
    ['no vocabulary', model({ vocab: undefined }), 'model.vocab: expected ids by token'],
    ['a list as vocabulary', model({ vocab: ['a'] }), 'model.vocab: expected ids by token'],
    ['no merges', model({ merges: undefined }), 'model.merges: expected a list'],
    ['a merge of one', model({ merges: ['a'] }), 'model.merges.0: expected two tokens, found "a"'],
    ['a merge of numbers', model({ merges: [[1, 2]] }), 'model.merges.0: expected two tokens'],
    ['a merge of unknown tokens', model({ merges: [['zz', 'yy']] }), 'needs the token "zz", which model.vocab lacks'],
    ['a merge to an unknown token', model({ merges: [['red', 'red']] }), 'which model.vocab lacks'],
    ['an added token at another’s id', { ...base(), added_tokens: [{ id: first()[1], content: 'q\nq' }] }, 'already'],
    [
      'a pattern of another kind',
      { ...base(), normalizer: { type: 'Replace', pattern: 3, content: '' } },
      'normalizer.pattern',
    ],
    ['a type of another kind', { ...base(), decoder: 'x' }, 'decoder: expected an object with a type'],
    [
      'a part that is null',
      { ...base(), decoder: { type: 'Sequence', decoders: [null] } },
      'decoder.decoders.0: it is null',
    ],
    [
      'a regular expression that is none',
      { ...base(), pre_tokenizer: { type: 'Split', pattern: { Regex: '(' } } },
      'damaged',
    ],
    [
      'a post-processor of unknown tokens',
      { ...base(), post_processor: { type: 'TemplateProcessing', single: [{ SpecialToken: { id: 'nope' } }] } },
      'post_processor: it puts "nope" around',
    ],
    [
      'a Unigram score that is none',
      { ...siglip(), model: { ...siglip().model, vocab: [['a', null]] } },
      'model.vocab.0: expected a token and its score',
    ],
    ['a Unigram unk_id out of range', { ...siglip(), model: { ...siglip().model, unk_id: 1e9 } }, 'model.unk_id'],
  ])('%s', (_, json, message) => {
    expect(() => Tokenizer.parse(json)).toThrow(ConfigError);
    expect(() => Tokenizer.parse(json)).toThrow(/^tokenizer\.json: .*$/);
    expect(() => Tokenizer.parse(json)).toThrow(message);
  });

  it('sequences within sequences', () => {
    let part: Json = { type: 'Lowercase' };
    for (let i = 0; i < 20_000; i++) part = { type: 'Sequence', normalizers: [part] };
    expect(() => Tokenizer.parse({ ...base(), normalizer: part })).toThrow(/^tokenizer\.json: .*within each other/);
  });

  it('a token of tokenizer_config.json with an id that is none', () => {
    for (const id of ['-1', 'x', '', '1000000000'])
      expect(() => Tokenizer.parse(base(), { added_tokens_decoder: { [id]: { content: 'zzz' } } })).toThrow(
        /^tokenizer_config\.json: added_tokens_decoder.*$/,
      );
  });
});

describe('lengths', () => {
  it('refuses a text that no model takes', () => {
    expect(() => checkTextLength('the prompt', 100_000, 64)).not.toThrow();
    expect(() => checkTextLength('the prompt', 4096 * 128, 4096)).not.toThrow();
    expect(() => checkTextLength('the prompt', 1e8, 4096)).toThrow(InputError);
    expect(() => checkTextLength('the prompt', 1e8, 4096)).toThrow(
      "the prompt has 100000000 characters; this model's 4096 positions take 524288 at most",
    );
  });

  it('refuses a question of 100 MB before its template and its tokens', async () => {
    const processor = await loadProcessor(await openFolder(fixturePath('checkpoints/llava-f32')));
    const long = 'x'.repeat(1e8);
    for (const call of [
      () => processor.chat(0, long),
      () => processor.applyChatTemplate([{ role: 'user', content: long }]),
      () => processor.prepare({ prompt: long }),
    ]) {
      expect(call).toThrow(InputError);
      expect(call).toThrow(/has 100000000 characters; this model's \d+ positions take \d+ at most/);
    }
  });

  it('finds extremes of a million values', () => {
    const values = Float32Array.from({ length: 1e6 }, (_, i) => Math.abs(i - 500_000) - 7);
    expect([least(values), greatest(values)]).toEqual([-7, 499_993]);
    expect([greatest([], -1), least([], 4), greatest([-5], -1)]).toEqual([-1, 4, -1]);
  });
});
