import { ShapeError } from '../../gpu/errors.ts';
import { formatBytes } from '../../gpu/formats/format.ts';
import { formatOf } from '../../gpu/formats/index.ts';
import { type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { type AppendArgs, appendTo } from '../rotary/append.ts';
import { foldWorkgroups } from '../vectors.ts';
import type { MatmulCandidate } from './candidates.ts';
import { type MatmulVariant, planFor, planName } from './matmul.ts';
import { dividesHeads, rotatedMatmulWgsl } from './rotated.wgsl.ts';

export interface RotatedMatmulArgs extends AppendArgs {
  /** [T, K] f32 */
  x: Tensor;
  /** [(heads + 2 * kvHeads) * D, K] in one part: the rows of q above those of k, and those above v's. */
  weight: Weight;
  /** [(heads + 2 * kvHeads) * D] f32 */
  bias?: Tensor;
  /** Default: as `matmul` chooses. */
  variant?: MatmulVariant | MatmulCandidate;
}

/**
 * What `matmul` and `rotateAndAppend` of its rows give, bit for bit, in one dispatch. For one row or a few, where launching kernels takes a
 * good part of the time. It binds 8 storage buffers with q4 and a bias: all that WebGPU grants.
 * @returns q, turned; nothing where the product takes a variant that has no such ending, or heads are not of whole workgroups: record
 *   the two then.
 * @throws ShapeError
 */
export function rotatedMatmul(rec: Recorder, args: RotatedMatmulArgs): Tensor | undefined {
  const { x, weight, bias, table, keys, values, heads, label, variant } = args;
  const where = `rotatedMatmul ${label}`;
  const [n, k] = weight.shape;
  if (weight.parts.length !== 1)
    throw new ShapeError(`${weight.label}: [${weight.shape}] is in ${weight.parts.length} parts (in ${where})`);
  expectDType(where, x, 'f32');
  expectShape(where, x, [-1, k]);
  const [rows] = x.shape;
  if (bias) {
    expectDType(where, bias, 'f32');
    expectShape(where, bias, [n]);
  }
  expectDType(where, keys, 'f32', 'f16', 'bf16');
  expectShape(where, keys, [-1, -1, -1]);
  const plan = planFor(rec.gpu, { rows, n, k }, weight.format, variant);
  if (plan.variant !== 'matvec' && plan.variant !== 'matvecSubgroup') return undefined;
  if (!dividesHeads(plan, keys.shape[2])) return undefined;
  const { q, kvHeads, headSize, place, cost } = appendTo(rec, where, { label, length: rows, columns: n }, args);
  const stored = keys.dtype === 'f32' ? undefined : formatOf(keys);
  const inputs = [x, ...weight.parts[0].buffers, bias, table].filter((t) => t !== undefined);
  rec.dispatch({
    kernel: `rotatedMatmul.${planName(plan)} ${weight.format.name}${stored ? `, ${stored.name} cache` : ''}`,
    label,
    code: rotatedMatmulWgsl({ format: weight.format, bias: !!bias, heads, kvHeads, headSize, stored }, plan),
    bindings: [...inputs.map(read), ...[q, keys, values].map(readWrite)],
    ...place(n, k),
    workgroups: foldWorkgroups(n / plan.columns, rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: {
      flops: rows * n * (2 * k + (bias ? 1 : 0)) + cost.flops,
      bytes: 4 * (rows * k + (bias ? n : 0)) + formatBytes(weight.format, weight.shape) + cost.bytes,
    },
  });
  return q;
}
