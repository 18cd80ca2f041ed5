import { describe, expect, it, type TestContext } from 'vitest';
import { bf16 } from '../../src/gpu/formats/bf16.ts';
import { f16 } from '../../src/gpu/formats/f16.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { buffersOf, makeWeight } from '../../src/gpu/weight.ts';
import { activationNames } from '../../src/kernels/activation/activation.wgsl.ts';
import { chooseMatmul, matmulWorkgroups } from '../../src/kernels/matmul/choose.ts';
import { type MatmulVariant, matmul, matmulVariants } from '../../src/kernels/matmul/matmul.ts';
import { matmulObstacle } from '../../src/kernels/matmul/plan.ts';
import { type MatmulSizes, matmulProblem } from '../../src/kernels/matmul/problem.ts';
import type { QuadPlan } from '../../src/kernels/matmul/quad.wgsl.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, random, weightOf } from './check.ts';

const gpu = useGpu();

const check = ({ variant, ...sizes }: MatmulSizes & { variant?: MatmulVariant }) =>
  expectSolved(gpu(), matmulProblem(sizes), { variant });

const anyRows: [m: number, k: number, n: number][] = [
  [7, 32, 129],
  [13, 4, 17],
  [17, 132, 31],
  [64, 64, 64],
  [65, 128, 67],
  [129, 24, 33],
  [513, 24, 33],
  [515, 20, 9],
  [33, 40, 65],
];
const fewRows: typeof anyRows = [
  [1, 64, 64],
  [1, 1028, 5],
  [3, 20, 259],
];
/** K that no vector divides, or rows that start in the middle of a word. */
const oddColumns: typeof anyRows = [
  [1, 1, 1],
  [3, 5, 2],
  [7, 33, 129],
  [65, 18, 67],
];
const sizes: Record<MatmulVariant, typeof anyRows> = {
  base: [...oddColumns, ...anyRows, ...fewRows],
  tile: [...anyRows, ...fewRows],
  quad: [...anyRows, ...fewRows],
  workgroup: [...anyRows, ...fewRows],
  matvec: fewRows,
  matvecSubgroup: fewRows,
};

// On a software adapter compiling takes most of the time of these tests, and shapes that share a pipeline cost next to nothing.
describe.each(matmulVariants)('matmul variant %s', (variant) => {
  it.for(sizes[variant])('[%i, %i] x [.., %i]', async ([m, k, n], context) => {
    skipUnlessPossible(context, variant, m, k, n);
    await check({ m, k, n, format: f32, variant });
  });
  it.for([f16, bf16])('$name weights', async (format, context) => {
    for (const [m, k, n] of variant === 'base' ? oddColumns : [[3, 132, 31]]) {
      skipUnlessPossible(context, variant, m, k, n);
      await check({ m, k, n, format, variant });
    }
  });
  it('bias, activation, residual and weights in three parts', (context) => {
    skipUnlessPossible(context, variant, 3, 12, 38);
    return check({
      ...{ m: 3, k: 12, n: 38, format: f32, variant },
      ...{ bias: true, residual: true, activation: 'silu', parts: 3 },
    });
  });
});

function skipUnlessPossible(context: TestContext, variant: MatmulVariant, rows: number, k: number, n: number): void {
  const obstacle = matmulObstacle(variant, { rows, k, n }, gpu().capabilities);
  context.skip(obstacle !== undefined, obstacle);
}

