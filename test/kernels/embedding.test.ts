import { describe, expect, it } from 'vitest';
import { embedding, embeddingCost } from '../../src/kernels/embedding/embedding.ts';
import { useGpu } from '../gpu.ts';
import { guarded, random, readGuarded, store, weightOf } from './check.ts';

const gpu = useGpu();
const dtypes = ['f32', 'f16', 'bf16'] as const;

describe.each(dtypes)('embedding %s', (dtype) => {
  it.each([
    [1, 1, 1, 1],
    [5, 7, 3, 1],
    [37, 13, 129, 3],
    [64, 762, 128, 1],
    [9, 11, 65, 11],
  ])('of %i ids into [%i, %i] in %i parts', async (count, vocabulary, columns, parts) => {
    const { values } = store(random(vocabulary * columns, columns), dtype);
    const weight = weightOf(gpu(), 'embed', [vocabulary, columns], dtype, values, parts);
    // Every id from both ends, and with more than two of them two that the table does not have.
    const ids = Uint32Array.from({ length: count }, (_, i) =>
      i % 2 ? vocabulary - 1 - ((i >> 1) % vocabulary) : i % vocabulary,
    );
    if (count > 2) ids.set([vocabulary, 0xffffffff], 1);
    const recorder = gpu().record('embedding', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [count, columns]);
    embedding(recorder, { ids: recorder.input('ids', 'u32', [count], ids), weight, label: 'embed', out });
    const expected = Float32Array.from({ length: count * columns }, (_, i) => {
      const id = ids[Math.floor(i / columns)];
      return id < vocabulary ? values[id * columns + (i % columns)] : 0;
    });
    expect(await readGuarded(recorder, out)).toEqual(expected);
    gpu().destroy(out, ...weight.parts);
  });
});

describe('embedding', () => {
  it('reads every f16 pattern that is a number, subnormals and the largest included', async () => {
    const halves = Uint16Array.from({ length: 0x7c00 }, (_, i) => i);
    const part = gpu().tensor('halves', 'f16', [31, 1024], halves);
    const recorder = gpu().record('halves');
    const ids = recorder.input(
      'ids',
      'u32',
      [31],
      Uint32Array.from({ length: 31 }, (_, i) => i),
    );
    const weight = { label: 'halves', dtype: 'f16', shape: [31, 1024], parts: [part] } as const;
    const out = recorder.read(embedding(recorder, { ids, weight, label: 'embed' }));
    await recorder.submit();
    const value = (h: number) => (h >> 10 ? (1 + (h & 1023) / 1024) * 2 ** ((h >> 10) - 15) : (h / 1024) * 2 ** -14);
    expect(out.f32).toEqual(Float32Array.from(halves, value));
    gpu().destroy(part);
  });

  it('names the part of the wrong width', () => {
    const recorder = gpu().record('wrong');
    const part = recorder.temp('embed[0:4]', 'f32', [4, 7]);
    const weight = { label: 'embed', dtype: 'f32', shape: [4, 8], parts: [part] } as const;
    const ids = recorder.temp('ids', 'u32', [2]);
    expect(() => embedding(recorder, { ids, weight, label: 'embed' })).toThrow(
      'embed[0:4]: expected [?,8], got [4,7] (in embedding)',
    );
  });

  it('counts the rows that are read, not the table', () => {
    expect(embeddingCost(10, 128, 'f16')).toEqual({ flops: 0, bytes: 40 + 1280 * 6 });
  });
});
