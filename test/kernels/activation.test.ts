import { describe, expect, it } from 'vitest';
import { activationNames } from '../../src/kernels/activation/activation.wgsl.ts';
import { referenceActivation as reference } from '../../src/kernels/activation/reference.ts';
import { activation } from '../../src/kernels/elementwise/elementwise.ts';
import { activationProblem, gatedActivationProblem } from '../../src/kernels/elementwise/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved } from './check.ts';

const gpu = useGpu();

describe.each(activationNames)('%s', (name) => {
  // The rounding of results, 2^-24 of them, plus 1e-7 for exp(): WGSL allows it more than that, SwiftShader needs less.
  it('is within 1e-7 + 2^-22 |y| from -30 to 30', async () => {
    const x = Float32Array.from({ length: 6001 }, (_, i) => (i - 3000) / 100);
    const recorder = gpu().record(name);
    const y = recorder.read(
      activation(recorder, { x: recorder.input('x', 'f32', [x.length], x), activation: name, label: 'act' }),
    );
    await recorder.submit();
    for (const [i, value] of y.f32.entries()) {
      const expected = reference[name](x[i]);
      expect(Math.abs(value - expected), `at ${x[i]}`).toBeLessThan(1e-7 + Math.abs(expected) * 2 ** -22);
    }
  });

  it('neither overflows nor hides a NaN', async () => {
    const x = new Float32Array([1e12, -1e12, -88, -1000, 0, Number.NaN]);
    const recorder = gpu().record(name);
    const y = recorder.read(
      activation(recorder, { x: recorder.input('x', 'f32', [x.length], x), activation: name, label: 'act' }),
    );
    await recorder.submit();
    expect(y.f32[0]).toBeCloseTo(x[0]);
    for (const i of [1, 2, 3, 4]) expect(y.f32[i]).toBeCloseTo(0, 12);
    expect(y.f32[5]).toBeNaN();
  });

  it.each([1, 4, 63, 65, 1021])('of %i numbers, alone and gated', async (count) => {
    await expectSolved(gpu(), activationProblem(name, [count]));
    await expectSolved(gpu(), gatedActivationProblem(name, [1, count]));
  });
});
