import { type Format, formatBytes } from '../../gpu/formats/format.ts';
import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { perElement, widthOf } from '../elementwise/per-element.ts';
import { embeddingBody } from './embedding.wgsl.ts';

/** The rows that are asked for are read once and written as f32. */
export const embeddingCost = (ids: number, columns: number, format: Format): Cost => ({
  flops: 0,
  bytes: 4 * ids + formatBytes(format, [ids, columns]) + 4 * ids * columns,
});

/**
 * Token embeddings (HF `nn.Embedding`).
 *
 * @param ids [T] u32, each below V. The host is to check that; the row of an id that is not comes out as zeros.
 * @param weight [V, D] in any format and any number of row parts.
 * @returns [T, D] f32
 */
export function embedding(
  rec: Recorder,
  { ids, weight, label, out }: { ids: Tensor; weight: Weight; label: string; out?: Tensor },
): Tensor {
  const where = 'embedding';
  expectShape(where, ids, [-1]);
  expectDType(where, ids, 'u32');
  const [vocabulary, columns] = weight.shape;
  const shape = [ids.shape[0], columns];
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  expectDType(where, out, 'f32');
  const total = embeddingCost(ids.shape[0], columns, weight.format);
  const width = widthOf(columns);
  let first = 0;
  for (const part of weight.parts) {
    expectShape(where, part, [-1, columns]);
    const end = first + part.shape[0];
    perElement(rec, {
      kernel: `embedding ${weight.format.name}`,
      label,
      inputs: { ids, weight: part },
      out,
      width,
      count: ids.shape[0] * columns,
      params: { first, end, vocabulary },
      body: embeddingBody(columns, width),
      cost: { flops: 0, bytes: total.bytes / weight.parts.length },
    });
    first = end;
  }
  return out;
}
