import { ShapeError } from '../../gpu/errors.ts';
import { formatBytes } from '../../gpu/formats/format.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { type ActivationFunction, activationFlops } from '../activation/activation.wgsl.ts';
import { foldWorkgroups } from '../vectors.ts';
import type { MatmulCandidate } from './candidates.ts';
import { matmulWgsl } from './choose.ts';
import { type MatmulVariant, planFor, planName } from './matmul.ts';

export interface GatedMatmulArgs {
  /** [..., K] f32; the leading dimensions are flattened to M rows. */
  x: Tensor;
  /** [2 * N, K] in one part: the gate's N rows above those that it is for. */
  weight: Weight;
  /** [2 * N] f32 */
  bias?: Tensor;
  /** Of the gate. */
  activation: ActivationFunction;
  /** [M, N] f32. Default: a temporary. */
  out?: Tensor;
  label: string;
  /** As of `matmul`. */
  ofRows?: number;
  /** Default: as `matmul` chooses for one half. */
  variant?: MatmulVariant | MatmulCandidate;
}

/**
 * y = act(x · gateᵀ + bias) * (x · upᵀ + bias), what `matmul` twice and `gatedActivation` give, bit for bit, in one dispatch (HF
 * `LlamaMLP` before down_proj). For one row or a few, where launching kernels takes a good part of the time.
 * @returns y, [M, N] f32; nothing where the products take a variant that has no such ending: record the three then.
 * @throws ShapeError
 */
export function gatedMatmul(rec: Recorder, args: GatedMatmulArgs): Tensor | undefined {
  const { x, weight, bias, activation, label, variant } = args;
  const where = `gatedMatmul ${label}`;
  const [height, k] = weight.shape;
  const n = height / 2;
  if (weight.parts.length !== 1 || !Number.isInteger(n))
    throw new ShapeError(
      `${weight.label}: [${weight.shape}] in ${weight.parts.length} parts is no gate and what it is for (in ${where})`,
    );
  expectDType(where, x, 'f32');
  expectShape(where, x, [...x.shape.slice(0, -1), k]);
  const rows = elementCount(x.shape.slice(0, -1));
  const plan = planFor(rec.gpu, { rows: args.ofRows ?? rows, n, k }, weight.format, variant);
  if (plan.variant !== 'matvec' && plan.variant !== 'matvecSubgroup') return undefined;
  const y = args.out ?? rec.temp(label, 'f32', [rows, n]);
  for (const [tensor, shape] of [
    [bias, [height]],
    [y, [rows, n]],
  ] as const)
    if (tensor) {
      expectDType(where, tensor, 'f32');
      expectShape(where, tensor, shape);
    }
  const [{ buffers }] = weight.parts;
  const traits = { format: weight.format, bias: !!bias, residual: false, activation, gated: true };
  const workgroups = Math.ceil(n / (plan.columns / 2));
  rec.dispatch({
    kernel: `gatedMatmul.${planName(plan)} ${weight.format.name}`,
    label,
    code: matmulWgsl(traits, plan),
    bindings: [...[x, ...buffers, bias].filter((t) => t !== undefined).map(read), readWrite(y)],
    params: [rows, n, k, n, 0],
    workgroups: foldWorkgroups(workgroups, rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: {
      flops: rows * n * (4 * k + (bias ? 2 : 0) + activationFlops[activation] + 1),
      bytes: 4 * (rows * k + (bias ? height : 0) + rows * n) + formatBytes(weight.format, weight.shape),
    },
  });
  return y;
}
