// Matrices as `headlight quantize` stores them, and files that only look like it.
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { CheckpointError } from '../../src/checkpoint/errors.ts';
import { modelId } from '../../src/checkpoint/model-id.ts';
import { packedTensors, packingKey, packingVersion } from '../../src/checkpoint/packed.ts';
import { byteLength, type SafetensorsDType } from '../../src/checkpoint/safetensors-dtypes.ts';
import { type StoredTensor, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { checkSpecs, checkTied } from '../../src/checkpoint/specs.ts';
import { q4 } from '../../src/gpu/formats/q4.ts';
import { q8 } from '../../src/gpu/formats/q8.ts';
import { MemoryFolder } from './memory-folder.ts';

const tensor = (name: string, dtype: SafetensorsDType, ...shape: number[]): StoredTensor => ({
  name,
  dtype,
  shape,
  data: new Uint8Array(byteLength(dtype, shape)!),
});
const ours = { [packingKey]: packingVersion };
const open = (tensors: readonly StoredTensor[], metadata: Record<string, string> = ours) =>
  openCheckpoint(new MemoryFolder({ 'model.safetensors': writeSafetensors(tensors, metadata) }));
const name = 'language_model.model.embed_tokens.weight';
const good = [tensor(`${name}.q4`, 'U32', 6, 8), tensor(`${name}.q4.scales`, 'F16', 6, 2)];

it('is found by its names, in any layout and in several files', async () => {
  const [values, scales] = good;
  const checkpoint = await openCheckpoint(
    new MemoryFolder({
      'a.safetensors': writeSafetensors([values, tensor('language_model.model.norm.weight', 'F32', 4)], ours),
      'b.safetensors': writeSafetensors([scales], ours),
      'model.safetensors.index.json': JSON.stringify({ weight_map: { x: 'a.safetensors', y: 'b.safetensors' } }),
    }),
  );
  expect([...checkpoint.tensors.keys()]).toEqual(['language_model.norm.weight']);
  expect(checkpoint.packed.get('language_model.embed_tokens.weight')).toMatchObject({
    name,
    format: q4,
    shape: [6, 64],
    buffers: [{ file: 'a.safetensors' }, { file: 'b.safetensors' }],
  });
  expect(checkpoint.bytes).toBe(6 * 8 * 4 + 6 * 2 * 2 + 16);
});

it.each([q4, q8])('of $name has the buffers of its format', async (format) => {
  const tensors = packedTensors('w', format, [3, 96]);
  const { packed } = await open(tensors.map(({ name, dtype, shape }) => tensor(name, dtype, ...shape)));
  expect(packed.get('w')).toMatchObject({ format, shape: [3, 96] });
});

describe('what is none is named', () => {
  const [values, scales] = good;
  const cases: [what: string, tensors: StoredTensor[], metadata: Record<string, string>, message: string][] = [
    ['no version', good, {}, `"${name}.q4": model.safetensors has no ${packingKey} in its metadata`],
    [
      'another version',
      good,
      { [packingKey]: '2' },
      'has "2" headlight_packing in its metadata, this version of Headlight reads 1',
    ],
    ['no scales', [values], ours, `"${name}.q4": "${name}.q4.scales" is missing beside it`],
    ['no values', [scales], ours, `"${name}.q4.scales": "${name}.q4" is missing beside it`],
    [
      'scales of groups of 64',
      [values, tensor(scales.name, 'F16', 6, 1)],
      ours,
      `"${scales.name}": expected F16 [6, 2] for q4 [6, 64], the checkpoint has F16 [6, 1]`,
    ],
    ['scales of other rows', [values, tensor(scales.name, 'F16', 5, 2)], ours, 'the checkpoint has F16 [5, 2]'],
    ['scales in one row', [values, tensor(scales.name, 'F16', 12)], ours, 'the checkpoint has F16 [12]'],
    [
      'scales of another dtype',
      [values, tensor(scales.name, 'F32', 6, 2)],
      ours,
      'expected F16 [6, 2] for q4 [6, 64], the checkpoint has F32 [6, 2]',
    ],
    [
      'values of another dtype',
      [tensor(values.name, 'U8', 6, 8), scales],
      ours,
      'expected U32 [6, 8] for q4 [6, 64], the checkpoint has U8',
    ],
    [
      'rows of half a group',
      [tensor(values.name, 'U32', 6, 2), scales],
      ours,
      'cannot be of q4: rows of 16 are not of whole groups of 32',
    ],
    ['values in one row', [tensor(values.name, 'U32', 48), scales], ours, '[48] cannot be of q4: it is no matrix'],
    ['no dimensions', [tensor(values.name, 'U32'), scales], ours, '[] cannot be of q4: it is no matrix'],
    [
      'two formats of one',
      [...good, tensor(`${name}.q8`, 'U32', 6, 16), tensor(`${name}.q8.scales`, 'F16', 6, 2)],
      ours,
      'are two names of one tensor, "language_model.embed_tokens.weight"',
    ],
    ['the matrix itself beside it', [...good, tensor(name, 'F32', 6, 64)], ours, 'are two names of one tensor'],
  ];
  it.each(cases)('%s', async (_, tensors, metadata, message) => {
    const error = await open(tensors, metadata).then(
      () => undefined,
      (e: Error) => e,
    );
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error!.message).toContain(message);
    expect(error!.message).toContain('memory: ');
  });

  it('all at once', async () => {
    const error = await open([values, tensor('b.q8.scales', 'F16', 1, 1)]).catch((e: CheckpointError) => e);
    expect((error as CheckpointError).problems).toHaveLength(2);
  });
});

it('must have the shape that the model wants, and be no vector', async () => {
  const checkpoint = await open([...good, tensor('stray.q4', 'U32', 1, 4), tensor('stray.q4.scales', 'F16', 1, 1)]);
  const embed = 'language_model.embed_tokens.weight';
  const check = (shape: number[], role: 'matrix' | 'vector' = 'matrix') =>
    checkSpecs(checkpoint, [{ name: embed, shape, role }], { visionLayers: 0 });
  expect(check([6, 64]).map(({ tensor, unknown }) => [tensor.name, unknown])).toEqual([
    ['stray.q4', true],
    ['stray.q4.scales', true],
  ]);
  expect(check([6, 4, 4, 4])).toHaveLength(2);
  expect(() => check([6, 32])).toThrow(`${name}: expected [6, 32], the checkpoint has [6, 64] (model.safetensors)`);
  expect(() => check([6, 64], 'vector')).toThrow(`${name}: stored as q4, which is for matrices (model.safetensors)`);
});

it('is compared with what it is tied to, and counts in the id', async () => {
  const head = (byte: number) =>
    good.map((part) => ({
      ...part,
      name: part.name.replace(name, 'language_model.lm_head.weight'),
      data: part.data.map(() => byte),
    }));
  const tied = { 'lm_head.weight': 'language_model.embed_tokens.weight' };
  await checkTied(await open(good), tied);
  await checkTied(await open([...good, ...head(0)]), tied);
  const other = await open([...good, ...head(1)]);
  await expect(checkTied(other, tied)).rejects.toThrow(`differs from ${name} (model.safetensors)`);
  await expect(
    checkTied(await open([...good, tensor('language_model.lm_head.weight', 'F16', 6, 64)]), tied),
  ).rejects.toThrow('differs');
  const ids = [await modelId({}, await open([...good, ...head(0)])), await modelId({}, other)];
  expect(ids[0]).not.toBe(ids[1]);
});
