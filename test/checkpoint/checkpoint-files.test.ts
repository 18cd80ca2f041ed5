import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { CheckpointError } from '../../src/checkpoint/errors.ts';
import { tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { MemoryFolder } from './memory-folder.ts';

const shard = (...names: string[]) => writeSafetensors(names.map((name, i) => tensorOf(name, [1], Float32Array.of(i))));
const index = (weight_map: unknown, more = {}) => JSON.stringify({ metadata: { total_size: 12 }, weight_map, ...more });
const indexFile = 'model.safetensors.index.json';

test('a single file', async () => {
  const folder = new MemoryFolder({
    'model.safetensors': shard('language_model.model.norm.weight', 'language_model.lm_head.weight'),
  });
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint).toMatchObject({ layout: 'hub', files: ['model.safetensors'], bytes: 8 });
  expect([...checkpoint.tensors.keys()].sort()).toEqual(['language_model.norm.weight', 'lm_head.weight']);
  expect(checkpoint.tensors.get('lm_head.weight')).toMatchObject({
    name: 'language_model.lm_head.weight',
    canonical: 'lm_head.weight',
    file: 'model.safetensors',
    dtype: 'F32',
    shape: [1],
  });
});

test('shards, in a folder below too; a single file goes before an index', async () => {
  const files = {
    'model-00001-of-00002.safetensors': shard('model.norm.weight', 'model.embed_tokens.weight'),
    'more/model-00002-of-00002.safetensors': shard('lm_head.weight'),
    [indexFile]: index({
      'model.norm.weight': 'model-00001-of-00002.safetensors',
      'model.embed_tokens.weight': 'model-00001-of-00002.safetensors',
      'lm_head.weight': 'more/model-00002-of-00002.safetensors',
    }),
  };
  const checkpoint = await openCheckpoint(new MemoryFolder(files));
  expect(checkpoint).toMatchObject({ layout: 'bare', bytes: 12 });
  expect(checkpoint.files).toHaveLength(2);
  expect(checkpoint.tensors.get('lm_head.weight')!.file).toBe('more/model-00002-of-00002.safetensors');
  const both = await openCheckpoint(new MemoryFolder({ ...files, 'model.safetensors': shard('lm_head.weight') }));
  expect(both.files).toEqual(['model.safetensors']);
});

test('only headers are read', async () => {
  const folder = new MemoryFolder({
    'model.safetensors': writeSafetensors([tensorOf('a', [100_000], new Float32Array(100_000))]),
  });
  await openCheckpoint(folder);
  expect(Math.max(...folder.reads.map((r) => r.end))).toBeLessThan(200);
});

describe('what does not fit is named', () => {
  const one = 'one.safetensors';
  const two = 'two.safetensors';
  const cases: [what: string, files: Record<string, Uint8Array | string>, messages: string[]][] = [
    ['nothing there', {}, ['neither model.safetensors nor model.safetensors.index.json']],
    ['pickles', { 'pytorch_model.bin': '' }, ['pytorch_model.bin is a pickle', 'save_pretrained']],
    ['sharded pickles', { 'pytorch_model.bin.index.json': '{}' }, ['is a pickle']],
    ['an adapter', { 'adapter_model.safetensors': shard('a') }, ['is an adapter', 'merge']],
    ['a bad single file', { 'model.safetensors': 'x'.repeat(100) }, ['model.safetensors: says that its header']],
    ['an index that is no JSON', { [indexFile]: 'weights' }, [`${indexFile}: expected {`]],
    ['an index that is not UTF-8', { [indexFile]: Uint8Array.of(0x7b, 0xff, 0x7d) }, ['not UTF-8']],
    ['an index without a map', { [indexFile]: '{"metadata":{}}' }, ['no weight_map, or an empty one']],
    ['an empty map', { [indexFile]: index({}) }, ['no weight_map, or an empty one']],
    ['a map of numbers', { [indexFile]: index({ a: 1 }) }, ['expected a string']],
    ['a map that is a list', { [indexFile]: index(['a']) }, ['expected {']],
    ['a name twice in the map', { [indexFile]: `{"weight_map":{"a":"${one}","a":"${two}"}}` }, ['a second "a"']],
    ['an index nested deep', { [indexFile]: `{"metadata":${'['.repeat(1000)}` }, ['more than 64 levels']],
    [
      'missing shards',
      { [indexFile]: index({ a: one, b: two, c: 'three.safetensors' }), [two]: shard('b') },
      [one, 'three.safetensors', 'missing'],
    ],
    [
      'a tensor in two shards',
      { [indexFile]: index({ a: one, b: two }), [one]: shard('a'), [two]: shard('a', 'b') },
      ['"a" is both in one.safetensors and in two.safetensors'],
    ],
    [
      'one tensor under two names',
      {
        'model.safetensors': shard(
          'language_model.lm_head.weight',
          'lm_head.weight',
          'language_model.model.norm.weight',
        ),
      },
      ['two names of one tensor, "lm_head.weight"'],
    ],
    [
      'a bad shard',
      { [indexFile]: index({ a: one }), [one]: shard('a').subarray(0, -1) },
      ['one.safetensors: tensor "a" ends at byte', 'truncated'],
    ],
  ];
  test.each(cases)('%s', async (_, files, messages) => {
    const error = await openCheckpoint(new MemoryFolder(files)).then(
      () => undefined,
      (e) => e,
    );
    expect(error).toBeInstanceOf(CheckpointError);
    for (const message of messages) expect(error.message).toContain(message);
  });

  test.each([
    '../one.safetensors',
    'a/../../one.safetensors',
    '/etc/one.safetensors',
    './one.safetensors',
    'a//one.safetensors',
    'C:\\one.safetensors',
    'C:one.safetensors',
    '..\\one.safetensors',
    '%2e%2e/one.safetensors',
    'https://example.org/one.safetensors',
    'one.safetensors?x',
    'one\u0000.safetensors',
    '',
    '/',
    'config.json',
    'one.bin',
  ])('a shard at %j', async (path) => {
    const folder = new MemoryFolder({ [indexFile]: index({ a: path }), [path]: shard('a') });
    await expect(openCheckpoint(folder)).rejects.toThrow('shards must be .safetensors files inside the folder');
    expect(folder.reads.map((r) => r.name)).toEqual([indexFile]);
  });

  test('an index that says too much, or little, of single tensors is no error, as in transformers', async () => {
    const files = { [indexFile]: index({ a: one, gone: one, b: two }), [one]: shard('a', 'b'), [two]: shard('c') };
    const { tensors } = await openCheckpoint(new MemoryFolder(files));
    expect([...tensors.keys()]).toEqual(['a', 'b', 'c']);
  });

  test('a file that gets shorter while it is read', async () => {
    const folder = new MemoryFolder({ 'model.safetensors': shard('a') });
    folder.size = async () => 1000;
    const bytes = folder.files.get('model.safetensors')!;
    folder.files.set('model.safetensors', bytes.subarray(0, 20));
    await expect(openCheckpoint(folder)).rejects.toThrow('the file changed while it was read');
  });

  test('all problems at once, and a long list is cut with a count', async () => {
    const names = Array.from({ length: 80 }, (_, i) => `t${i}`);
    const map = Object.fromEntries(names.map((n) => [n, two]));
    const error: CheckpointError = await openCheckpoint(
      new MemoryFolder({ [indexFile]: index({ ...map, here: one }), [one]: shard(...names), [two]: shard(...names) }),
    ).catch((e) => e);
    expect(error.problems).toHaveLength(80);
    expect(error.message).toContain('and 30 more');
  });
});
