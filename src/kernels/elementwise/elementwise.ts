import { ShapeError } from '../../gpu/errors.ts';
import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { type ActivationFunction, activationFlops } from '../activation/activation.wgsl.ts';
import { activationBody, addBody, gatedActivationBody, gatherRowsBody, placeColumnsBody } from './elementwise.wgsl.ts';
import { perElement, type Width, widthOf } from './per-element.ts';

interface Common {
  label: string;
  out?: Tensor;
}

/** Elements are read `inputs` times and written once, 4 bytes each. */
const cost = (count: number, inputs: number, flops: number): Cost => ({
  flops: count * flops,
  bytes: 4 * count * (inputs + 1),
});

/** a + b, element by element: the residual stream's sum. Any shape, f32. Throws ShapeError where the shapes differ. */
export function add(
  rec: Recorder,
  { a, b, label, out = rec.temp(label, 'f32', a.shape) }: Common & { a: Tensor; b: Tensor },
) {
  expectAll('add', [a, b, out]);
  const count = elementCount(a.shape);
  return perElement(rec, {
    kernel: 'add',
    label,
    inputs: { a, b },
    out,
    width: widthOf(count),
    count,
    body: addBody,
    cost: cost(count, 2, 1),
  });
}

/** act(x), element by element. Any shape, f32. */
export function activation(
  rec: Recorder,
  {
    x,
    activation: name,
    label,
    out = rec.temp(label, 'f32', x.shape),
  }: Common & { x: Tensor; activation: ActivationFunction },
): Tensor {
  expectAll('activation', [x, out]);
  const count = elementCount(x.shape);
  const width = widthOf(count);
  return perElement(rec, {
    kernel: `activation ${name}`,
    label,
    inputs: { x },
    out,
    width,
    count,
    ...activationBody(name, width),
    cost: cost(count, 1, activationFlops[name]),
  });
}

/** act(gate) * up, element by element (HF `LlamaMLP` before down_proj). Any shape, f32. */
export function gatedActivation(
  rec: Recorder,
  {
    gate,
    up,
    activation: name,
    label,
    out = rec.temp(label, 'f32', gate.shape),
  }: Common & { gate: Tensor; up: Tensor; activation: ActivationFunction },
): Tensor {
  expectAll('gatedActivation', [gate, up, out]);
  const count = elementCount(gate.shape);
  const width = widthOf(count);
  return perElement(rec, {
    kernel: `gatedActivation ${name}`,
    label,
    inputs: { gate, up },
    out,
    width,
    count,
    ...gatedActivationBody(name, width),
    cost: cost(count, 2, activationFlops[name] + 1),
  });
}

/**
 * Rows of a matrix by number, in any order and as often as asked for.
 *
 * @param x [R, D] f32
 * @param rows [n] u32, each below R. The host is to check that; a row that x does not have comes out as zeros.
 * @returns [n, D]
 */
export function gatherRows(rec: Recorder, { x, rows, label, out }: Common & { x: Tensor; rows: Tensor }): Tensor {
  const where = 'gatherRows';
  expectShape(where, x, [-1, -1]);
  expectShape(where, rows, [-1]);
  expectDType(where, x, 'f32');
  expectDType(where, rows, 'u32');
  const [available, columns] = x.shape;
  const shape = [rows.shape[0], columns];
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  const count = elementCount(shape);
  const width = widthOf(columns);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { x, rows },
    out,
    width,
    count,
    params: { available },
    body: gatherRowsBody(columns, width),
    cost: cost(count, 1, 0),
  });
}

/**
 * Matrices side by side, one dispatch each (so that any number of them fits into the bindings of a device).
 *
 * @param parts each [M, D_i] f32
 * @returns [M, Σ D_i]
 */
export function concatColumns(rec: Recorder, { parts, label, out }: Common & { parts: readonly Tensor[] }): Tensor {
  const where = 'concatColumns';
  if (!parts.length) throw new ShapeError(`${label}: no parts (in ${where})`);
  const [height] = parts[0].shape;
  for (const part of parts) {
    expectShape(where, part, [height, -1]);
    expectDType(where, part, 'f32');
  }
  const total = parts.reduce((sum, part) => sum + part.shape[1], 0);
  out ??= rec.temp(label, 'f32', [height, total]);
  expectShape(where, out, [height, total]);
  const width: Width = parts.every((part) => part.shape[1] % 4 === 0) ? 4 : 1;
  let start = 0;
  for (const x of parts) {
    const columns = x.shape[1];
    const count = height * columns;
    const body = placeColumnsBody(columns, start, total, width);
    const sizes = { columns, start, total };
    perElement(rec, { kernel: where, label, inputs: { x }, out, width, count, body, sizes, cost: cost(count, 1, 0) });
    start += columns;
  }
  return out;
}

/** All f32 and of the first one's shape. */
function expectAll(where: string, tensors: readonly Tensor[]): void {
  for (const t of tensors) {
    expectDType(where, t, 'f32');
    expectShape(where, t, tensors[0].shape);
  }
}
