import { describe, expect, it } from 'vitest';
import { visionEmbedding } from '../../src/kernels/vision-embedding/vision-embedding.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

describe('visionEmbedding', () => {
  it.each([
    [1, 1, 1, 1],
    [1, 36, 128, 1],
    [3, 5, 7, 1],
    [2, 13, 65, 1],
    [1, 1, 1, 0],
    [2, 13, 65, 0],
    [3, 25, 48, 0],
  ])('of %i images of %i patches, %i wide, %i class token', async (batch, perImage, columns, extra) => {
    const patches = random(batch * perImage * columns, 1);
    const classEmbedding = random(columns, 2);
    const position = random((perImage + extra) * columns, 3);
    const recorder = gpu().record('visionEmbedding', { bindToEnd: true });
    const rows = batch * (perImage + extra);
    const out = guarded(gpu(), 'out', 'f32', [rows, columns]);
    visionEmbedding(recorder, {
      patches: recorder.input('patches', 'f32', [batch * perImage, columns], patches),
      classEmbedding: extra ? recorder.input('class', 'f32', [columns], classEmbedding) : undefined,
      position: recorder.input('position', 'f32', [perImage + extra, columns], position),
      batch,
      label: 'embeddings',
      out,
    });
    const expected: number[] = [];
    for (let b = 0; b < batch; b++)
      for (let t = 0; t < perImage + extra; t++)
        for (let c = 0; c < columns; c++) {
          const token = t < extra ? classEmbedding[c] : patches[(b * perImage + t - extra) * columns + c];
          expected.push(token + position[t * columns + c]);
        }
    expect(nmse(await readGuarded(recorder, out), expected)).toBeLessThan(1e-7);
    gpu().destroy(out);
  });

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
