import { describe, expect, it } from 'vitest';
import entropy from '../../../docs/examples/kernels/entropy.ts';
import slidingWindow from '../../../docs/examples/kernels/sliding-window.ts';
import temperature from '../../../docs/examples/kernels/temperature-softmax.ts';
import { checkKernels } from '../../../src/kernels/custom/check.ts';
import type { AttentionKernel, Kernels } from '../../../src/kernels/custom/kernels.ts';
import { problems } from '../../../src/kernels/custom/problems.ts';
import { guarded, runGuarded } from '../../../src/kernels/guard.ts';
import { useGpu } from '../../gpu.ts';

const gpu = useGpu();
const of = (kernels: Kernels) => kernels.attention as AttentionKernel;

describe('checkKernels', () => {
  it.each([
    ['entropy.wgsl', entropy],
    ['sliding-window.wgsl', slidingWindow],
    ['temperature-softmax.wgsl', temperature],
  ])('passes %s', async (_, kernels) => {
    const { passed, rows } = await checkKernels(gpu(), kernels);
    expect(rows.filter((row) => row.failure)).toEqual([]);
    expect(passed).toBe(true);
    expect(rows.length).toBeGreaterThanOrEqual(10);
  });

  it('looks at what a kernel says that it computes, extras too', async () => {
    const { reference, ...undeclared } = of(temperature);
    expect((await checkKernels(gpu(), { attention: undeclared })).passed).toBe(false);
    const wrong = { ...of(entropy), reference: { extras: { entropy: () => [0.1] } } };
    const { rows } = await checkKernels(gpu(), { attention: wrong });
    expect(rows.every((row) => row.failure?.startsWith('NMSE'))).toBe(true);
  });

  it('finds a kernel that writes too much or too little', async () => {
    const main = '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u)';
    const add = (wgsl: string) => ({ add: { name: 'mine.wgsl', wgsl } });
    const over = await checkKernels(gpu(), add(`${main} { out[id.x] = a[id.x] + b[id.x]; }`));
    expect(over.rows.find((row) => row.problem === '[7,33]')?.failure).toBe('it writes past the end of the output');
    const under = await checkKernels(
      gpu(),
      add(`${main} { if (id.x + 1 < params.count) { out[id.x] = a[id.x] + b[id.x]; } }`),
    );
    expect(under.rows.every((row) => row.failure === 'it leaves a part of the output unwritten')).toBe(true);
    const right = await checkKernels(
      gpu(),
      add(`${main} { if (id.x < params.count) { out[id.x] = a[id.x] + b[id.x]; } }`),
    );
    expect(right.passed).toBe(true);
  });

  it('says which operations have a reference', async () => {
    const splice = { name: 'mine.wgsl', wgsl: 'fn f() {}' };
    await expect(checkKernels(gpu(), { splice })).rejects.toThrow(
      /^splice: no reference to check it with; there is one of attention, matmul/,
    );
  });
});

describe('problems', () => {
  const all = Object.entries(problems).flatMap(([op, table]) => table().map((p) => [`${op}: ${p.name}`, p] as const));
  it.each(all)('%s is what our kernel gives', async (_, problem) => {
    const rec = gpu().record('ours', { bindToEnd: true });
    const out = guarded(gpu(), 'out', 'f32', problem.shape);
    problem.record(rec, out);
    const { content, overrun, unwritten } = await runGuarded(rec, out);
    gpu().destroy(out);
    expect({ overrun, unwritten }).toEqual({ overrun: false, unwritten: false });
    const expected = problem.expected().out;
    let [error, power] = [0, 0];
    for (let i = 0; i < content.length; i++) {
      error += (content[i] - expected[i]) ** 2;
      power += expected[i] ** 2;
    }
    expect(error / power).toBeLessThanOrEqual(1e-7);
  });
});
