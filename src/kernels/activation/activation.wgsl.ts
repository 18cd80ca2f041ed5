/**
 * Activations as a WGSL snippet, `fn act(x: f32) -> f32`, for the activation kernels and for matmul epilogues.
 *
 * None overflows on the way (below 1e19), as WGSL leaves open what an infinity does: exponents are clamped, and tanh, which some
 * drivers compute as (e^2x - 1) / (e^2x + 1), is avoided altogether (x (1 + tanh u) / 2 = x sigmoid(2u)). NaN stays NaN.
 *
 * `gelu` is the exact one, x Phi(x). WGSL has no erf; log2(2 Phi(-a)) = -a Q(a) is smooth, so that with a = |x|
 *     x Phi(x) = max(x, 0) - a Phi(-a),  Phi(-a) = 2^(-1 - a Q(a)).
 * Q is a polynomial of degree 7, our own fit (reweighted least squares towards the smallest max |gelu error| on [0, 7]):
 * error 9e-9 in exact arithmetic; 2.5e-7 in f32 on [-12, 12], the rounding of results between 4 and 8. Degree 5 gives 8e-8
 * and saves two multiply-adds, which no profile shows; Abramowitz and Stegun 7.1.26 gives 1.5e-7 with a division.
 */
export type ActivationFunction = 'quick_gelu' | 'gelu' | 'gelu_pytorch_tanh' | 'silu' | 'relu';

const sigmoid = /* wgsl */ `
fn sigmoid(x: f32) -> f32 { return 1.0 / (1.0 + exp(clamp(-x, -87.0, 87.0))); }`;

const bodies: Record<ActivationFunction, string> = {
  quick_gelu: /* wgsl */ `${sigmoid}
fn act(x: f32) -> f32 { return x * sigmoid(1.702 * x); }`,

  silu: /* wgsl */ `${sigmoid}
fn act(x: f32) -> f32 { return x * sigmoid(x); }`,

  relu: /* wgsl */ `
fn act(x: f32) -> f32 { return select(x, 0.0, x < 0.0); }`,

  // 2 sqrt(2 / pi) (x + 0.044715 x^3)
  gelu_pytorch_tanh: /* wgsl */ `${sigmoid}
fn act(x: f32) -> f32 { return x * sigmoid(x * (1.5957691216057308 + 0.07135481627159513 * x * x)); }`,

  gelu: /* wgsl */ `
fn act(x: f32) -> f32 {
  let a = min(abs(x), 14.0); // Phi(-14) is below the smallest f32
  var q = 1.902036842693633e-06;
  q = q * a - 2.805660005833488e-05;
  q = q * a + 0.00013147160643711686;
  q = q * a + 0.0002720796619541943;
  q = q * a - 0.007245426531881094;
  q = q * a + 0.05262761563062668;
  q = q * a + 0.4591621458530426;
  q = q * a + 1.1511110067367554;
  return max(x, 0.0) - abs(x) * exp2(max(-1.0 - a * q, -126.0));
}`,
};

export const activationNames = Object.keys(bodies) as ActivationFunction[];

/** WGSL that defines `fn act(x: f32) -> f32`. HF's `hidden_act` names; `gelu` is the erf form, as in HF. */
export const activationWgsl = (name: ActivationFunction): string => bodies[name];

/** Floating-point operations of one evaluation, for cost models: an exponential counts as one. */
export const activationFlops: Record<ActivationFunction, number> = {
  quick_gelu: 5,
  silu: 4,
  relu: 1,
  gelu_pytorch_tanh: 8,
  gelu: 20,
};
