import { ShapeError } from '../../gpu/errors.ts';
import { type Cost, floatBits, type Recorder } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { perElement, type Width } from '../elementwise/per-element.ts';
import { editBody, keptRow } from './edit.wgsl.ts';

export { keptRow };

export interface EditArgs {
  /** [R, …] f32 */
  x: Tensor;
  /** [R] u32: for each row the row of `values` that it takes, or `keptRow`. Without `values` any other number. */
  rows: Tensor;
  /** [G] u32, one for each G-th part of a row (a head): 0 leaves it as it is. */
  columns: Tensor;
  /** Multiply what is there; without it, what is there is replaced. */
  scale?: number;
  /** [n, …] f32 with rows as those of x, … */
  values?: Tensor;
  /** … or the same number everywhere; 0 by default. */
  constant?: number;
  label: string;
  out?: Tensor;
}

const editCost = (elements: number): Cost => ({ flops: 2 * elements, bytes: 12 * elements });

/**
 * x with the chosen rows and columns scaled, added to or replaced: what ablating, steering and patching come down to.
 * @returns the shape of x
 * @throws ShapeError
 */
export function edit(rec: Recorder, args: EditArgs): Tensor {
  const { x, rows, columns, scale, values, constant = 0, label } = args;
  const where = 'edit';
  const [count, ...rest] = x.shape;
  const size = elementCount(rest);
  expectShape(where, rows, [count]);
  expectShape(where, columns, [-1]);
  const unit = size / columns.shape[0];
  if (!Number.isInteger(unit))
    throw new ShapeError(`${x.label}: rows of [${rest}] do not split into ${columns.shape[0]} parts (in ${where})`);
  if (values) expectShape(where, values, [-1, ...rest]);
  const out = args.out ?? rec.temp(label, 'f32', x.shape);
  expectShape(where, out, x.shape);
  for (const t of [x, out, ...(values ? [values] : [])]) expectDType(where, t, 'f32');
  for (const t of [rows, columns]) expectDType(where, t, 'u32');
  const width: Width = size % 4 === 0 && unit % 4 === 0 ? 4 : 1;
  const traits = { scaled: scale !== undefined, valued: values !== undefined };
  return perElement(rec, {
    kernel: `edit ${traits.scaled ? 'scale' : 'set'}`,
    label,
    inputs: { x, rows, columns, ...(values && { values }) },
    out,
    width,
    count: count * size,
    params: { scale: floatBits(scale ?? 0), constant: floatBits(constant) },
    sizes: { columns: size, unit, how: traits.scaled ? 'scale' : 'set' },
    body: editBody(size, unit, traits, width),
    cost: editCost(count * size),
  });
}
