import { describe, expect, it } from 'vitest';
import { type Activation, activationNames } from '../../src/kernels/activation/activation.wgsl.ts';
import { activation, gatedActivation } from '../../src/kernels/elementwise/elementwise.ts';
import { useGpu } from '../gpu.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Φ(x) by its series Φ = ½ + φ(x) Σ x^(2k+1) / (2k+1)!!, and for large |x| by its continued fraction. */
function normalCdf(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (Math.abs(x) < 5) {
    let term = x;
    let sum = 0;
    for (let k = 1; Math.abs(term) > 1e-20; k++) {
      sum += term;
      term *= (x * x) / (2 * k + 1);
    }
    return 0.5 + density * sum;
  }
  let fraction = Math.abs(x);
  for (let k = 60; k >= 1; k--) fraction = Math.abs(x) + k / fraction;
  return x < 0 ? density / fraction : 1 - density / fraction;
}

const reference: Record<Activation, (x: number) => number> = {
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  silu: (x) => x * sigmoid(x),
  relu: (x) => Math.max(x, 0),
  gelu: (x) => x * normalCdf(x),
  gelu_pytorch_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

const counts = [1, 4, 63, 65, 1021];

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

  it.each(counts)('of %i numbers, alone and gated', async (count) => {
    const x = random(count, count).map((v) => 4 * v);
    const up = random(count, count + 1);
    const recorder = gpu().record(name, { bindToEnd: true });
    const gated = guarded(gpu(), 'gated', 'f32', [1, count]);
    const gate = recorder.input('gate', 'f32', [1, count], x);
    gatedActivation(recorder, {
      gate,
      up: recorder.input('up', 'f32', [1, count], up),
      activation: name,
      label: 'gated',
      out: gated,
    });
    const expected = Float64Array.from(x, reference[name]);
    expect(
      nmse(
        await readGuarded(recorder, gated),
        expected.map((v, i) => v * up[i]),
      ),
    ).toBeLessThan(1e-7);

    const again = gpu().record(name, { bindToEnd: true });
    const alone = guarded(gpu(), 'alone', 'f32', [count]);
    activation(again, { x: again.input('x', 'f32', [count], x), activation: name, label: 'alone', out: alone });
    expect(nmse(await readGuarded(again, alone), expected)).toBeLessThan(1e-7);
    gpu().destroy(gated, alone);
  });
});
