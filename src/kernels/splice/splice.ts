import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { perElement, widthOf } from '../elementwise/per-element.ts';
import { extraRow, keepText, spliceBody } from './splice.wgsl.ts';

export { extraRow, keepText };

const spliceCost = (tokens: number, columns: number): Cost => ({
  flops: 0,
  bytes: 4 * tokens * (1 + 2 * columns),
});

/**
 * Puts image features in the place of image tokens (HF `LlavaModel`, `masked_scatter`).
 *
 * @param text [T, D] f32, token embeddings
 * @param features [N, D] f32, the projector's rows of all images
 * @param source [T] u32: the row of `features` for this position, `keepText` (0xffffffff) or `extraRow` (0xfffffffe). The
 *   host is to check that it is below N; a row that does not exist comes out as zeros.
 * @param extra [D] f32: a learned row that stands among the features, as often as `source` says (HF `LlavaNextModel`'s
 *   `image_newline`). Without it `extraRow` is a row that does not exist.
 * @returns [T, D]
 */
export function splice(
  rec: Recorder,
  {
    text,
    features,
    source,
    extra,
    label,
    out = rec.temp(label, 'f32', text.shape),
  }: { text: Tensor; features: Tensor; source: Tensor; extra?: Tensor; label: string; out?: Tensor },
): Tensor {
  const where = 'splice';
  const [tokens, columns] = text.shape;
  expectShape(where, text, [-1, -1]);
  expectShape(where, features, [-1, columns]);
  expectShape(where, source, [tokens]);
  expectShape(where, out, text.shape);
  expectDType(where, source, 'u32');
  if (extra) expectShape(where, extra, [columns]);
  for (const t of [text, features, out, ...(extra ? [extra] : [])]) expectDType(where, t, 'f32');
  const width = widthOf(columns);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { text, features, source, ...(extra && { extra }) },
    out,
    width,
    count: tokens * columns,
    params: { features: features.shape[0] },
    body: spliceBody(columns, width, extra !== undefined),
    cost: spliceCost(tokens, columns),
  });
}
