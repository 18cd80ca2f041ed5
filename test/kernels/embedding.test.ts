import { describe, expect, it } from 'vitest';
import { f16 } from '../../src/gpu/formats/f16.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { buffersOf, makeWeight } from '../../src/gpu/weight.ts';
import { embedding, embeddingCost } from '../../src/kernels/embedding/embedding.ts';
import { embeddingProblems } from '../../src/kernels/embedding/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();
it.each(embeddingProblems())('embedding of $name', (problem) => expectSolved(gpu(), problem));

describe('embedding', () => {
  it('reads every f16 pattern that is a number, subnormals and the largest included', async () => {
    const halves = Uint16Array.from({ length: 0x7c00 }, (_, i) => i);
    const weight = makeWeight({ label: 'halves', format: f16, shape: [31, 1024] }, (label, dtype, shape) =>
      gpu().tensor(label, dtype, shape, halves),
    );
    const recorder = gpu().record('halves');
    const ids = recorder.input(
      'ids',
      'u32',
      [31],
      Uint32Array.from({ length: 31 }, (_, i) => i),
    );
    const out = recorder.read(embedding(recorder, { ids, weight, label: 'embed' }));
    await recorder.submit();
    const value = (h: number) => (h >> 10 ? (1 + (h & 1023) / 1024) * 2 ** ((h >> 10) - 15) : (h / 1024) * 2 ** -14);
    expect(out.f32).toEqual(Float32Array.from(halves, value));
    gpu().destroy(...buffersOf(weight));
  });

  it('names the part of the wrong width', () => {
    const recorder = gpu().record('wrong');
    const buffer = recorder.temp('embed[0:4]', 'f32', [4, 7]);
    const part = { label: 'embed[0:4]', format: f32, shape: [4, 7] as const, buffers: [buffer] };
    const weight = { label: 'embed', format: f32, shape: [4, 8] as const, parts: [part] };
    const ids = recorder.temp('ids', 'u32', [2]);
    expect(() => embedding(recorder, { ids, weight, label: 'embed' })).toThrow(
      'embed[0:4]: expected [?,8], got [4,7] (in embedding)',
    );
  });

  it('counts the rows that are read, not the table', () => {
    expect(embeddingCost(10, 128, f16)).toEqual({ flops: 0, bytes: 40 + 1280 * 6 });
  });
});
