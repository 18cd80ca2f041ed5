import { beforeAll, describe, expect, it } from 'vitest';
import { add, concatColumns } from '../../src/kernels/elementwise/elementwise.ts';
import { addProblem, concatColumnsProblems, gatherRowsProblems } from '../../src/kernels/elementwise/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();
// So few that most shapes take the second dimension of workgroups, as more than 65535 of them do.
beforeAll(() => void Object.assign(gpu().capabilities, { maxWorkgroupsPerDimension: 16 }));

describe('add', () => {
  it.each([[[1]], [[63]], [[65]], [[7, 131]], [[3, 5, 4]], [[10, 64]], [[40, 131]]])('of %j', (shape) =>
    expectSolved(gpu(), addProblem(shape)),
  );

  it('names the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const a = recorder.temp('residual', 'f32', [2, 3]);
    const b = recorder.temp('mlp', 'f32', [3, 2]);
    expect(() => add(recorder, { a, b, label: 'add' })).toThrow('mlp: expected [2,3], got [3,2] (in add)');
  });
});

it.each(gatherRowsProblems())('gatherRows: $name', (problem) => expectSolved(gpu(), problem));

describe('concatColumns', () => {
  it.each(concatColumnsProblems())('of $name', (problem) => expectSolved(gpu(), problem));

  it('names the part of another height', () => {
    const recorder = gpu().record('wrong');
    const parts = [recorder.temp('layer 1', 'f32', [4, 8]), recorder.temp('layer 2', 'f32', [3, 8])];
    expect(() => concatColumns(recorder, { parts, label: 'concat' })).toThrow('layer 2: expected [4,?], got [3,8]');
  });
});
