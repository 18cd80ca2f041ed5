import { ShapeError } from '../../gpu/errors.ts';
import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { perElement, widthOf } from '../elementwise/per-element.ts';
import { visionEmbeddingBody } from './vision-embedding.wgsl.ts';

/** @param extra 1 with a class token, else 0 */
const visionEmbeddingCost = (batch: number, patches: number, columns: number, extra = 1): Cost => ({
  flops: batch * (patches + extra) * columns,
  bytes: 4 * columns * (batch * patches + (patches + 2 * extra) + batch * (patches + extra)),
});

/**
 * Position embeddings on each image's patches (HF `SiglipVisionEmbeddings`), and on the class token before them where there
 * is one (HF `CLIPVisionEmbeddings`).
 *
 * @param patches [batch * N, D] f32
 * @param classEmbedding [D] f32
 * @param position [N, D] f32, or [N + 1, D] with a class token
 * @returns [batch * N, D], or [batch * (N + 1), D]
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
  }: { patches: Tensor; classEmbedding?: Tensor; position: Tensor; batch: number; label: string; out?: Tensor },
): Tensor {
  const where = 'visionEmbedding';
  expectShape(where, patches, [-1, -1]);
  const [rows, columns] = patches.shape;
  const perImage = rows / batch;
  if (!Number.isInteger(perImage))
    throw new ShapeError(`${patches.label}: ${rows} patches are not ${batch} images of equal size (in ${where})`);
  if (classEmbedding) expectShape(where, classEmbedding, [columns]);
  const tokens = perImage + (classEmbedding ? 1 : 0);
  expectShape(where, position, [tokens, columns]);
  const shape = [batch * tokens, columns];
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  const inputs: Record<string, Tensor> = { patches, ...(classEmbedding && { classEmbedding }), position };
  for (const t of [...Object.values(inputs), out]) expectDType(where, t, 'f32');
  const width = widthOf(columns);
  return perElement(rec, {
    kernel: where,
    label,
    inputs,
    out,
    width,
    count: shape[0] * columns,
    body: visionEmbeddingBody(columns, perImage, classEmbedding !== undefined, width),
    cost: visionEmbeddingCost(batch, perImage, columns, tokens - perImage),
  });
}
