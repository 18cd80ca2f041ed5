import { describe, expect, it } from 'vitest';
import { patchify } from '../../src/kernels/patchify/patchify.ts';
import { useGpu } from '../gpu.ts';
import { guarded, random, readGuarded } from './check.ts';

const gpu = useGpu();

describe('patchify', () => {
  it.each([
    [1, 3, 1, 1, 1],
    [1, 3, 48, 48, 8],
    [2, 3, 29, 43, 14],
    [3, 1, 5, 7, 2],
    [1, 3, 7, 5, 5],
  ])('of [%i, %i, %i, %i] into squares of %i', async (batch, channels, height, width, patch) => {
    const pixels = random(batch * channels * height * width, width);
    const expected: number[] = [];
    for (let b = 0; b < batch; b++)
      for (let top = 0; top + patch <= height; top += patch)
        for (let left = 0; left + patch <= width; left += patch)
          for (let c = 0; c < channels; c++)
            for (let y = 0; y < patch; y++)
              for (let x = 0; x < patch; x++)
                expected.push(pixels[((b * channels + c) * height + top + y) * width + left + x]);
    const columns = channels * patch * patch;
    const recorder = gpu().record('patchify', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', [expected.length / columns, columns]);
    const input = recorder.input('pixels', 'f32', [batch, channels, height, width], pixels);
    patchify(recorder, { pixels: input, patch, label: 'patchify', out });
    expect([...(await readGuarded(recorder, out))]).toEqual(expected);
    gpu().destroy(out);
  });

  it('refuses an image smaller than a patch', () => {
    const recorder = gpu().record('small');
    const pixels = recorder.temp('pixels', 'f32', [1, 3, 16, 8]);
    expect(() => patchify(recorder, { pixels, patch: 14, label: 'patchify' })).toThrow(
      'pixels: [1,3,16,8] has no patch of 14 x 14 pixels (in patchify)',
    );
  });
});
