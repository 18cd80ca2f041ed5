import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ShapeError } from '../../src/gpu/errors.ts';
import { chooseNorm, normCost, rmsNorm } from '../../src/kernels/norm/norm.ts';
import type { NormVariant } from '../../src/kernels/norm/norm.wgsl.ts';
import { normProblem, normScaleProblem } from '../../src/kernels/norm/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();
// So few that most shapes take the second dimension of workgroups, as more than 65535 of them do.
beforeAll(() => void Object.assign(gpu().capabilities, { maxWorkgroupsPerDimension: 16 }));

// Rows, columns, and what is added to numbers of [-1, 1): a mean that dwarfs the spread is where variances cancel.
type Shape = [rows: number, columns: number, offset: number];
const shapes: Shape[] = [
  [1, 1, 0],
  [3, 2, 0],
  [5, 17, 0],
  [61, 128, 0],
  [7, 131, 10],
  [2, 1024, 1000],
  [3, 4099, 100],
  [1, 8192, 10_000],
];
// 0 is the device's smallest subgroup. The 256 lanes that GPUs get take SwiftShader seconds to compile: one test at the end.
const variants: [NormVariant['reduce'], number, Shape[]][] = [
  ['subgroup', 0, shapes],
  ['workgroup', 4, shapes],
  ['workgroup', 32, shapes.filter(([rows]) => rows === 3)],
];
const cases = variants.flatMap(([reduce, lanes, some]) => some.map((shape) => [reduce, lanes, ...shape] as const));

describe.each(cases)('%s %i: norms of [%i, %i] + %f', (reduce, lanes, rows, columns, offset) => {
  let variant: NormVariant;
  beforeEach(({ skip }) => {
    const { subgroups, subgroupMinSize } = gpu().capabilities;
    skip(reduce === 'subgroup' && !subgroups, 'this adapter has no subgroups');
    variant = { reduce, lanes: lanes || subgroupMinSize };
  });

  it('layerNorm', () => expectSolved(gpu(), normProblem('layer', [rows, columns, offset]), { variant }));
  it('rmsNorm', () => expectSolved(gpu(), normProblem('rms', [rows, columns, offset]), { variant }));
  it.each(['layer', 'rms'] as const)('%sNorm by scales that are given', (kind) =>
    expectSolved(gpu(), normProblem(kind, [rows, columns, offset], true), { variant }),
  );
  it.each(['layer', 'rms'] as const)('normScale %s', (kind) =>
    expectSolved(gpu(), normScaleProblem(kind, [rows, columns, offset]), { variant }),
  );
});

describe('norms', () => {
  it('add up what 256 lanes have', () => {
    const variant = { reduce: 'workgroup', lanes: 256 } as const;
    return expectSolved(gpu(), normScaleProblem('layer', [2, 1023, 10]), { variant });
  });

  it('stay finite on a row of zeros', async () => {
    const recorder = gpu().record('zeros');
    const x = recorder.input('x', 'f32', [1, 5], new Float32Array(5));
    const weight = recorder.input('weight', 'f32', [5], new Float32Array(5).fill(1));
    const y = recorder.read(rmsNorm(recorder, { x, weight, eps: 1e-6, label: 'norm' }));
    await recorder.submit();
    expect(y.f32).toEqual(new Float32Array(5));
  });

  it('choose by what the device has', () => {
    const gpu = { software: false, subgroupMinSize: 32, maxWorkgroupInvocations: 1024 };
    expect(chooseNorm(1024, gpu)).toEqual({ reduce: 'subgroup', lanes: 32 });
    expect(chooseNorm(1025, gpu)).toEqual({ reduce: 'workgroup', lanes: 256 });
    const bare = { ...gpu, subgroupMinSize: 0 };
    expect(chooseNorm(130, bare)).toEqual({ reduce: 'workgroup', lanes: 64 });
    expect(chooseNorm(3, bare)).toEqual({ reduce: 'workgroup', lanes: 4 });
    expect(chooseNorm(8192, { ...bare, maxWorkgroupInvocations: 128 })).toEqual({ reduce: 'workgroup', lanes: 128 });
    const software = { ...gpu, software: true, subgroupMinSize: 4 };
    expect(chooseNorm(4096, software)).toEqual({ reduce: 'subgroup', lanes: 4 });
    expect(chooseNorm(4096, { ...software, subgroupMinSize: 0 })).toEqual({ reduce: 'workgroup', lanes: 4 });
  });

  it('count a read and a write', () => {
    expect(normCost('rms', 10, 128)).toEqual({ flops: 5120, bytes: 4 * 128 * 21 });
  });

  it('name the tensor of the wrong shape', () => {
    const recorder = gpu().record('wrong');
    const x = recorder.temp('x', 'f32', [2, 8]);
    const weight = recorder.temp('ln.weight', 'f32', [7]);
    expect(() => rmsNorm(recorder, { x, weight, eps: 1e-6, label: 'norm' })).toThrow(
      new ShapeError('ln.weight: expected [8], got [7] (in rmsNorm)'),
    );
  });
});
