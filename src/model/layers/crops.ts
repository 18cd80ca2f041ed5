// What CLIP's and SigLIP's towers are shown: square crops of one size.
import { elementCount } from '../../gpu/tensor.ts';
import { InputError } from '../errors.ts';
import type { Visual } from '../input.ts';

/** @throws InputError for anything but whole crops of the tower's size. */
export function checkCrops({ pixels, shape }: Visual, size: number): void {
  const [crops] = shape;
  const fits = shape.length === 4 && crops >= 1 && shape[1] === 3 && shape[2] === size && shape[3] === size;
  if (!fits || pixels.length !== elementCount(shape))
    throw new InputError(
      `pixel values: [${shape}] of ${pixels.length} numbers, expected [crops, 3, ${size}, ${size}] (is the image processor's size the tower's?)`,
    );
}

/** All crops one after the other, [crops, 3, size, size]. */
export function stackCrops(visuals: readonly Visual[]): [shape: readonly number[], data: Float32Array<ArrayBuffer>] {
  const [, ...rest] = visuals[0].shape;
  const crops = visuals.reduce((sum, { shape }) => sum + shape[0], 0);
  const data = new Float32Array(crops * elementCount(rest));
  let at = 0;
  for (const { pixels } of visuals) {
    data.set(pixels, at);
    at += pixels.length;
  }
  return [[crops, ...rest], data];
}
