// Which frames of a video a model is shown.
import type { VideoInfo } from '../../platform/types.ts';
import { InputError } from '../errors.ts';
import { roundHalfEven } from './rounding.ts';

/** `n` frames from the first to the last (NumPy's `linspace(0, total - 1, n, dtype=int)`); of a shorter video some come twice. */
export function uniformFrames({ totalFrames }: VideoInfo, n: number): number[] {
  if (n === 1) return [0];
  const step = (totalFrames - 1) / (n - 1);
  return Array.from({ length: n }, (_, i) => (i === n - 1 ? totalFrames - 1 : Math.floor(i * step)));
}

/** Frames a second, or of the whole video. */
export type FrameRate = { readonly fps: number } | { readonly frames: number };

/**
 * As many frames at equal distances from the first on (HF `default_sample_indices_fn`).
 * @throws InputError for a video of fewer frames, or of no rate.
 */
export function evenFrames({ totalFrames, fps }: VideoInfo, rate: FrameRate): number[] {
  if ('fps' in rate) checkRate(fps);
  const n = 'frames' in rate ? rate.frames : Math.trunc((totalFrames / fps) * rate.fps);
  if (n < 1 || n > totalFrames)
    throw new InputError(
      `a video of ${totalFrames} frames: ${'frames' in rate ? 'num_frames' : 'fps'} of the video processor asks for ${n} of them; give another video`,
    );
  return Array.from({ length: n }, (_, i) => Math.floor((i * totalFrames) / n));
}

/** @throws InputError unless a video's rate is a number of frames a second. */
export function checkRate(fps: number): void {
  if (!(fps > 0 && fps < Number.POSITIVE_INFINITY))
    throw new InputError(`a video of ${fps} frames a second: fps is to be above 0`);
}

export interface FrameSampling {
  readonly rate: FrameRate;
  /** Bounds of what frames a second come to. */
  readonly minFrames: number;
  readonly maxFrames: number;
  /** The number of frames is a multiple of it. */
  readonly temporalPatch: number;
}

/**
 * Frames at equal distances from the first on (HF `Qwen2VLVideoProcessor.sample_frames`).
 * @throws InputError for a video of fewer frames than one temporal patch has or than are asked for, or of no rate.
 */
export function sampleFrames({ totalFrames, fps }: VideoInfo, sampling: FrameSampling): number[] {
  const { rate, minFrames, maxFrames, temporalPatch } = sampling;
  const multiples = (n: number) => Math.floor(n / temporalPatch) * temporalPatch;
  let n: number;
  if ('frames' in rate) {
    n = roundHalfEven(rate.frames / temporalPatch) * temporalPatch;
    if (n > totalFrames)
      throw new InputError(`a video of ${totalFrames} frames: num_frames asks for ${n}; give a longer one`);
  } else {
    checkRate(fps);
    const most = multiples(Math.min(maxFrames, totalFrames));
    n = multiples(Math.min(Math.max((totalFrames / fps) * rate.fps, minFrames), most, totalFrames));
  }
  if (n < 1) throw new InputError(`a video of ${totalFrames} frames: ${temporalPatch} are the fewest`);
  const step = totalFrames / n;
  // torch.arange(0, total, step).int(), which rounds to single precision first (tested to 5000 frames; from 100000 on, torch's
  // own rounding depends on the processor, and an index may differ by one)
  return Array.from({ length: Math.ceil(totalFrames / step) }, (_, i) => Math.trunc(Math.fround(i * step)));
}
