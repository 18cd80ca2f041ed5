import { describe, expect, it } from 'vitest';
import { headResult, headSum } from '../../src/kernels/head-result/head-result.ts';
import type { DType } from '../../src/kernels/tensor.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded, store, weightOf } from './check.ts';

const gpu = useGpu();

interface Case {
  queries: number;
  heads: number;
  headSize: number;
  dModel: number;
  parts?: number;
}

async function run({ queries, heads, headSize, dModel, parts = 1 }: Case, dtype: DType) {
  const z = random(queries * heads * headSize, 1);
  const values = random(dModel * heads * headSize, 2);
  const weight = weightOf(gpu(), 'o_proj', [dModel, heads * headSize], dtype, values, parts);
  const recorder = gpu().record('head result', { bindToEnd: true });
  const out = guarded(gpu(), 'result', 'f32', [queries, heads, dModel]);
  headResult(recorder, {
    z: recorder.input('z', 'f32', [queries, heads, headSize], z),
    weight,
    label: 'result',
    out,
  });
  const result = await readGuarded(recorder, out);
  gpu().destroy(out, ...weight.parts);
  return { z, w: store(values, dtype).values, result };
}

const cases: Case[] = [
  { queries: 1, heads: 1, headSize: 1, dModel: 1 },
  { queries: 1, heads: 8, headSize: 16, dModel: 128 },
  { queries: 3, heads: 3, headSize: 5, dModel: 7, parts: 3 },
  { queries: 5, heads: 3, headSize: 6, dModel: 65, parts: 3 },
  { queries: 17, heads: 4, headSize: 24, dModel: 97 },
  { queries: 33, heads: 2, headSize: 72, dModel: 33, parts: 2 },
  { queries: 2, heads: 2, headSize: 128, dModel: 256, parts: 5 },
];

describe.each(['f32', 'f16', 'bf16'] as const)('headResult %s', (dtype) => {
  it.each(cases)('%o', async (c) => {
    const { z, w, result } = await run(c, dtype);
    const { queries, heads, headSize, dModel } = c;
    const expected = new Float64Array(queries * heads * dModel);
    for (let t = 0; t < queries; t++)
      for (let h = 0; h < heads; h++)
        for (let n = 0; n < dModel; n++)
          for (let d = 0; d < headSize; d++)
            expected[(t * heads + h) * dModel + n] +=
              z[(t * heads + h) * headSize + d] * w[n * heads * headSize + h * headSize + d];
    expect(nmse(result, expected)).toBeLessThanOrEqual(1e-7);
  });

  it('sums over the heads to the product with the whole matrix', async () => {
    const [queries, heads, headSize, dModel] = [7, 6, 20, 45];
    const { z, w, result } = await run({ queries, heads, headSize, dModel, parts: 2 }, dtype);
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
  it.each([
    [1, 1, 1, true],
    [5, 3, 7, false],
    [17, 4, 64, true],
    [3, 2, 96, false],
  ])('of %i queries, %i heads, width %i, bias %o', async (queries, heads, dModel, biased) => {
    const result = random(queries * heads * dModel, 1);
    const bias = random(dModel, 2);
    const rec = gpu().record('head sum', { bindToEnd: true });
    const out = guarded(gpu(), 'sum', 'f32', [queries, dModel]);
    headSum(rec, {
      result: rec.input('result', 'f32', [queries, heads, dModel], result),
      bias: biased ? rec.input('bias', 'f32', [dModel], bias) : undefined,
      label: 'sum',
      out,
    });
    const expected = Float64Array.from({ length: queries * dModel }, (_, i) => {
      const [t, n] = [Math.floor(i / dModel), i % dModel];
      let sum = biased ? bias[n] : 0;
      for (let h = 0; h < heads; h++) sum += result[(t * heads + h) * dModel + n];
      return sum;
    });
    expect(nmse(await readGuarded(rec, out), expected)).toBeLessThanOrEqual(1e-12);
    gpu().destroy(out);
  });

  it('names what does not fit', () => {
    const rec = gpu().record('misfits');
    const [result, bias] = [rec.temp('result', 'f32', [2, 3, 4]), rec.temp('o.bias', 'f32', [3])];
    expect(() => headSum(rec, { result, bias, label: 'sum' })).toThrow('o.bias: expected [4], got [3] (in head-sum)');
  });
});

describe('headResult', () => {
  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const weight = { label: 'o_proj', dtype: 'f32' as const, shape: [8, 10] as const, parts: [] };
    expect(() => headResult(recorder, { z: recorder.temp('z', 'f32', [2, 3, 4]), weight, label: 'r' })).toThrow(
      'o_proj: expected [?,12], got [8,10] (in head-result)',
    );
  });
});
