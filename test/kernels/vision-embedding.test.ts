import { describe, expect, it } from 'vitest';
import { visionEmbeddingProblems } from '../../src/kernels/vision-embedding/problem.ts';
import { visionEmbedding } from '../../src/kernels/vision-embedding/vision-embedding.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

describe('visionEmbedding', () => {
  it.each(visionEmbeddingProblems())('of $name', (problem) => expectSolved(gpu(), problem));

  it('refuses patches that are not of equal images', () => {
    const recorder = gpu().record('odd');
    const args = {
      patches: recorder.temp('patches', 'f32', [7, 4]),
      classEmbedding: recorder.temp('class', 'f32', [4]),
      position: recorder.temp('position', 'f32', [4, 4]),
      label: 'embeddings',
    };
    expect(() => visionEmbedding(recorder, { ...args, batch: 2 })).toThrow(
      'patches: 7 patches are not 2 images of equal size',
    );
    expect(() => visionEmbedding(recorder, { ...args, batch: 1 })).toThrow('position: expected [8,4], got [4,4]');
  });
});
