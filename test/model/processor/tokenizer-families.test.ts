import { describe, expect, test } from 'vitest';
import { parseDualConfig } from '../../../src/model/families/index.ts';
import { DualProcessor } from '../../../src/model/processor/dual-processor.ts';
import { Tokenizer } from '../../../src/model/processor/tokenizer.ts';
import { readJsonFixture, readTensors } from '../../fixtures.ts';
import { memoryFolder } from './memory-folder.ts';
import { picture } from './pictures.ts';

interface Expected {
  readonly ids: number[];
  readonly decoded: string;
  readonly shown: string;
}
interface Report {
  readonly texts: string[];
  readonly qwen2: Expected[];
  readonly clip: Expected[];
  readonly siglip: { readonly padded: number[] }[];
}
const report = readJsonFixture<Report>('tokenizers/expected.json');
const rows = (name: 'qwen2' | 'clip') => report.texts.map((text, i) => [text, report[name][i]] as const);

describe('Qwen2Tokenizer (byte-level BPE)', () => {
  const tokenizer = Tokenizer.parse(readJsonFixture('processor-families/qwen2-vl/tokenizer.json'));

  test.each(rows('qwen2'))('%j', (text, { ids, decoded, shown }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(decoded);
    expect(tokenizer.decode(ids)).toBe(shown);
    const stream = tokenizer.streamDecoder();
    expect([...ids.map((id) => stream.push(id)), stream.end()].join('')).toBe(shown);
  });
});

/** A folder of a model that compares images and texts. */
const dual = (kind: 'clip' | 'siglip', changes: Record<string, object> = {}) => {
  const { siglip } = readJsonFixture<{ siglip: object }>('processor-families/expected.json');
  const specialTokens = {
    clip: { tokenizer_class: 'CLIPTokenizer', eos_token: '<|endoftext|>', pad_token: '<|endoftext|>' },
    siglip: { tokenizer_class: 'SiglipTokenizer', eos_token: '</s>', pad_token: '</s>' },
  };
  const files = {
    'config.json': { model_type: kind },
    'tokenizer.json': readJsonFixture<object>(`tokenizers/${kind}.json`),
    'tokenizer_config.json': specialTokens[kind],
    'preprocessor_config.json': kind === 'siglip' ? { ...siglip, image_processor_type: undefined } : {},
    ...changes,
  };
  return DualProcessor.load(
    memoryFolder(Object.fromEntries(Object.entries(files).map(([name, json]) => [name, JSON.stringify(json)]))),
    parseDualConfig(files['config.json']),
  );
};

describe('CLIPTokenizer', () => {
  test.each(rows('clip'))('%j', async (text, { ids }) => {
    const processor = await dual('clip');
    if (ids.length <= 77) expect(processor.text(text).ids).toEqual(ids);
    else expect(() => processor.text(text)).toThrow(`a text of ${ids.length} tokens does not fit the 77 positions`);
  });
});

describe('SiglipTokenizer', () => {
  // Where JavaScript's library and SentencePiece part: an emoji's joiners, and special tokens written out in a text.
  const apart = /\u200d|<\/s>/;
  const compared = report.texts
    .map((text, i) => [text, report.siglip[i]] as const)
    .filter(([text]) => !apart.test(text));

  test.each(compared)('%j', async (text, { padded }) => {
    const processor = await dual('siglip');
    if (text.length < 300) expect(processor.text(text).ids).toEqual(padded);
    else expect(() => processor.text(text)).toThrow('a text of 151 tokens does not fit the 64 positions');
  });

  test('comes with SiglipImageProcessor', async () => {
    const processor = await dual('siglip');
    const { pixels, shape } = processor.image(picture(61, 23));
    expect(shape).toEqual([1, 3, 24, 20]);
    expect(pixels).toEqual(readTensors('processor-families/siglip.safetensors').get('wide/pixels')!.data);
  });
});

test('the number of positions is the config’s', async () => {
  const config = { model_type: 'siglip', text_config: { max_position_embeddings: 5 } };
  const processor = await dual('siglip', { 'config.json': config });
  expect(processor.text('a').ids).toHaveLength(5);
  expect(() => processor.text('the blue square')).toThrow('does not fit the 5 positions');
});

test('texts are no longer than the tokenizer says, whatever positions there are', async () => {
  const config = { tokenizer_class: 'SiglipTokenizer', pad_token: '</s>', model_max_length: 6 };
  const processor = await dual('siglip', { 'tokenizer_config.json': config });
  expect(processor.text('a').ids).toHaveLength(6);
  expect(processor.text('the blue square above the red one', true).ids).toHaveLength(6);
});

test.each([
  [{ 'config.json': { model_type: 'llava' } }, 'model_type "llava" is not an encoder of images and texts'],
  [
    { 'preprocessor_config.json': { image_processor_type: 'ViTImageProcessor' } },
    'supported: SiglipImageProcessor, CLIP',
  ],
])('%j is refused', async (changes, message) => {
  await expect(async () => dual('siglip', changes)).rejects.toThrow(message);
});
