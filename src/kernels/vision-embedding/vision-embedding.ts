import { perElement, widthOf } from '../elementwise/per-element.ts';
import { ShapeError } from '../errors.ts';
import type { Cost, Recorder } from '../recorder.ts';
import { expectDType, expectShape, type Tensor } from '../tensor.ts';
import { visionEmbeddingBody } from './vision-embedding.wgsl.ts';

export const visionEmbeddingCost = (batch: number, patches: number, columns: number): Cost => ({
  flops: batch * (patches + 1) * columns,
  bytes: 4 * columns * (batch * patches + (patches + 2) + batch * (patches + 1)),
});

/**
 * The class token before each image's patches, and position embeddings on both (HF `CLIPVisionEmbeddings`).
 *
 * @param patches [batch * N, D] f32
 * @param classEmbedding [D] f32
 * @param position [N + 1, D] f32
 * @returns [batch * (N + 1), D]
 */
export function visionEmbedding(
  rec: Recorder,
  {
    patches,
    classEmbedding,
    position,
    batch,
    label,
    out,
  }: { patches: Tensor; classEmbedding: Tensor; position: Tensor; batch: number; label: string; out?: Tensor },
): Tensor {
  const where = 'visionEmbedding';
  expectShape(where, patches, [-1, -1]);
  const [rows, columns] = patches.shape;
  const perImage = rows / batch;
  if (!Number.isInteger(perImage))
    throw new ShapeError(`${patches.label}: ${rows} patches are not ${batch} images of equal size (in ${where})`);
  expectShape(where, classEmbedding, [columns]);
  expectShape(where, position, [perImage + 1, columns]);
  const shape = [batch * (perImage + 1), columns];
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  for (const t of [patches, classEmbedding, position, out]) expectDType(where, t, 'f32');
  const width = widthOf(columns);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { patches, classEmbedding, position },
    out,
    width,
    count: shape[0] * columns,
    body: visionEmbeddingBody(columns, perImage, width),
    cost: visionEmbeddingCost(batch, perImage, columns),
  });
}