describe('chooseMatmul', () => {
  const amd = {
    software: false,
    subgroups: true,
    subgroupMinSize: 64,
    subgroupMaxSize: 64,
    maxWorkgroupInvocations: 256,
    maxWorkgroupStorage: 32768,
  };
  const variant = (rows: number, k: number, device = amd) => chooseMatmul({ rows, n: 512, k }, device).variant;

  it('takes blocks through workgroup memory on a GPU, and reads weights in order for few rows', () => {
    expect(variant(60, 512)).toBe('workgroup');
    expect(variant(4, 512)).toBe('matvecSubgroup');
    expect(variant(5, 512)).toBe('workgroup');
  });
  it('uses no subgroups where there are none, or where their size is not known', () => {
    expect(variant(1, 512, { ...amd, subgroups: false })).toBe('matvec');
    expect(variant(1, 512, { ...amd, subgroupMinSize: 8, subgroupMaxSize: 32 })).toBe('matvec');
    expect(variant(60, 512, { ...amd, software: true, subgroups: false })).toBe('tile');
  });
  it('stays within the device', () => {
    expect(variant(60, 512, { ...amd, maxWorkgroupStorage: 8192 })).toBe('tile');
    expect(variant(60, 512, { ...amd, maxWorkgroupInvocations: 64 })).toBe('tile');
  });
  it('shares a load among four threads on a software adapter', () => {
    const device = { ...amd, software: true, subgroupMinSize: 4, subgroupMaxSize: 4 };
    const quad = (rows: number, k: number, n = 128) => chooseMatmul({ rows, n, k }, device);
    expect(quad(3, 128)).toEqual({ variant: 'quad', rows: 4, columns: 32, chunk: 1, quads: 1 });
    expect(quad(1, 128)).toMatchObject({ variant: 'matvecSubgroup', rows: 1 });
    expect(quad(60, 128)).toEqual({ variant: 'quad', rows: 16, columns: 32, chunk: 1, quads: 1 });
    expect(quad(256, 128)).toEqual({ variant: 'quad', rows: 16, columns: 32, chunk: 1, quads: 1 });
    expect(quad(512, 128)).toEqual({ variant: 'quad', rows: 32, columns: 32, chunk: 2, quads: 1 });
    expect(quad(256, 1024, 1024)).toEqual({ variant: 'quad', rows: 32, columns: 32, chunk: 2, quads: 1 });
    expect(quad(256, 1028, 1024)).toEqual({ variant: 'quad', rows: 32, columns: 32, chunk: 1, quads: 1 });
  });
  it('gives each four threads of a subgroup a tile, where all subgroups are of one size', () => {
    const problem = { rows: 40, n: 130, k: 128 }; // 3 x 5 tiles
    const of = (subgroupMinSize: number, subgroupMaxSize: number) => {
      const plan = chooseMatmul(problem, { ...amd, software: true, subgroupMinSize, subgroupMaxSize });
      return [(plan as QuadPlan).quads, matmulWorkgroups(plan, problem)];
    };
    expect(of(4, 4)).toEqual([1, 15]);
    expect(of(8, 8)).toEqual([2, 8]);
    expect(of(4, 8)).toEqual([1, 15]);
  });
  it('falls back to one number at a time where K is no multiple of 4', () => {
    for (const rows of [1, 60]) expect(variant(rows, 130)).toBe('base');
  });
  it('says why a forced variant cannot run', () => {
    const force = (rows: number, k: number, name: MatmulVariant, device = amd) =>
      expect(() => chooseMatmul({ rows, n: 8, k }, device, name));
    force(9, 7, 'tile').toThrow('matmul variant tile: K = 7 is no multiple of 4');
    force(5, 8, 'matvec').toThrow('matmul variant matvec: 5 rows of x, more than 4');
    force(9, 8, 'quad', { ...amd, subgroups: false }).toThrow('quad: the device has no subgroups');
  });
});

describe('matmul', () => {
  it.each(activationNames)('applies %s', (activation) =>
    check({ m: 9, k: 7, n: 30, format: f32, activation, variant: 'base' }),
  );
  it.each(oddColumns)('chooses for [%i, %i] x [.., %i]', (m, k, n) => check({ m, k, n, format: f16 }));

  it('flattens leading dimensions', () => {
    const recorder = gpu().record('leading');
    const weight = weightOf(gpu(), 'w', [6, 4], f32, random(24, 1));
    const x = recorder.temp('x', 'f32', [2, 3, 4]);
    expect(matmul(recorder, { x, weight, label: 'y' }).shape).toEqual([6, 6]);
    gpu().destroy(...buffersOf(weight));
  });

  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const tensor = (label: string, shape: number[]) => recorder.temp(label, 'f32', shape);
    const weight = makeWeight({ label: 'w', format: f32, shape: [6, 4] }, (label) => tensor(label, [6, 4]));
    const [part] = weight.parts;
    const x = tensor('x', [3, 4]);
    const attempt = (args: object) => () => matmul(recorder, { x, weight, label: 'y', ...args });
    expect(attempt({ x: tensor('x', [3, 5]) })).toThrow('x: expected [..., 4], the columns of w [6,4], got [3,5]');
    expect(attempt({ bias: tensor('b', [4]) })).toThrow('b: expected [6], got [4] (in matmul y)');
    expect(attempt({ residual: tensor('r', [6, 3]) })).toThrow('r: expected [3,6], got [6,3]');
    expect(attempt({ out: tensor('out', [3, 4]) })).toThrow('out: expected [3,6], got [3,4]');
    expect(attempt({ x: recorder.temp('x', 'f16', [3, 4]) })).toThrow('x: expected f32, got f16');
    expect(attempt({ weight: { ...weight, parts: [part, part] } })).toThrow('w: its parts have 12 rows, expected 6');
  });
});
