import type { Rectangle } from '../base/rectangle.ts';
import { InputError } from './errors.ts';

/** What a processor makes of a prompt and its pictures, and what a model runs on. */
export interface ModelInput {
  /** Token ids after expansion: each visual stands for `tokens` placeholders in a row or, with separators, nearly so. */
  readonly inputIds: ArrayLike<number>;
  /** Images and videos, in the order of the prompt. */
  readonly visuals: readonly Visual[];
}

/** What types say, for callers without any. @throws InputError for a prompt that no processor has seen. */
export function checkIsInput(input: ModelInput): void {
  if (typeof input?.inputIds?.length !== 'number')
    throw new InputError('expected a model input: what `await model.input({ prompt, images })` gives');
}

/** An image or a video as the vision tower is shown it. */
export interface Visual {
  readonly kind: 'image' | 'video';
  /** Normalised pixel values, row-major in `shape`. */
  readonly pixels: Float32Array;
  /**
   * As HF's processor shapes one image: [crops, 3, height, width] (LLaVA-1.5: one crop; LLaVA-NeXT and OneVision: the whole
   * image, then its tiles row by row; a video: its frames), or for Qwen2-VL [patches, 3 * temporal patch * patch * patch].
   */
  readonly shape: readonly number[];
  /** LLaVA-NeXT and OneVision: the picture before processing, from which follows what of its tiles is padding. */
  readonly size?: { readonly height: number; readonly width: number };
  /**
   * Which part of the picture each crop, or each grid of patches over time, shows: in pixels of the picture as it is upright. Where it is
   * padded, it lies partly outside. Absent where pixel values were not made here.
   */
  readonly areas?: readonly Rectangle[];
  /** Qwen2-VL: patches over time, height and width (HF `image_grid_thw`). */
  readonly grid?: readonly [time: number, height: number, width: number];
  /** Qwen2.5-VL videos: seconds from one temporal patch to the next (HF `second_per_grid_ts`). */
  readonly secondsPerPatch?: number;
}

/** A visual that has no pixels yet. */
export type VisualShape = Omit<Visual, 'pixels' | 'areas'>;

/** A `ModelInput` whose pictures are not decoded yet: how many tokens and pixel values it has is known. */
export interface InputShape {
  readonly inputIds: ArrayLike<number>;
  readonly visuals: readonly VisualShape[];
}

/** The order in which HF's models see them, and therefore the order of crops and patches in hooks of the tower. */
export function imagesFirst<T extends Pick<Visual, 'kind'>>(visuals: readonly T[]): T[] {
  const of = (kind: Visual['kind']) => visuals.filter((visual) => visual.kind === kind);
  return [...of('image'), ...of('video')];
}
