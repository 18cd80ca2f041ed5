import { describe, expect, it } from 'vitest';
import { f32 } from '../../src/gpu/formats/f32.ts';
import type { Format } from '../../src/gpu/formats/format.ts';
import { formats } from '../../src/gpu/formats/index.ts';
import { buffersOf } from '../../src/gpu/weight.ts';
import { headResult, headSum } from '../../src/kernels/head-result/head-result.ts';
import {
  type HeadResultSizes,
  headResultProblem,
  headResultSizes,
  headSumProblems,
} from '../../src/kernels/head-result/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, nmse, random, weightOf } from './check.ts';

const gpu = useGpu();

async function run({ queries, heads, headSize, dModel, parts = 1 }: HeadResultSizes, format: Format) {
  const z = random(queries * heads * headSize, 1);
  const values = random(dModel * heads * headSize, 2);
  const shape = [dModel, heads * headSize] as const;
  const weight = weightOf(gpu(), 'o_proj', shape, format, values, parts);
  const recorder = gpu().record('head result');
  const input = recorder.input('z', 'f32', [queries, heads, headSize], z);
  const result = recorder.read(headResult(recorder, { z: input, weight, label: 'result' }));
  await recorder.submit();
  gpu().destroy(...buffersOf(weight));
  return { z, w: format.unpack(format.pack(values, shape), shape), result: result.f32 };
}

describe.each(Object.values(formats))('headResult $name', (format) => {
  const sizes = [
    ...headResultSizes,
    { queries: 33, heads: 2, headSize: 72, dModel: 33, parts: 2 },
    { queries: 33, heads: 4, headSize: 72, dModel: 33, parts: 2 },
    { queries: 2, heads: 2, headSize: 128, dModel: 256, parts: 5 },
  ].filter(({ heads, headSize }) => !format.obstacle(heads * headSize));
  it.each(sizes)('%o', (sizes) => expectSolved(gpu(), headResultProblem(sizes, format)));

  it('sums over the heads to the product with the whole matrix', async () => {
    const [queries, heads, headSize, dModel] = [7, 8, 20, 45];
    const { z, w, result } = await run({ queries, heads, headSize, dModel, parts: 2 }, format);
    const columns = heads * headSize;
    const sums = new Float64Array(queries * dModel);
    const product = new Float64Array(queries * dModel);
    for (let t = 0; t < queries; t++)
      for (let n = 0; n < dModel; n++) {
        for (let h = 0; h < heads; h++) sums[t * dModel + n] += result[(t * heads + h) * dModel + n];
        for (let i = 0; i < columns; i++) product[t * dModel + n] += z[t * columns + i] * w[n * columns + i];
      }
    expect(nmse(sums, product)).toBeLessThanOrEqual(1e-12);
  });
});

describe('headSum', () => {
  it.each(headSumProblems())('of $name', (problem) => expectSolved(gpu(), problem, { bound: 1e-12 }));

  it('names what does not fit', () => {
    const rec = gpu().record('misfits');
    const [result, bias] = [rec.temp('result', 'f32', [2, 3, 4]), rec.temp('o.bias', 'f32', [3])];
    expect(() => headSum(rec, { result, bias, label: 'sum' })).toThrow('o.bias: expected [4], got [3] (in headSum)');
  });
});

describe('headResult', () => {
  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const weight = { label: 'o_proj', format: f32, shape: [8, 10] as const, parts: [] };
    expect(() => headResult(recorder, { z: recorder.temp('z', 'f32', [2, 3, 4]), weight, label: 'r' })).toThrow(
      'o_proj: expected [?,12], got [8,10] (in headResult)',
    );
  });
});
