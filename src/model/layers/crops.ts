// What CLIP's and SigLIP's towers are shown: square crops of one size.
import { elementCount } from '../../gpu/tensor.ts';
import { InputError } from '../errors.ts';
import type { Visual, VisualShape } from '../input.ts';

/** @throws InputError for anything but whole crops of the tower's size; pixels are counted where there are any yet. */
export function checkCrops({ shape, ...visual }: Visual | VisualShape, size: number): void {
  const [crops] = shape;
  const numbers = 'pixels' in visual ? visual.pixels.length : elementCount(shape);
  const fits = shape.length === 4 && crops >= 1 && shape[1] === 3 && shape[2] === size && shape[3] === size;
  if (!fits || numbers !== elementCount(shape))
    throw new InputError(
      `pixel values: [${shape}] of ${numbers} numbers, expected [crops, 3, ${size}, ${size}] (is the image processor's size the tower's?)`,
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
