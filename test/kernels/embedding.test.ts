import { describe, expect, it } from 'vitest';
import { embedding, embeddingCost } from '../../src/kernels/embedding/embedding.ts';
import { embeddingProblems } from '../../src/kernels/embedding/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();
it.each(embeddingProblems())('embedding of $name', (problem) => expectSolved(gpu(), problem));

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
