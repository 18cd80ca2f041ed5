import type { Capabilities } from '../../gpu/capabilities.ts';
import { KernelError, ShapeError } from '../../gpu/errors.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { widthOf } from '../elementwise/per-element.ts';
import { foldWorkgroups } from '../vectors.ts';
import { type ArgmaxVariant, argmaxContract, argmaxWgsl } from './argmax.wgsl.ts';

export const argmaxCost = (rows: number, columns: number): Cost => ({
  flops: rows * columns,
  bytes: 4 * rows * (columns + 1),
});

/** Many lanes for the one long row of a decoding step; few, and no barrier, where software runs them (argmax.wgsl.ts). */
export function chooseArgmax(
  device: Pick<Capabilities, 'software' | 'subgroupMinSize' | 'maxWorkgroupInvocations'>,
): ArgmaxVariant {
  if (!device.software) return { reduce: 'workgroup', lanes: Math.min(256, device.maxWorkgroupInvocations) };
  if (device.subgroupMinSize > 0) return { reduce: 'subgroup', lanes: device.subgroupMinSize };
  return { reduce: 'workgroup', lanes: 4 };
}

/**
 * The index of the largest number of each row: the next token of greedy decoding. Of equal elements the first one counts,
 * -0 and +0 are equal, and NaN is larger than every number, all as in `torch.argmax`. Where the largest is NaN or infinite, the
 * index has `notFiniteFlag` set: nobody else sees the elements.
 *
 * @param x [M, V] f32
 * @param variant use this one instead of `chooseArgmax`'s
 * @returns [M] u32
 */
export function argmax(
  rec: Recorder,
  { x, label, out, variant }: { x: Tensor; label: string; out?: Tensor; variant?: ArgmaxVariant },
): Tensor {
  const where = 'argmax';
  expectShape(where, x, [-1, -1]);
  expectDType(where, x, 'f32');
  const [rows, columns] = x.shape;
  if (columns === 0) throw new ShapeError(`${x.label}: [${x.shape}] has no columns (in ${where})`);
  out ??= rec.temp(label, 'u32', [rows]);
  expectShape(where, out, [rows]);
  expectDType(where, out, 'u32');
  const { capabilities } = rec.gpu;
  if (variant?.reduce === 'subgroup' && !capabilities.subgroups)
    throw new KernelError(where, `${label}: this adapter has no subgroups; use the workgroup variant`);
  variant ??= chooseArgmax(capabilities);
  rec.dispatch({
    kernel: `argmax.${variant.reduce}`,
    label,
    code: argmaxWgsl(columns, variant, widthOf(columns)),
    bindings: [read(x), readWrite(out)],
    params: [rows],
    workgroups: foldWorkgroups(rows, capabilities.maxWorkgroupsPerDimension),
    cost: argmaxCost(rows, columns),
    header: () => argmaxContract(columns, widthOf(columns)),
    sizes: { rows, columns },
  });
  return out;
}
