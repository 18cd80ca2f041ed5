import { describe, expect, it } from 'vitest';
import { patchify } from '../../src/kernels/patchify/patchify.ts';
import { patchifyProblems } from '../../src/kernels/patchify/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

describe('patchify', () => {
  it.each(patchifyProblems())('of $name', (problem) => expectSolved(gpu(), problem));

  it('refuses an image smaller than a patch', () => {
    const recorder = gpu().record('small');
    const pixels = recorder.temp('pixels', 'f32', [1, 3, 16, 8]);
    expect(() => patchify(recorder, { pixels, patch: 14, label: 'patchify' })).toThrow(
      'pixels: [1,3,16,8] has no patch of 14 x 14 pixels (in patchify)',
    );
  });
});
