// Which frames of a video a model is shown.
import type { VideoInfo } from '../../platform/types.ts';
import { InputError } from '../errors.ts';

/** `n` frames from the first to the last (NumPy's `linspace(0, total - 1, n, dtype=int)`); of a shorter video some come twice. */
export function uniformFrames({ totalFrames }: VideoInfo, n: number): number[] {
  if (n === 1) return [0];
  const step = (totalFrames - 1) / (n - 1);
  return Array.from({ length: n }, (_, i) => (i === n - 1 ? totalFrames - 1 : Math.floor(i * step)));
}

export interface RateSampling {
  readonly fps: number;
  readonly minFrames: number;
  readonly maxFrames: number;
  /** The number of frames is a multiple of it. */
  readonly temporalPatch: number;
}

/**
 * `fps` frames a second, within bounds (HF `Qwen2VLVideoProcessor.sample_frames`).
 * @throws InputError for a video of fewer frames than one temporal patch has.
 */
export function framesAtRate({ totalFrames, fps }: VideoInfo, sampling: RateSampling): number[] {
  const toMultiple = (n: number) => Math.floor(n / sampling.temporalPatch) * sampling.temporalPatch;
  const most = toMultiple(Math.min(sampling.maxFrames, totalFrames));
  const wanted = Math.max((totalFrames / fps) * sampling.fps, sampling.minFrames);
  const n = toMultiple(Math.min(wanted, most, totalFrames));
  if (n < 1) throw new InputError(`a video of ${totalFrames} frames: ${sampling.temporalPatch} are the fewest`);
  const step = totalFrames / n;
  // torch.arange(0, total, step).int(), which rounds to single precision first (tested to 5000 frames; from 100000 on, torch's
  // own rounding depends on the processor, and an index may differ by one)
  return Array.from({ length: Math.ceil(totalFrames / step) }, (_, i) => Math.trunc(Math.fround(i * step)));
}
