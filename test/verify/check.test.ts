import { describe, expect, it } from 'vitest';
import entropy from '../../docs/examples/kernels/entropy.ts';
import slidingWindow from '../../docs/examples/kernels/sliding-window.ts';
import temperature from '../../docs/examples/kernels/temperature-softmax.ts';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import type { KernelError } from '../../src/gpu/errors.ts';
import { type AttentionKernel, type Kernels, kernelOps } from '../../src/kernels/custom/kernels.ts';
import { checkKernels } from '../../src/verify/check.ts';
import { errorOf } from '../../src/verify/solve.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const nothing = '@compute @workgroup_size(1) fn main() {}';
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

  it('knows the lines of the source where something is wrong, and ends when it is told', async () => {
    const main = '@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u)';
    const placesOf = async (wgsl: string) => {
      const error = await checkKernels(gpu(), { add: { name: 'mine.wgsl', wgsl } }).catch((e: KernelError) => e);
      return (error as KernelError).places.map(({ line, column }) => [line, column]);
    };
    expect(await placesOf(`enable subgroups;\n${main} {\n  let x = ;\n}\nfn f() {\n  let y = ;\n}`)).toEqual([
      [3, 11],
      [6, 11],
    ]);
    const far = `\n@group(0) @binding(7) var<storage, read_write> far: array<f32>;\n${main} { far[0] = 1.0; }`;
    expect(await placesOf(far)).toEqual([[2, 1]]);
    const signal = AbortSignal.abort();
    const add = { name: 'mine.wgsl', wgsl: `${main} {}` };
    await expect(checkKernels(gpu(), { add }, { signal })).rejects.toBe(signal.reason);
  });

  it('takes nothing less than the very numbers of what only moves them', async () => {
    const wgsl = (ours: Dispatch) => ours.code.replace(/out\[i\] = ([^;]+);/g, 'out[i] = ($1) * 1.0000002;');
    const { rows } = await checkKernels(gpu(), { gatherRows: { name: 'nearly.wgsl', wgsl } });
    for (const { failure } of rows) expect(failure).toMatch(/^NMSE \S+ exceeds 0: it is to give the very numbers$/);
  });

  it('holds marks of what is masked apart from numbers', () => {
    const expected = [-3.4028234663852886e38, 2, 3];
    const error = (...found: number[]) => errorOf(found, (i) => expected[i]);
    expect(error(-3.4028234663852886e38, 2, 3)).toBe(0);
    expect(error(-3.4028234663852886e38, 2, 3.1)).toBeCloseTo(0.01 / 13);
    expect(error(-3.4e38, 2, 3)).toBeNaN();
  });

  describe.each(kernelOps)('of %s', (op) => {
    const kernel = {
      name: 'mine.wgsl',
      wgsl: (ours: Dispatch) => ours.code,
      workgroups: (ours: Dispatch) => ours.workgroups,
    };
    it('passes our own text', async () => {
      const { passed, rows } = await checkKernels(gpu(), { [op]: kernel });
      expect(rows.filter((row) => row.failure)).toEqual([]);
      expect(passed).toBe(true);
      expect(rows.length).toBeGreaterThanOrEqual(4);
    });
    it('finds one that does nothing', async () => {
      const { rows } = await checkKernels(gpu(), { [op]: { name: 'mine.wgsl', wgsl: nothing } });
      expect(rows.filter((row) => !row.failure)).toEqual([]);
    });
  });
});
