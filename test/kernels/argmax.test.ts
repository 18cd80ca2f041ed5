import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { argmax, argmaxCost, chooseArgmax } from '../../src/kernels/argmax/argmax.ts';
import { type ArgmaxVariant, notFiniteFlag } from '../../src/kernels/argmax/argmax.wgsl.ts';
import { argmaxProblems } from '../../src/kernels/argmax/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, random } from './check.ts';

const gpu = useGpu();
// So few that most shapes take the second dimension of workgroups, as more than 65535 of them do.
beforeAll(() => void Object.assign(gpu().capabilities, { maxWorkgroupsPerDimension: 16 }));

async function argmaxOf(x: Float32Array<ArrayBuffer>, rows: number, variant: ArgmaxVariant): Promise<number[]> {
  const recorder = gpu().record('argmax');
  const input = recorder.input('x', 'f32', [rows, x.length / rows], x);
  const out = recorder.read(argmax(recorder, { x: input, label: 'argmax', variant }));
  await recorder.submit();
  return [...out.u32];
}

// 0 is the device's smallest subgroup. The 256 lanes that GPUs get take SwiftShader seconds to compile: one test at the end.
const variants = [
  ['subgroup', 0],
  ['workgroup', 4],
  ['workgroup', 32],
] as const;

describe.each(variants)('argmax %s %i', (reduce, lanes) => {
  let variant: ArgmaxVariant;
  beforeEach(({ skip }) => {
    const { subgroups, subgroupMinSize } = gpu().capabilities;
    skip(reduce === 'subgroup' && !subgroups, 'this adapter has no subgroups');
    variant = { reduce, lanes: lanes || subgroupMinSize };
  });

  it.each(argmaxProblems())('of $name', (problem) => expectSolved(gpu(), problem, { variant }));

  const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
  it.each([
    ['the first of equals', [1, 3, 3, 2], 1],
    ['the first of equals, four at a time', [1, 3, 3, 2, 3, 0, 0, 3], 1],
    ['the first of equals in one lane', [0, 0, 0, ...new Array(20).fill(1), 0], 3],
    ['the first of equals far apart', [...new Array(500).fill(0), 7, ...new Array(500).fill(0), 7], 500],
    ['the least negative', [-3, -1, -2], 1],
    ['zeros of either sign as equal', [-1, -0, 0], 1],
    ['zeros of either sign as equal, the other way round', [-1, 0, -0], 1],
    ['the smallest numbers apart', [1e-45, 3e-45, 0], 1],
    ['an infinity', [1, inf, 3e38], notFiniteFlag + 1],
    ['a row of -infinity', [-inf, -inf], notFiniteFlag],
    ['the greatest number there is', [1, 3.4028234663852886e38, -inf], 1],
    ['the least number there is', [-inf, -3.4028234663852886e38], 1],
    ['the first NaN above all, as torch', [inf, nan, 1, nan], notFiniteFlag + 1],
  ])('takes %s', async (_, row, expected) => {
    expect(await argmaxOf(new Float32Array(row), 1, variant)).toEqual([expected]);
  });

  it('takes a NaN of negative sign above all', async () => {
    const x = new Float32Array([1, 0, 5]);
    new Uint32Array(x.buffer)[1] = 0xffc00000;
    expect(await argmaxOf(x, 1, variant)).toEqual([notFiniteFlag + 1]);
  });
});

describe('argmax', () => {
  it('looks at all that 256 lanes have found', async () => {
    const x = random(2 * 762, 1);
    x[761] = 2;
    x[762 + 255] = 2;
    expect(await argmaxOf(x, 2, { reduce: 'workgroup', lanes: 256 })).toEqual([761, 255]);
  });

  it('refuses rows without a number', () => {
    const recorder = gpu().record('empty');
    const x = recorder.temp('logits', 'f32', [2, 0]);
    expect(() => argmax(recorder, { x, label: 'argmax' })).toThrow('logits: [2,0] has no columns (in argmax)');
  });

  it('chooses by what the device has', () => {
    const gpu = { software: false, subgroupMinSize: 32, maxWorkgroupInvocations: 1024 };
    expect(chooseArgmax(gpu)).toEqual({ reduce: 'workgroup', lanes: 256 });
    expect(chooseArgmax({ ...gpu, maxWorkgroupInvocations: 128 })).toEqual({ reduce: 'workgroup', lanes: 128 });
    expect(chooseArgmax({ ...gpu, software: true, subgroupMinSize: 4 })).toEqual({ reduce: 'subgroup', lanes: 4 });
    expect(chooseArgmax({ ...gpu, software: true, subgroupMinSize: 0 })).toEqual({ reduce: 'workgroup', lanes: 4 });
  });

  it('counts one read', () => {
    expect(argmaxCost(2, 100)).toEqual({ flops: 200, bytes: 808 });
  });
});
