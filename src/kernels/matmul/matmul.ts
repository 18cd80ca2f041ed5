import type { GpuContext } from '../../gpu/context.ts';
import { ShapeError } from '../../gpu/errors.ts';
import { type Format, formatBytes } from '../../gpu/formats/format.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { type ActivationFunction, activationFlops } from '../activation/activation.wgsl.ts';
import { tunedCandidate } from '../candidates.ts';
import { foldWorkgroups } from '../vectors.ts';
import { baseThreads } from './base.wgsl.ts';
import { candidateObstacle, type MatmulCandidate, matmulCandidateNames, matmulQuestion } from './candidates.ts';
import { chooseMatmul, matmulWgsl, matmulWorkgroups } from './choose.ts';
import { type MatmulTraits, matmulHeader } from './matmul.wgsl.ts';
import type { MatmulPlan, MatmulProblem, MatmulVariant } from './plan.ts';

export type { ActivationFunction } from '../activation/activation.wgsl.ts';
export { type MatmulVariant, matmulVariants } from './plan.ts';

export interface MatmulArgs {
  /** [..., K] f32; the leading dimensions are flattened to M rows. */
  x: Tensor;
  /** [N, K], as HF stores `nn.Linear.weight`. */
  weight: Weight;
  /** [N] f32 */
  bias?: Tensor;
  activation?: ActivationFunction;
  /** [M, N] f32, added after the activation. */
  residual?: Tensor;
  /** [M, N] f32. Default: a temporary. */
  out?: Tensor;
  label: string;
  /** Rows of the product that this is a part of: it takes the kernel of the whole, and has its bits. Default: M. */
  ofRows?: number;
  /** Default: what the device is tuned to, or else what `chooseMatmul` says. */
  variant?: MatmulVariant | MatmulCandidate;
}

/**
 * y = act(x · Wᵀ + bias) + residual, one dispatch for each part of the weight.
 * @returns y, [M, N] f32
 * @throws ShapeError
 */
export function matmul(rec: Recorder, args: MatmulArgs): Tensor {
  const { x, weight, bias, activation, residual, label } = args;
  const where = `matmul ${label}`;
  const [columns, k] = weight.shape;
  expectDType(where, x, 'f32');
  if (x.shape.at(-1) !== k)
    throw new ShapeError(
      `${x.label}: expected [..., ${k}], the columns of ${weight.label} [${weight.shape}], got [${x.shape}] (in ${where})`,
    );
  const rows = elementCount(x.shape.slice(0, -1));
  const y = args.out ?? rec.temp(label, 'f32', [rows, columns]);
  for (const [tensor, shape] of [
    [bias, [columns]],
    [residual, [rows, columns]],
    [y, [rows, columns]],
  ] as const)
    if (tensor) {
      expectDType(where, tensor, 'f32');
      expectShape(where, tensor, shape);
    }
  let firstColumn = 0;
  for (const part of weight.parts) {
    expectShape(where, part, [-1, k]);
    const n = part.shape[0];
    const problem = { rows, n, k };
    const traits = { format: weight.format, bias: !!bias, residual: !!residual, activation };
    const limit = rec.gpu.capabilities.maxWorkgroupsPerDimension;
    const plan = planFor(rec.gpu, { ...problem, rows: args.ofRows ?? rows }, weight.format, args.variant);
    rec.dispatch({
      kernel: `matmul.${planName(plan)} ${weight.format.name}`,
      label,
      code: matmulWgsl(traits, plan),
      bindings: [...[x, ...part.buffers, bias, residual].filter((t) => t !== undefined).map(read), readWrite(y)],
      params: [rows, n, k, columns, firstColumn],
      workgroups: foldWorkgroups(matmulWorkgroups(plan, problem), limit),
      cost: matmulCost(problem, traits),
      header: () => matmulHeader(traits, k % 4 === 0 ? 4 : 1),
      sizes: { rows, n, k, columns, dtype: weight.format.name, activation: activation ?? 'none' },
      plainWorkgroups: foldWorkgroups(Math.ceil((rows * n) / baseThreads), limit),
    });
    firstColumn += n;
  }
  if (firstColumn !== columns)
    throw new ShapeError(`${weight.label}: its parts have ${firstColumn} rows, expected ${columns} (in ${where})`);
  return y;
}

/** @param variant default: what the device is tuned to, or else what `chooseMatmul` says. */
export function planFor(
  gpu: GpuContext,
  problem: MatmulProblem,
  format: Format,
  variant?: MatmulVariant | MatmulCandidate,
): MatmulPlan {
  const { capabilities } = gpu;
  const tuned = () =>
    tunedCandidate(gpu, matmulQuestion(problem, format.name, capabilities), matmulCandidateNames, (name) =>
      candidateObstacle(name, problem, capabilities),
    );
  return chooseMatmul(problem, capabilities, variant ?? tuned());
}

export const planName = (plan: MatmulPlan) =>
  plan.variant === 'base' ? 'base' : `${plan.variant}${plan.rows}x${plan.columns}`;

/** Multiply-adds count two; each operand once through memory, weights as stored. */
function matmulCost({ rows, n, k }: MatmulProblem, { format, bias, residual, activation }: MatmulTraits): Cost {
  const perElement = (bias ? 1 : 0) + (residual ? 1 : 0) + (activation ? activationFlops[activation] : 0);
  return {
    flops: rows * n * (2 * k + perElement),
    bytes: 4 * (rows * k + (bias ? n : 0) + (residual ? 2 : 1) * rows * n) + formatBytes(format, [n, k]),
  };
}
