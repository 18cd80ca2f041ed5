import { imageDecoder } from '#platform';
import type { Gpu } from '../gpu/gpu.ts';

/**
 * Counts the changes of what this code computes: to be raised with every change after which the same checkpoint and input
 * give other pixels, tokens or activations. Feature caches hold it in their keys and classifiers in their files.
 * test/model/numerics.test.ts fails where such a change may have been made, and says what to do.
 *
 * 1: pictures lie as Pillow turns them by XMP too, GIFs have their whole screen, OneVision floors as Python does, Qwen2.5-VL's
 * frames stand where single precision puts them, frames are cropped and rescaled as torch does it.
 * 2: products of few rows with weights of q8 and q4 are added up in another order.
 * 3: so is attention on software adapters with subgroups of 8 and more: of 256 queries, and of one where more than two heads share keys.
 */
export const numericsVersion = 3;

/**
 * What last bits depend on beside that: the adapter, the kernels that it was tuned to, and the decoder of pictures
 * (`HeadVectorSource.environment`).
 */
export const environmentOf = async ({ capabilities, tuning }: Gpu): Promise<string> => {
  const choices = Object.entries(tuning.choices).map(([op, byShape]) => [op, Object.entries(byShape).sort()]);
  return JSON.stringify([capabilities, await imageDecoder(), ...(choices.length ? [choices.sort()] : [])]);
};
