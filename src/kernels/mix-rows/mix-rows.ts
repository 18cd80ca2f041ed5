import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { perElement, widthOf } from '../elementwise/per-element.ts';
import { mixRowsBody, taps } from './mix-rows.wgsl.ts';

export { bilinearTaps } from './bilinear.ts';

/**
 * Each row of the output is a weighted sum of four rows of a matrix: bilinear resizing of a feature map, with the taps of
 * `bilinearTaps`.
 *
 * @param x [R, D] f32
 * @param indices [n, 4] u32, rows of x. The host is to check that those with a weight are below R; a row that x does not
 *   have counts as zeros.
 * @param weights [n, 4] f32. A tap of weight 0 adds nothing, whatever its index and x hold.
 * @returns [n, D] f32
 * @throws ShapeError
 */
export function mixRows(
  rec: Recorder,
  { x, indices, weights, label, out }: { x: Tensor; indices: Tensor; weights: Tensor; label: string; out?: Tensor },
): Tensor {
  const where = 'mixRows';
  expectShape(where, x, [-1, -1]);
  expectShape(where, indices, [-1, taps]);
  const [available, columns] = x.shape;
  const [rows] = indices.shape;
  expectShape(where, weights, [rows, taps]);
  out ??= rec.temp(label, 'f32', [rows, columns]);
  expectShape(where, out, [rows, columns]);
  expectDType(where, indices, 'u32');
  for (const t of [x, weights, out]) expectDType(where, t, 'f32');
  const width = widthOf(columns);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { x, indices, weights },
    out,
    width,
    count: elementCount(out.shape),
    params: { available },
    body: mixRowsBody(columns, width),
    cost: mixRowsCost(rows, columns),
  });
}

const mixRowsCost = (rows: number, columns: number): Cost => ({
  flops: 2 * taps * rows * columns,
  bytes: 4 * rows * ((taps + 1) * columns + 2 * taps),
});
