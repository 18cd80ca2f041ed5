import { describe, expect, it } from 'vitest';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import { type CustomKernel, kernelOps } from '../../src/kernels/custom/kernels.ts';
import { add } from '../../src/kernels/elementwise/elementwise.ts';
import { kernelBenchmarks, median, runKernelBenchmarks } from '../../src/verify/benchmark.ts';
import { type BenchmarkGroup, groupName, type Run } from '../../src/verify/benchmarks/group.ts';
import { useGpu } from '../gpu.ts';
import { nmse } from '../kernels/check.ts';

const gpu = useGpu();
const count = 1000;
const a = new Float32Array(count).map((_, i) => i);

/** a + a two ways, the second in two dispatches; and a mistake. */
const group = (mistake: boolean, flops = count, byDefault = false): BenchmarkGroup => ({
  op: 'double',
  sizes: '[1000]',
  flops,
  prepare: (gpu) => {
    const x = gpu.tensor('x', 'f32', [count], a);
    const zero = gpu.tensor('zero', 'f32', [count]);
    const once: Run = (rec, options) => add(rec, { a: x, b: x, label: 'once', ...options });
    return {
      tensors: [x, zero],
      candidates: {
        ...(byDefault ? { default: once } : { once }),
        twice: (rec, options) =>
          add(rec, { a: add(rec, { a: x, b: zero, label: 'copy' }), b: x, label: 'twice', ...options }),
        ...(mistake && { wrong: (rec, options) => add(rec, { a: x, b: zero, label: 'wrong', ...options }) }),
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
    const { rows, roofline, leftOut, adapter, rounds, clock } = await runKernelBenchmarks(gpu(), {
      groups: [group(false)],
      rounds: 3,
    });
    expect(rows.map((r) => r.candidate)).toEqual(['once', 'twice']);
    expect(gpu().capabilities).toMatchObject(adapter);
    expect(rounds).toBe(3);
    expect(clock).toBe(adapter.software ? 'wall' : 'timestamps');
    expect(leftOut).toEqual([]);
    const [once, twice] = rows;
    expect(once.speedup).toBe(1);
    expect(twice.speedup).toBeCloseTo(once.milliseconds / twice.milliseconds);
    expect(once).toMatchObject({ flops: count, bytes: 3 * 4 * count });
    expect(once.gflops).toBeCloseTo(count / once.milliseconds / 1e6, 6);
    expect(once.fastest).toBeLessThanOrEqual(once.milliseconds);
    expect(once.slowest).toBeGreaterThanOrEqual(once.milliseconds);
    expect(once.rooflineShare).toBeCloseTo(Math.max(once.gflops / roofline.gflops, once.gbps / roofline.gbps), 6);
  });

  it('refuses to time a kernel that is wrong', async () => {
    const run = runKernelBenchmarks(gpu(), { groups: [group(true)], rounds: 1 });
    await expect(run).rejects.toThrow(/^wrong: double \[1000\]: NMSE 0\.250 exceeds 1e-7; a wrong kernel is not timed/);
  });

  it('times kernels of the user’s own beside ours, in the groups of their operation and masks alone', async () => {
    const wgsl =
      '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) { if (id.x < params.count) { out[id.x] = a[id.x] + b[id.x]; } }';
    const kernels = { add: { name: 'mine.wgsl', wgsl, labels: 'elsewhere' } };
    const groups = [
      { ...group(false, count, true), op: 'add' },
      { ...group(false), op: 'matmul' },
    ];
    const { rows } = await runKernelBenchmarks(gpu(), { groups, rounds: 1, kernels });
    expect(rows.map((r) => [r.op, r.sizes, r.candidate, r.kernels])).toEqual([
      ['add', '[1000]', 'default', 'add'],
      ['add', '[1000]', 'mine.wgsl', 'add mine.wgsl'],
    ]);
    expect(rows[1].speedup).toBeCloseTo(rows[0].milliseconds / rows[1].milliseconds);
    const wrong = { add: { name: 'wrong.wgsl', wgsl: wgsl.replace('+', '*') } };
    await expect(runKernelBenchmarks(gpu(), { groups, rounds: 1, kernels: wrong })).rejects.toThrow(
      /^wrong\.wgsl: add \[1000\]: NMSE .* a wrong kernel is not timed/,
    );
    const masked = [{ ...group(false), op: 'attention', mask: 'full' as const }];
    const attention = { name: 'mine.wgsl', wgsl, masks: ['causal' as const] };
    const left = await runKernelBenchmarks(gpu(), { groups: masked, rounds: 1, kernels: { attention } });
    expect(left).toMatchObject({ rows: [], notForKernel: ['attention [1000]'] });
  });

  it('measures against a roofline that is known, and is ended by a signal between two turns', async () => {
    const roofline = { gflops: 2, gbps: 3 };
    const told: string[] = [];
    const one = { groups: [group(false)], rounds: 1, roofline };
    const result = await runKernelBenchmarks(gpu(), { ...one, onProgress: (message) => told.push(message) });
    expect(result.roofline).toEqual(roofline);
    expect(told).toEqual(['double [1000]']);
    const controller = new AbortController();
    let looks = 0;
    const cpuTime = () => {
      if (++looks === 2) controller.abort(new Error('enough')); // at the end of its first turn
      return performance.now();
    };
    const run = runKernelBenchmarks(gpu(), { ...one, rounds: 50, cpuTime, signal: controller.signal });
    await expect(run).rejects.toThrow('enough');
    expect(looks).toBe(2);
  });

  it('names what is too large for a software adapter', async (context) => {
    context.skip(!gpu().capabilities.software, 'the adapter is a GPU');
    const { rows, leftOut } = await runKernelBenchmarks(gpu(), { groups: [group(false, 1e12)], rounds: 1 });
    expect(rows).toEqual([]);
    expect(leftOut).toEqual(['double [1000]']);
  });

  it.each(kernelOps)('has a group of %s that software takes, for a kernel of the user’s own too', async (op) => {
    const [smallest] = kernelBenchmarks.filter((g) => g.op === op).sort((a, b) => a.flops - b.flops);
    const wgsl = (ours: Dispatch) => ours.code;
    const kernel: CustomKernel = { name: 'mine.wgsl', wgsl, workgroups: (ours) => ours.workgroups };
    const { rows } = await runKernelBenchmarks(gpu(), { groups: [smallest], rounds: 1, kernels: { [op]: kernel } });
    expect(rows.map((row) => row.candidate)).toEqual(['default', 'mine.wgsl']);
  });

  it('does not take what another candidate left in memory for an answer', async () => {
    const groups = [{ ...group(false, count, true), op: 'add' }];
    const add = { name: 'nothing.wgsl', wgsl: '@compute @workgroup_size(1) fn main() {}' };
    await expect(runKernelBenchmarks(gpu(), { groups, rounds: 1, kernels: { add } })).rejects.toThrow(
      'nothing.wgsl: add [1000]: it leaves a part of the output unwritten; a wrong kernel is not timed',
    );
  });

  it('has a table of groups with names of their own', () => {
    const names = kernelBenchmarks.map(groupName);
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
