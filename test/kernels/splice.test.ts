import { describe, expect, it } from 'vitest';
import { spliceProblems } from '../../src/kernels/splice/problem.ts';
import { splice } from '../../src/kernels/splice/splice.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

describe('splice', () => {
  it.each(spliceProblems())('of $name', (problem) => expectSolved(gpu(), problem));

  it('names the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const text = recorder.temp('text', 'f32', [4, 8]);
    const features = recorder.temp('features', 'f32', [2, 6]);
    const source = recorder.temp('source', 'u32', [4]);
    expect(() => splice(recorder, { text, features, source, label: 'splice' })).toThrow(
      'features: expected [?,8], got [2,6] (in splice)',
    );
    const rest = { text, features: text, source, label: 'splice' };
    const extra = (dtype: 'f32' | 'f16', shape: number[]) => recorder.temp('newline', dtype, shape);
    expect(() => splice(recorder, { ...rest, extra: extra('f32', [1, 8]) })).toThrow(
      'newline: expected [8], got [1,8]',
    );
    expect(() => splice(recorder, { ...rest, extra: extra('f16', [8]) })).toThrow('newline: expected f32, got f16');
  });
});
