import { perElement, widthOf } from '../elementwise/per-element.ts';
import type { Cost, Recorder } from '../recorder.ts';
import { expectDType, expectShape, type Tensor } from '../tensor.ts';
import { keepText, spliceBody } from './splice.wgsl.ts';

export { keepText };

export const spliceCost = (tokens: number, columns: number): Cost => ({
  flops: 0,
  bytes: 4 * tokens * (1 + 2 * columns),
});

/**
 * Puts image features in the place of image tokens (HF `LlavaModel`, `masked_scatter`).
 *
 * @param text [T, D] f32, token embeddings
 * @param features [N, D] f32, the projector's rows of all images
 * @param source [T] u32: the row of `features` for this position, or `keepText` (0xffffffff). The host is to check that it
 *   is below N; a row that does not exist comes out as zeros.
 * @returns [T, D]
 */
export function splice(
  rec: Recorder,
  {
    text,
    features,
    source,
    label,
    out = rec.temp(label, 'f32', text.shape),
  }: { text: Tensor; features: Tensor; source: Tensor; label: string; out?: Tensor },
): Tensor {
  const where = 'splice';
  const [tokens, columns] = text.shape;
  expectShape(where, text, [-1, -1]);
  expectShape(where, features, [-1, columns]);
  expectShape(where, source, [tokens]);
  expectShape(where, out, text.shape);
  expectDType(where, source, 'u32');
  for (const t of [text, features, out]) expectDType(where, t, 'f32');
  const width = widthOf(columns);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { text, features, source },
    out,
    width,
    count: tokens * columns,
    params: { features: features.shape[0] },
    body: spliceBody(columns, width),
    cost: spliceCost(tokens, columns),
  });
}
