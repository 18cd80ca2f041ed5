import type { Capabilities } from '../../gpu/capabilities.ts';
import { KernelError } from '../../gpu/errors.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { widthOf } from '../elementwise/per-element.ts';
import { foldWorkgroups } from '../vectors.ts';
import { type NormKind, type NormShader, type NormVariant, normContract, normWgsl } from './norm.wgsl.ts';

interface Common {
  /** [M, D] f32 */
  x: Tensor;
  eps: number;
  label: string;
  out?: Tensor;
  /** Use this variant instead of the one that `chooseNorm` would take. */
  variant?: NormVariant;
}

interface Normalized extends Common {
  /** [D] f32 */
  weight: Tensor;
  /** [M, 1] f32: divide the rows by these, in place of what `normScale` gives. */
  scales?: Tensor;
}

/** Reads and writes each number once: a row stays in the caches between the passes over it. */
export const normCost = (kind: NormKind, rows: number, columns: number): Cost => ({
  flops: rows * columns * (kind === 'layer' ? 8 : 4),
  bytes: 4 * columns * (2 * rows + (kind === 'layer' ? 2 : 1)),
});

/**
 * How to normalise rows of this length on a device: which variant, and how many lanes share a row.
 *
 * Lanes have four elements or more each. Software adapters have no threads to fill and pay for barriers: few lanes. On a GPU a
 * subgroup does rows of up to eight loads a lane and pass; longer ones it would leave waiting for memory, and 256 lanes take
 * them (not measured: no GPU here).
 */
export function chooseNorm(
  columns: number,
  device: Pick<Capabilities, 'software' | 'subgroupMinSize' | 'maxWorkgroupInvocations'>,
): NormVariant {
  const subgroup = device.subgroupMinSize;
  if (subgroup > 0 && (device.software || columns <= 32 * subgroup)) return { reduce: 'subgroup', lanes: subgroup };
  const most = device.software ? 4 : Math.min(256, device.maxWorkgroupInvocations);
  return { reduce: 'workgroup', lanes: Math.min(most, Math.max(4, 2 ** Math.ceil(Math.log2(columns / 4)))) };
}

/**
 * (x - mean) / sqrt(variance + eps) * weight + bias over each row (HF `nn.LayerNorm`).
 *
 * @param bias [D] f32
 * @returns [M, D]
 */
export function layerNorm(rec: Recorder, { weight, bias, scales, ...args }: Normalized & { bias: Tensor }): Tensor {
  return norm(rec, 'layer', scales ? 'rescaled' : 'normalized', [weight, bias], args, scales);
}

/**
 * x / sqrt(mean(x²) + eps) * weight over each row (HF `LlamaRMSNorm`).
 *
 * @returns [M, D]
 */
export function rmsNorm(rec: Recorder, { weight, scales, ...args }: Normalized): Tensor {
  return norm(rec, 'rms', scales ? 'rescaled' : 'normalized', [weight], args, scales);
}

/**
 * What a norm divides each row by (`hook_scale`): sqrt(variance + eps), or sqrt(mean(x²) + eps).
 *
 * @returns [M, 1]
 */
export function normScale(rec: Recorder, { kind, ...args }: Common & { kind: NormKind }): Tensor {
  return norm(rec, kind, 'scale', [], args);
}

function norm(
  rec: Recorder,
  kind: NormKind,
  output: NormShader['output'],
  parameters: readonly Tensor[],
  { x, eps, label, out, variant: forced }: Common,
  scales?: Tensor,
): Tensor {
  const where = output === 'scale' ? 'normScale' : `${kind}Norm`;
  expectShape(where, x, [-1, -1]);
  const [rows, columns] = x.shape;
  for (const p of parameters) expectShape(where, p, [columns]);
  if (scales) expectShape(where, scales, [rows, 1]);
  const inputs = [x, ...parameters, ...(scales ? [scales] : [])];
  const shape = output === 'scale' ? [rows, 1] : x.shape;
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  for (const t of [...inputs, out]) expectDType(where, t, 'f32');
  const { capabilities } = rec.gpu;
  if (forced?.reduce === 'subgroup' && !capabilities.subgroups)
    throw new KernelError(where, `${label}: this adapter has no subgroups; use the workgroup variant`);
  const variant = forced ?? chooseNorm(columns, capabilities);
  const shader = { kind, columns, eps, output, variant, width: widthOf(columns) };
  rec.dispatch({
    kernel: `${where}.${variant.reduce}`,
    label,
    code: normWgsl(shader),
    bindings: [...inputs.map(read), readWrite(out)],
    params: [rows],
    workgroups: foldWorkgroups(rows, capabilities.maxWorkgroupsPerDimension),
    cost: normCost(kind, rows, columns),
    header: () => normContract(shader),
    sizes: { rows, columns, eps },
  });
  return out;
}
