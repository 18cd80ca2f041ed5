// What a device may be tuned to: every candidate that can run here computes what the operation computes.
import { describe, expect, it } from 'vitest';
import { DryGpu, guaranteed } from '../../src/gpu/dry-gpu.ts';
import { f32 } from '../../src/gpu/formats/f32.ts';
import { shapeClass, tunedTo } from '../../src/gpu/tuning.ts';
import {
  attentionCandidateNames,
  attentionObstacle,
  attentionQuestion,
} from '../../src/kernels/attention/candidates.ts';
import { attentionProblem } from '../../src/kernels/attention/problem.ts';
import { attentionCase } from '../../src/kernels/attention/reference.ts';
import { candidateObstacle, matmulCandidateNames, matmulQuestion } from '../../src/kernels/matmul/candidates.ts';
import { chooseMatmul } from '../../src/kernels/matmul/choose.ts';
import { matmulProblem } from '../../src/kernels/matmul/problem.ts';
import { vectorWidth } from '../../src/kernels/vectors.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();
const amd = { ...guaranteed, subgroups: true, subgroupMinSize: 64, subgroupMaxSize: 64, maxWorkgroupStorage: 32768 };

describe.each(matmulCandidateNames)('matmul candidate %s', (variant) => {
  it('gives the product at sizes that its tile does not divide', async (context) => {
    const sizes = [
      { m: 3, k: 20, n: 67, format: f32 },
      { m: 131, k: 36, n: 67, format: f32 },
    ].filter(({ m, k, n }) => !candidateObstacle(variant, { rows: m, k, n }, gpu().capabilities));
    context.skip(sizes.length === 0, 'this adapter cannot run it');
    for (const each of sizes) await expectSolved(gpu(), matmulProblem(each), { variant });
  });
});

describe.each(attentionCandidateNames)('attention candidate %s', (variant) => {
  it('gives the heads’ outputs', async (context) => {
    const cases = [
      attentionCase({ queries: 35, heads: 2, kvHeads: 1, headSize: 24, causal: true }),
      attentionCase({ queries: 2, keys: 300, heads: 4, kvHeads: 2, headSize: 24, causal: true }),
    ].filter(
      ({ queries, headSize }) =>
        !attentionObstacle(variant, { queries, headSize, width: vectorWidth(headSize) }, gpu().capabilities),
    );
    context.skip(cases.length === 0, 'this adapter cannot run it');
    for (const c of cases) await expectSolved(gpu(), attentionProblem('attention', c), { variant });
  });
});

describe('a candidate that cannot run', () => {
  const matvec = { rows: 4, n: 64, k: 64 };
  it.each([
    ['matvec 4 of 64', { ...matvec, rows: 5 }, amd, '5 rows of x, more than 4'],
    ['tile 4x4', { ...matvec, k: 63 }, amd, 'K = 63 is no multiple of 4'],
    ['quad 16x32', matvec, amd, 'it is for adapters without a GPU'],
    ['matvecSubgroup 4', matvec, guaranteed, 'the device has no subgroups'],
    ['matvecSubgroup 4', matvec, { ...amd, subgroupMinSize: 32 }, 'the device has subgroups of several sizes'],
    ['workgroup 8x4 of 8x16, 8 deep', matvec, guaranteed, 'the device has less than 18432 bytes of workgroup memory'],
    [
      'workgroup 8x4 of 16x16',
      matvec,
      { ...amd, maxWorkgroupInvocations: 128 },
      'the device has fewer than 256 threads in a workgroup',
    ],
  ] as const)('%s: %o', (name, problem, device, obstacle) => {
    expect(candidateObstacle(name, problem, device)).toBe(obstacle);
    expect(() => chooseMatmul(problem, device, name)).toThrow(`matmul candidate ${name}: ${obstacle}`);
  });

  it('is none of attention either', () => {
    const g = { queries: 17, headSize: 64, width: 4 as const, mask: undefined };
    expect(attentionObstacle('split', g, amd)).toBe('17 queries, more than 16');
    expect(attentionObstacle('quad', g, amd)).toBe('it is for adapters without a GPU');
    expect(attentionObstacle('tile', g, { ...amd, maxWorkgroupInvocations: 32 })).toMatch(/fewer than/);
    expect(attentionObstacle('decode, 128 workgroups', { ...g, queries: 1, mask: 'segments' }, amd)).toMatch(
      /segments/,
    );
  });
});

describe('a tuned device', () => {
  const problem = { rows: 7, n: 67, k: 20 };
  const question = matmulQuestion(problem, 'f32');
  const product = matmulProblem({ m: 7, k: 20, n: 67, format: f32 });
  const c = attentionCase({ queries: 1, keys: 1000, heads: 2, headSize: 16, causal: true });
  const heads = attentionProblem('attention', c);
  const oneQuery = { ...c, width: 4 as const, stored: undefined };

  /** Kernels that a device of these choices records. */
  function kernels(of: typeof product | typeof heads, choices: Parameters<typeof tunedTo>[0], device = amd): string[] {
    const rec = new DryGpu(device, tunedTo(choices)).record('run');
    of.prepare((...tensor) => rec.input(...tensor))(rec);
    return rec.recorded.map(({ kernel, workgroups }) => `${kernel} x ${workgroups[0]}`);
  }
  const forMatmul = (name: string) => ({ matmul: { [shapeClass(question)]: name } });
  const forAttention = (name: string) => ({ attention: { [shapeClass(attentionQuestion(oneQuery))]: name } });

  it('runs what it is tuned to, at shapes of the class', () => {
    expect(kernels(product, {})).toEqual(['matmul.workgroup4x4 f32 x 2']);
    expect(kernels(product, forMatmul('tile 8x4'))).toEqual(['matmul.tile8x4 f32 x 3']);
    const other = matmulProblem({ m: 9, k: 20, n: 67, format: f32 });
    expect(kernels(other, forMatmul('tile 8x4'))).toEqual(['matmul.workgroup4x4 f32 x 2']);
    expect(kernels(heads, {})).toEqual(['attention.decode x 8', 'attention.merge x 1']);
    expect(kernels(heads, forAttention('split'))).toEqual(['attention.split x 1']);
    expect(kernels(heads, forAttention('decode, 128 workgroups'))).toEqual([
      'attention.decode x 8',
      'attention.merge x 1',
    ]);
  });

  it('takes no other answer than a candidate that it has and can run', () => {
    expect(() => kernels(product, forMatmul('rm -rf'))).toThrow(
      /^matmul: the candidate "rm -rf" that the tuning names for it: there is none of that name; there are tile 4x4; .*; tune again \(headlight tune\), or run without \(--no-tuning\)$/,
    );
    expect(() => kernels(product, forMatmul('toString'))).toThrow(/there is none of that name/);
    expect(() => kernels(product, forMatmul('matvec 4 of 64'))).toThrow(/7 rows of x, more than 4; tune again/);
    expect(() => kernels(heads, forAttention('quad'))).toThrow(/it is for adapters without a GPU/);
  });
});
