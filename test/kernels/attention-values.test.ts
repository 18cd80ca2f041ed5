import { expect, it } from 'vitest';
import { attentionValues } from '../../src/kernels/attention-values/attention-values.ts';
import { attentionValuesProblems } from '../../src/kernels/attention-values/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

it.each(attentionValuesProblems())('attentionValues $name', (problem) =>
  expectSolved(gpu(), problem, { bound: 1e-12 }),
);

it('refuses values of fewer rows than the pattern has keys', () => {
  const rec = gpu().record('wrong');
  const pattern = rec.temp('pattern', 'f32', [2, 3, 5]);
  const v = rec.temp('v', 'f32', [4, 1, 8]);
  expect(() => attentionValues(rec, { pattern, v, heads: 2, label: 'z' })).toThrow(
    'v [4,1,8] does not fit pattern [2,3,5]',
  );
});
