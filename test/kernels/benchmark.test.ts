import { describe, expect, it } from 'vitest';
import { kernelBenchmarks, median, runKernelBenchmarks } from '../../src/kernels/benchmark.ts';
import type { BenchmarkGroup } from '../../src/kernels/benchmarks/group.ts';
import { add } from '../../src/kernels/elementwise/elementwise.ts';
import { useGpu } from '../gpu.ts';
import { nmse } from './check.ts';

const gpu = useGpu();
const count = 1000;
const a = new Float32Array(count).map((_, i) => i);

/** a + a two ways, the second in two dispatches; and a mistake. */
const group = (mistake: boolean, flops = count): BenchmarkGroup => ({
  name: 'double [1000]',
  flops,
  prepare: (gpu) => {
    const x = gpu.tensor('x', 'f32', [count], a);
    const zero = gpu.tensor('zero', 'f32', [count]);
    return {
      tensors: [x, zero],
      candidates: {
        once: (rec) => add(rec, { a: x, b: x, label: 'once' }),
        twice: (rec) => add(rec, { a: add(rec, { a: x, b: zero, label: 'copy' }), b: x, label: 'twice' }),
        ...(mistake && { wrong: (rec) => add(rec, { a: x, b: zero, label: 'wrong' }) }),
      },
      baseline: 'once',
      error: (y) =>
        nmse(
          y,
          a.map((v) => 2 * v),
        ),
    };
  },
});

describe('runKernelBenchmarks', () => {
  it('times the candidates of a group and compares them', async () => {
    const { rows, roofline, leftOut, software } = await runKernelBenchmarks(gpu(), {
      groups: [group(false)],
      rounds: 3,
    });
    expect(rows.map((r) => r.candidate)).toEqual(['once', 'twice']);
    expect(software).toBe(gpu().capabilities.software);
    expect(leftOut).toEqual([]);
    const [once, twice] = rows;
    expect(once.speedup).toBe(1);
    expect(twice.speedup).toBeCloseTo(once.milliseconds / twice.milliseconds);
    expect(once.gflops).toBeCloseTo(count / once.milliseconds / 1e6, 6);
    expect(once.fastest).toBeLessThanOrEqual(once.milliseconds);
    expect(once.slowest).toBeGreaterThanOrEqual(once.milliseconds);
    expect(once.rooflineShare).toBeCloseTo(Math.max(once.gflops / roofline.gflops, once.gbps / roofline.gbps), 6);
  });

  it('refuses to time a kernel that is wrong', async () => {
    const run = runKernelBenchmarks(gpu(), { groups: [group(true)], rounds: 1 });
    await expect(run).rejects.toThrow(/^wrong: double \[1000\]: NMSE 0\.25 exceeds 1e-7; a wrong kernel is not timed/);
  });

  it('names what is too large for a software adapter', async (context) => {
    context.skip(!gpu().capabilities.software, 'the adapter is a GPU');
    const { rows, leftOut } = await runKernelBenchmarks(gpu(), { groups: [group(false, 1e12)], rounds: 1 });
    expect(rows).toEqual([]);
    expect(leftOut).toEqual(['double [1000]']);
  });

  it('has a table of groups with names of their own', () => {
    const names = kernelBenchmarks.map((g) => g.name);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('matmul [256,1024] x [1024,1024] f32');
  });
});

describe('median', () => {
  it('takes the middle', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });
});
