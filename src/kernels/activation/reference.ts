import type { ActivationFunction } from './activation.wgsl.ts';

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

/** Activations in float64: what the kernels are compared with. */
export const referenceActivation: Record<ActivationFunction, (x: number) => number> = {
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  silu: (x) => x * sigmoid(x),
  relu: (x) => Math.max(x, 0),
  gelu: (x) => x * normalCdf(x),
  gelu_pytorch_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};
