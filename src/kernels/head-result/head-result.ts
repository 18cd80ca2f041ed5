import { type Format, formatBytes } from '../../gpu/formats/format.ts';
import { type Cost, type Recorder, read, readWrite } from '../../gpu/recorder.ts';
import { elementCount, expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { cachedText } from '../cached-text.ts';
import { perElement, widthOf } from '../elementwise/per-element.ts';
import { vectorWidth } from '../vectors.ts';
import { headResultContract, headResultWgsl, headSumBody, queriesPerThread } from './head-result.wgsl.ts';

const text = cachedText(headResultWgsl);

/**
 * What each head adds to the residual stream, hook_result: result[t, h, :] = W_O[:, h*D:(h+1)*D] · z[t, h, :].
 * Without bias: Σ_h result + b_O = hook_attn_out.
 * @param args.z [T, H, D] f32
 * @param args.weight W_O [dModel, H * D]
 * @returns [T, H, dModel] f32
 * @throws ShapeError
 */
export function headResult(rec: Recorder, args: { z: Tensor; weight: Weight; label: string; out?: Tensor }): Tensor {
  const { z, weight, label } = args;
  const where = 'headResult';
  expectDType(where, z, 'f32');
  expectShape(where, z, [-1, -1, -1]);
  const [queries, heads, headSize] = z.shape;
  expectShape(where, weight, [-1, heads * headSize]);
  const dModel = weight.shape[0];
  const result = args.out ?? rec.temp(label, 'f32', [queries, heads, dModel]);
  expectDType(where, result, 'f32');
  expectShape(where, result, [queries, heads, dModel]);
  const shape = { heads, headSize, dModel, format: weight.format, width: vectorWidth(headSize) };
  const code = text(shape);
  let firstRow = 0;
  for (const part of weight.parts) {
    const rows = part.shape[0];
    rec.dispatch({
      kernel: `headResult ${weight.format.name}`,
      label,
      code,
      bindings: [read(z), ...part.buffers.map(read), readWrite(result)],
      params: [queries, firstRow, rows],
      workgroups: [Math.ceil(rows / 64), Math.ceil(queries / queriesPerThread), heads],
      cost: headResultCost(queries, heads, headSize, rows, weight.format),
      header: () => headResultContract(shape),
      sizes: { queries, heads, headSize, dModel, dtype: weight.format.name },
    });
    firstRow += rows;
  }
  return result;
}

const headResultCost = (queries: number, heads: number, headSize: number, rows: number, format: Format): Cost => ({
  flops: 2 * queries * heads * headSize * rows,
  bytes: 4 * queries * heads * (headSize + rows) + formatBytes(format, [rows, heads * headSize]),
});

/**
 * What results of heads add up to: Σ_h result[t, h, :] + bias. It stands for o_proj where edits have changed the results.
 * @param args.result [T, H, dModel] f32
 * @param args.bias [dModel] f32
 * @returns [T, dModel] f32
 * @throws ShapeError
 */
export function headSum(rec: Recorder, args: { result: Tensor; bias?: Tensor; label: string; out?: Tensor }): Tensor {
  const { result, bias, label } = args;
  const where = 'headSum';
  expectShape(where, result, [-1, -1, -1]);
  const [queries, heads, dModel] = result.shape;
  if (bias) expectShape(where, bias, [dModel]);
  const out = args.out ?? rec.temp(label, 'f32', [queries, dModel]);
  expectShape(where, out, [queries, dModel]);
  for (const t of [result, ...(bias ? [bias] : []), out]) expectDType(where, t, 'f32');
  const width = widthOf(dModel);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { result, ...(bias && { bias }) },
    out,
    width,
    count: elementCount(out.shape),
    sizes: { heads, dModel },
    body: headSumBody(heads, dModel, width, bias !== undefined),
    cost: headSumCost(queries, heads, dModel),
  });
}

const headSumCost = (queries: number, heads: number, dModel: number): Cost => ({
  flops: queries * (heads + 1) * dModel,
  bytes: 4 * ((heads + 1) * queries + 1) * dModel,
});
