import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { bytesPerElement, type DType, expectDType, expectShape, type Tensor, type Weight } from '../../gpu/tensor.ts';
import { perElement, widthOf } from '../elementwise/per-element.ts';
import { embeddingBody } from './embedding.wgsl.ts';

/** The rows that are asked for are read once and written as f32. */
export const embeddingCost = (ids: number, columns: number, dtype: DType): Cost => ({
  flops: 0,
  bytes: 4 * ids + ids * columns * (bytesPerElement[dtype] + 4),
});

/**
 * Token embeddings (HF `nn.Embedding`).
 *
 * @param ids [T] u32, each below V. The host is to check that; the row of an id that is not comes out as zeros.
 * @param weight [V, D] f32, f16 or bf16, in any number of row parts.
 * @returns [T, D] f32
 */
export function embedding(
  rec: Recorder,
  { ids, weight, label, out }: { ids: Tensor; weight: Weight; label: string; out?: Tensor },
): Tensor {
  const where = 'embedding';
  expectShape(where, ids, [-1]);
  expectDType(where, ids, 'u32');
  expectDType(where, weight, 'f32', 'f16', 'bf16');
  const [vocabulary, columns] = weight.shape;
  const shape = [ids.shape[0], columns];
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  expectDType(where, out, 'f32');
  const total = embeddingCost(ids.shape[0], columns, weight.dtype);
  const width = widthOf(columns);
  let first = 0;
  for (const part of weight.parts) {
    expectShape(where, part, [-1, columns]);
    const end = first + part.shape[0];
    perElement(rec, {
      kernel: `embedding ${weight.dtype}`,
      label,
      inputs: { ids, weight: part },
      out,
      width,
      count: ids.shape[0] * columns,
      params: { first, end, vocabulary },
      ...embeddingBody(weight.dtype, columns, width),
      cost: { flops: 0, bytes: total.bytes / weight.parts.length },
    });
    first = end;
  }
  return out;
}
