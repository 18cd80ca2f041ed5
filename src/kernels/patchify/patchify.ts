import { ShapeError } from '../../gpu/errors.ts';
import type { Cost, Recorder } from '../../gpu/recorder.ts';
import { expectDType, expectShape, type Tensor } from '../../gpu/tensor.ts';
import { perElement } from '../elementwise/per-element.ts';
import { patchifyBody } from './patchify.wgsl.ts';

const patchifyCost = (elements: number): Cost => ({ flops: 0, bytes: 8 * elements });

/**
 * Images cut into patches, the input of a patch embedding by matrix product. Pixels to the right of and below the last
 * whole patch are not used, as a Conv2d of stride `patch` does not use them.
 *
 * @param pixels [B, C, H, W] f32
 * @param patch side in pixels
 * @returns [B * floor(H / patch) * floor(W / patch), C * patch * patch]: patches row by row, columns channel, y, x (a
 *   Conv2d weight flattened)
 */
export function patchify(
  rec: Recorder,
  { pixels, patch, label, out }: { pixels: Tensor; patch: number; label: string; out?: Tensor },
): Tensor {
  const where = 'patchify';
  expectShape(where, pixels, [-1, -1, -1, -1]);
  expectDType(where, pixels, 'f32');
  const [batch, channels, height, width] = pixels.shape;
  if (!(Number.isInteger(patch) && patch >= 1 && patch <= height && patch <= width))
    throw new ShapeError(`${pixels.label}: [${pixels.shape}] has no patch of ${patch} x ${patch} pixels (in ${where})`);
  const shape = [batch * Math.floor(height / patch) * Math.floor(width / patch), channels * patch * patch];
  out ??= rec.temp(label, 'f32', shape);
  expectShape(where, out, shape);
  expectDType(where, out, 'f32');
  const count = shape[0] * shape[1];
  const body = patchifyBody(channels, height, width, patch);
  return perElement(rec, {
    kernel: where,
    label,
    inputs: { pixels },
    out,
    width: 1,
    count,
    body,
    cost: patchifyCost(count),
    sizes: { patch },
  });
}
