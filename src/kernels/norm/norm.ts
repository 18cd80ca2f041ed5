import { grid } from '../elementwise/per-element.ts';
import { type Cost, type Recorder, read, readWrite } from '../recorder.ts';
import { expectDType, expectShape, type Tensor } from '../tensor.ts';
import { type NormKind, normWgsl } from './norm.wgsl.ts';

interface Common {
  /** [M, D] f32 */
  x: Tensor;
  eps: number;
  label: string;
  out?: Tensor;
}

/** Reads and writes each number once: a row stays in the caches between the passes over it. */
export const normCost = (kind: NormKind, rows: number, columns: number): Cost => ({
  flops: rows * columns * (kind === 'layer' ? 8 : 4),
  bytes: 4 * columns * (2 * rows + (kind === 'layer' ? 2 : 1)),
});

/** Invocations per row: four numbers each, from 16 to 256. */
export const normWorkgroup = (columns: number, maxInvocations: number): number =>
  Math.min(maxInvocations, 256, Math.max(16, 2 ** Math.ceil(Math.log2(columns / 4))));

/**
 * (x - mean) / sqrt(variance + eps) * weight + bias over each row (HF `nn.LayerNorm`).
 *
 * @param weight [D] f32
 * @param bias [D] f32
 * @returns [M, D]
 */
export function layerNorm(rec: Recorder, { weight, bias, ...args }: Common & { weight: Tensor; bias: Tensor }): Tensor {
  return norm(rec, 'layer', 'normalized', [weight, bias], args);
}

/**
 * x / sqrt(mean(x²) + eps) * weight over each row (HF `LlamaRMSNorm`).
 *
 * @param weight [D] f32
 * @returns [M, D]
 */
export function rmsNorm(rec: Recorder, { weight, ...args }: Common & { weight: Tensor }): Tensor {
  return norm(rec, 'rms', 'normalized', [weight], args);
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
  output: 'normalized' | 'scale',
  parameters: readonly Tensor[],
  { x, eps, label, out }: Common,
): Tensor {
  const where = output === 'scale' ? 'normScale' : `${kind}Norm`;
  expectShape(where, x, [-1, -1]);
  const [rows, columns] = x.shape;
  for (const p of parameters) expectShape(where, p, [columns]);
  const shape = output === 'scale' ? [rows, 1] : x.shape;
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  for (const t of [x, ...parameters, out]) expectDType(where, t, 'f32');
  const { maxWorkgroupInvocations, maxWorkgroupsPerDimension } = rec.gpu.capabilities;
  const workgroup = normWorkgroup(columns, maxWorkgroupInvocations);
  rec.dispatch({
    kernel: where,
    label,
    code: normWgsl({ kind, columns, eps, output, workgroup }),
    bindings: [read(x), ...parameters.map(read), readWrite(out)],
    params: [rows],
    workgroups: grid(rows, maxWorkgroupsPerDimension),
    cost: normCost(kind, rows, columns),
  });
  return out;
}
