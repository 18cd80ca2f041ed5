import { describe, expect, it, type TestContext } from 'vitest';
import { bf16 } from '../../src/gpu/formats/bf16.ts';
import { f16 } from '../../src/gpu/formats/f16.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { q4 } from '../../src/gpu/formats/q4.ts';
import { q8 } from '../../src/gpu/formats/q8.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import { rows as tensorRows } from '../../src/gpu/tensor.ts';
import { buffersOf, makeWeight, type Weight } from '../../src/gpu/weight.ts';
import { activationNames } from '../../src/kernels/activation/activation.wgsl.ts';
import { gatedActivation } from '../../src/kernels/elementwise/elementwise.ts';
import { chooseMatmul, matmulWorkgroups } from '../../src/kernels/matmul/choose.ts';
import { gatedMatmul } from '../../src/kernels/matmul/gated.ts';
import { type MatmulVariant, matmul, matmulVariants, planName } from '../../src/kernels/matmul/matmul.ts';
import { matmulObstacle } from '../../src/kernels/matmul/plan.ts';
import {
  gatedMatmulProblem,
  type MatmulSizes,
  matmulProblem,
  type RotatedMatmulSizes,
  rotatedMatmulProblem,
} from '../../src/kernels/matmul/problem.ts';
import { rotatedMatmul } from '../../src/kernels/matmul/rotated.ts';
import { rotateAndAppend } from '../../src/kernels/rotary/append.ts';
import { appendOutputs } from '../../src/kernels/rotary/problem.ts';
import { sharedDevice, useGpu } from '../gpu.ts';
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
  broadcast: [...anyRows, ...fewRows],
  workgroup: [...anyRows, ...fewRows],
  matvec: fewRows,
  matvecSubgroup: fewRows,
  subgroupMatrix: anyRows,
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
  it.for([q8, q4])('$name weights', async (format, context) => {
    for (const [m, k, n] of [
      [3, 160, 31],
      [1, 4128, 5],
    ]) {
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

describe.each(['matvec', 'matvecSubgroup'] as const)('gatedMatmul variant %s', (variant) => {
  it.for([
    { m: 1, k: 64, n: 64, format: f32, activation: 'silu' },
    { m: 1, k: 1028, n: 5, format: f16, activation: 'gelu', bias: true },
    { m: 3, k: 20, n: 259, format: f32, activation: 'gelu_pytorch_tanh', bias: true },
    { m: 2, k: 96, n: 33, format: q4, activation: 'relu' },
    { m: 4, k: 64, n: 1, format: q8, activation: 'quick_gelu' },
  ] as const)('$m rows, $format.name, $activation', async (sizes, context) => {
    const { m: rows, k, n } = sizes;
    skipUnlessPossible(context, variant, rows, k, n);
    await expectSolved(gpu(), gatedMatmulProblem(sizes), { variant });
  });
});

describe('gatedMatmul', () => {
  it('gives what three kernels give, bit for bit', async () => {
    const [rows, k, n] = [1, 132, 37];
    for (const format of [f32, f16, bf16]) {
      const data = random(2 * n * k, 3);
      const values = [data, data.subarray(0, n * k), data.subarray(n * k)];
      const [both, gate, up] = values.map((of) => weightOf(gpu(), 'w', [of.length / k, k], format, of));
      const rec = gpu().record('both ways');
      const x = rec.input('x', 'f32', [rows, k], random(rows * k, 4));
      const bias = rec.input('bias', 'f32', [2 * n], random(2 * n, 5));
      const biases = [0, n].map((first) => {
        const own = rec.temp('own bias', 'f32', [n]);
        rec.copy(tensorRows(bias, first, first + n), own);
        return own;
      });
      const atOnce = rec.read(gatedMatmul(rec, { x, weight: both, bias, activation: 'silu', label: 'y' })!);
      const [g, u] = [gate, up].map((weight, i) => matmul(rec, { x, weight, bias: biases[i], label: `${i}` }));
      const three = rec.read(gatedActivation(rec, { gate: g, up: u, activation: 'silu', label: 'act' }));
      await rec.submit();
      expect(atOnce.f32).toEqual(three.f32);
      gpu().destroy(...[both, gate, up].flatMap(buffersOf));
    }
  });

  it('is nothing where the products take a variant without such an ending, and names what does not fit', () => {
    const rec = gpu().record('misfits');
    const weight = (shape: [number, number], perPart?: number) =>
      makeWeight({ label: 'w', format: f32, shape, perPart }, (label, dtype, size) => rec.temp(label, dtype, size));
    const attempt = (x: number[], of: Weight, bias?: number, ofRows?: number) => () =>
      gatedMatmul(rec, {
        ofRows,
        x: rec.temp('x', 'f32', x),
        weight: of,
        bias: bias === undefined ? undefined : rec.temp('b', 'f32', [bias]),
        activation: 'silu',
        label: 'y',
      });
    expect(attempt([65, 8], weight([6, 8]))()).toBeUndefined();
    expect(attempt([1, 7], weight([6, 7]))()).toBeUndefined();
    expect(attempt([1, 8], weight([6, 8]))()?.shape).toEqual([1, 3]);
    expect(attempt([1, 8], weight([6, 8]), undefined, 65)()).toBeUndefined();
    expect(attempt([1, 8], weight([5, 8]))).toThrow('w: [5,8] in 1 parts is no gate and what it is for');
    expect(attempt([1, 8], weight([6, 8], 3))).toThrow('w: [6,8] in 2 parts is no gate');
    expect(attempt([1, 4], weight([6, 8]))).toThrow('x: expected [1,8], got [1,4] (in gatedMatmul y)');
    expect(attempt([1, 8], weight([6, 8]), 3)).toThrow('b: expected [6], got [3] (in gatedMatmul y)');
  });
});

const rotatedSizes: RotatedMatmulSizes[] = [
  { sizes: [1, 4, 2, 16], k: 64, format: f32, cache: { batch: 1, capacity: 3, outRow: 2 } },
  { sizes: [1, 3, 1, 24], k: 132, format: f16, bias: true, cache: { dtype: 'f16', batch: 1, capacity: 5, outRow: 1 } },
  { sizes: [4, 2, 2, 8], k: 20, format: bf16, bias: true, cache: { dtype: 'f16', batch: 2, capacity: 7, outRow: 3 } },
  { sizes: [3, 5, 1, 40], k: 96, format: q4, bias: true, cache: { dtype: 'f16', batch: 3, capacity: 2, outRow: 1 } },
  { sizes: [2, 1, 1, 64], k: 64, format: q8, cache: { batch: 1, capacity: 9, outRow: 4 } },
];

describe.each(['matvec', 'matvecSubgroup'] as const)('rotatedMatmul variant %s', (variant) => {
  for (const of of rotatedSizes)
    for (const output of appendOutputs) {
      const problem = rotatedMatmulProblem(of, output);
      it(problem.name, async (context) => {
        const { sizes, k } = of;
        skipUnlessPossible(context, variant, sizes[0], k, 0);
        await expectSolved(gpu(), problem, { variant, bound: problem.dtype ? 1e-6 : undefined });
      });
    }
});

describe('rotatedMatmul', () => {
  /** What makes q, k and v of a row in two dispatches, or in one: q, and what lies in the caches. */
  async function both({ sizes, k, format, bias: biased, cache }: RotatedMatmulSizes, variant?: MatmulVariant) {
    const [rows, heads, kvHeads, headSize] = sizes;
    const n = (heads + 2 * kvHeads) * headSize;
    const weight = weightOf(gpu(), 'w', [n, k], format, random(n * k, 3));
    const rec = gpu().record('both ways');
    const x = rec.input('x', 'f32', [rows, k], random(rows * k, 4));
    const bias = biased ? rec.input('bias', 'f32', [n], random(n, 5)) : undefined;
    const table = rec.input('table', 'f32', [rows, headSize], random(rows * headSize, 6));
    const ways = [
      (into: Parameters<typeof rotateAndAppend>[1]) => rotatedMatmul(rec, { x, weight, bias, variant, ...into })!,
      (into: Parameters<typeof rotateAndAppend>[1]) => rotateAndAppend(rec, into),
    ].map((run) => {
      const [keys, values] = ['keys', 'values'].map((label) =>
        rec.input(
          label,
          cache.dtype ?? 'f32',
          [cache.batch * cache.capacity, kvHeads, headSize],
          new Uint8Array(cache.batch * cache.capacity * kvHeads * headSize * (cache.dtype ? 2 : 4)),
        ),
      );
      const qkv = matmul(rec, { x, weight, bias, variant, label: 'qkv' });
      const { batch, outRow } = cache;
      const q = run({ qkv, table, keys, values, heads, outRow, batch, label: 'y' });
      return [q, keys, values].map((tensor) => rec.read(tensor));
    });
    await rec.submit();
    gpu().destroy(...buffersOf(weight));
    return ways.map((way) => way.map(({ bytes }) => bytes!));
  }

  it('gives what two kernels give, bit for bit', async () => {
    for (const sizes of rotatedSizes)
      for (const variant of ['matvec', 'matvecSubgroup'] as const) {
        const [rows] = sizes.sizes;
        if (matmulObstacle(variant, { rows, n: 0, k: sizes.k }, gpu().capabilities)) continue;
        const [one, two] = await both(sizes, variant);
        expect(one).toEqual(two);
        expect(one.every((bytes) => bytes.some((byte) => byte !== 0))).toBe(true);
      }
  });

  it('leaves alone what workgroups of a folded grid have no columns for', async () => {
    const other = await openGpu({ device: await sharedDevice() });
    Object.assign(other.capabilities, { maxWorkgroupsPerDimension: 8 }); // 30 workgroups become 8 x 4
    for (const output of appendOutputs)
      await expectSolved(other, rotatedMatmulProblem(rotatedSizes[1], output), { variant: 'matvec', bound: 1e-6 });
    other.dispose();
  });

  it('is nothing where the product takes a variant without such an ending, or heads are not of whole workgroups', () => {
    const rec = gpu().record('misfits');
    const attempt = (rows: number, headSize: number, more: object = {}) => {
      const tensor = (label: string, shape: number[], dtype: 'f32' | 'f16' = 'f32') => rec.temp(label, dtype, shape);
      const [keys, values] = ['keys', 'values'].map((label) => tensor(label, [9, 1, headSize]));
      const weight = makeWeight({ label: 'w', format: f32, shape: [4 * headSize, 8] }, (label, dtype, size) =>
        rec.temp(label, dtype, size),
      );
      const args = { x: tensor('x', [rows, 8]), weight, table: tensor('table', [rows, headSize]), keys, values };
      return () => rotatedMatmul(rec, { ...args, heads: 2, outRow: 0, label: 'y', ...more });
    };
    const variant = 'matvec'; // of four columns
    expect(attempt(5, 8)()).toBeUndefined();
    expect(attempt(1, 8, { variant: 'tile' })()).toBeUndefined();
    expect(attempt(1, 6, { variant })()).toBeUndefined();
    expect(attempt(1, 8, { variant: 'matvec 2 of 64' })()).toBeUndefined();
    expect(attempt(1, 12, { variant: 'matvec 8 of 64' })()).toBeUndefined();
    expect(attempt(2, 12, { variant })()?.shape).toEqual([2, 2, 12]);
    expect(attempt(2, 8, { variant, heads: 3 })).toThrow('y: expected [2,40], got [2,32] (in rotatedMatmul y)');
    expect(attempt(2, 8, { variant, outRow: 8 })).toThrow('keys: [9,1,8] has no room for k of y [2,1,8] at row 8');
    expect(attempt(1, 8, { x: rec.temp('x', 'f32', [1, 4]) })).toThrow(
      'x: expected [?,8], got [1,4] (in rotatedMatmul',
    );
    expect(attempt(1, 8, { bias: rec.temp('b', 'f32', [8]) })).toThrow('b: expected [32], got [8]');
    const parts = makeWeight({ label: 'w', format: f32, shape: [32, 8], perPart: 16 }, (label, dtype, size) =>
      rec.temp(label, dtype, size),
    );
    expect(attempt(1, 8, { weight: parts })).toThrow('w: [32,8] is in 2 parts (in rotatedMatmul y)');
  });
});

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
    expect(quad(3, 128)).toEqual({ variant: 'quad', rows: 4, columns: 32, chunk: 1 });
    expect(quad(1, 128)).toMatchObject({ variant: 'matvecSubgroup', rows: 1 });
    expect(quad(60, 128)).toEqual({ variant: 'quad', rows: 16, columns: 32, chunk: 1 });
    expect(quad(256, 128)).toEqual({ variant: 'quad', rows: 16, columns: 32, chunk: 1 });
    expect(quad(512, 128)).toEqual({ variant: 'quad', rows: 32, columns: 32, chunk: 2 });
    expect(quad(256, 1024, 1024)).toEqual({ variant: 'quad', rows: 32, columns: 32, chunk: 2 });
    expect(quad(256, 1028, 1024)).toEqual({ variant: 'quad', rows: 32, columns: 32, chunk: 1 });
  });
  it('shares it among a subgroup there, where all are of one size and wider', () => {
    const of = (rows: number, subgroupMinSize: number, subgroupMaxSize: number) => {
      const problem = { rows, n: 130, k: 128 };
      const plan = chooseMatmul(problem, { ...amd, software: true, subgroupMinSize, subgroupMaxSize });
      return [planName(plan), matmulWorkgroups(plan, problem)];
    };
    expect(of(40, 4, 4)).toEqual(['quad16x32', 15]);
    expect(of(40, 4, 8)).toEqual(['quad16x32', 15]);
    expect(of(40, 8, 8)).toEqual(['broadcast32x64', 6]);
    expect(of(40, 16, 16)).toEqual(['broadcast32x128', 4]);
    expect(of(16, 8, 8)).toEqual(['broadcast16x32', 5]);
    expect(of(3, 64, 64)).toEqual(['broadcast4x64', 3]);
    expect(of(1, 8, 8)).toEqual(['matvecSubgroup1x8', 17]);
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
  it('has the bits of quad in broadcast: both add in one order', async (context) => {
    for (const [rows, k, n] of [
      [3, 20, 37],
      [17, 132, 70],
      [515, 40, 9],
    ]) {
      skipUnlessPossible(context, 'broadcast', rows, k, n);
      const weight = weightOf(gpu(), 'w', [n, k], f32, random(n * k, 3));
      const rec = gpu().record('both ways');
      const x = rec.input('x', 'f32', [rows, k], random(rows * k, 4));
      const [quad, broadcast] = (['quad', 'broadcast'] as const).map((variant) =>
        rec.read(matmul(rec, { x, weight, label: variant, variant })),
      );
      await rec.submit();
      expect(broadcast.f32).toEqual(quad.f32);
      gpu().destroy(...buffersOf(weight));
    }
  });
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

  it('gives rows of a product the bits that they have in the whole', async () => {
    const [count, k, n] = [515, 128, 33];
    const weight = weightOf(gpu(), 'w', [n, k], f32, random(n * k, 1));
    const rec = gpu().record('parts');
    const x = rec.input('x', 'f32', [count, k], random(count * k, 2));
    const whole = rec.read(matmul(rec, { x, weight, label: 'whole' }));
    const parts = [0, 256, 512].map((start) => {
      const part = tensorRows(x, start, Math.min(count, start + 256));
      return rec.read(matmul(rec, { x: part, weight, ofRows: count, label: 'part' }));
    });
    await rec.submit();
    expect(parts.flatMap(({ f32 }) => [...f32])).toEqual([...whole.f32]);
    gpu().destroy(...buffersOf(weight));
  });

  it.each([q8, q4])('reads eight weights of $name at once as it reads four', async (format) => {
    const [n, k] = [7, 96];
    const values = random(n * k, 4);
    const weight = weightOf(gpu(), 'w', [n, k], format, values);
    const stored = Float32Array.from(format.unpack(format.pack(values, [n, k]), [n, k]));
    for (const first of [0, 30, 61]) {
      const rec = gpu().record('columns');
      const x = rec.input(
        'x',
        'f32',
        [4, k],
        Float32Array.from({ length: 4 * k }, (_, i) => +(i % k === first + 8 * Math.floor(i / k))),
      );
      const y = rec.read(matmul(rec, { x, weight, label: 'y', variant: 'matvec' }));
      await rec.submit();
      const expected = Array.from({ length: 4 * n }, (_, i) => stored[(i % n) * k + first + 8 * Math.floor(i / n)] + 0);
      expect([...y.f32]).toEqual(expected);
    }
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
