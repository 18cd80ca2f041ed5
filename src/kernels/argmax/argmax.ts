import { grid } from '../elementwise/per-element.ts';
import { ShapeError } from '../errors.ts';
import { type Cost, type Recorder, read, readWrite } from '../recorder.ts';
import { expectDType, expectShape, type Tensor } from '../tensor.ts';
import { argmaxWgsl } from './argmax.wgsl.ts';

export const argmaxCost = (rows: number, columns: number): Cost => ({
  flops: rows * columns,
  bytes: 4 * rows * (columns + 1),
});

/**
 * The index of the largest number of each row: the next token of greedy decoding. Of equal numbers the first one counts,
 * -0 and +0 are equal, and NaN is larger than every number, all as in `torch.argmax`.
 *
 * @param x [M, V] f32
 * @returns [M] u32
 */
export function argmax(rec: Recorder, { x, label, out }: { x: Tensor; label: string; out?: Tensor }): Tensor {
  const where = 'argmax';
  expectShape(where, x, [-1, -1]);
  expectDType(where, x, 'f32');
  const [rows, columns] = x.shape;
  if (columns === 0) throw new ShapeError(`${x.label}: [${x.shape}] has no columns (in ${where})`);
  out ??= rec.temp(label, 'u32', [rows]);
  expectShape(where, out, [rows]);
  expectDType(where, out, 'u32');
  rec.dispatch({
    kernel: where,
    label,
    code: argmaxWgsl(columns, 128),
    bindings: [read(x), readWrite(out)],
    params: [rows],
    workgroups: grid(rows, rec.gpu.capabilities.maxWorkgroupsPerDimension),
    cost: argmaxCost(rows, columns),
  });
  return out;
}
