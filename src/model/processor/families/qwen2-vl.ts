import { z } from 'zod';
import type { Visual } from '../../input.ts';
import { parse } from '../../json.ts';
import { type Patches, type PatchingConfig, parsePatching, patchFrames, patchImage } from '../patches.ts';
import { framesAtRate, type RateSampling } from '../sample-frames.ts';
import type { Family, ProcessorFiles, VisualProcessor } from './family.ts';

/** Qwen2-VL (HF `Qwen2VLProcessor`): patches of an image or video of any size. */
export const qwen2Vl: Family = {
  imageToken: '<|image_pad|>',
  videoToken: '<|video_pad|>',
  load: (files) => qwenVisuals(files),
};

/** Qwen2.5-VL (HF `Qwen2_5_VLProcessor`), which also tells the model how fast a video's frames follow each other. */
export const qwen25Vl: Family = {
  ...qwen2Vl,
  load(files) {
    const visuals = qwenVisuals(files);
    const { temporalPatch } = parsePatching(files.video, 'video');
    return {
      ...visuals,
      // 24 frames a second are what HF takes of frames that nobody knows the time of
      video: (video) => ({ ...visuals.video!(video), secondsPerPatch: temporalPatch / (video.fps ?? 24) }),
    };
  },
};

function qwenVisuals(files: ProcessorFiles): VisualProcessor {
  const forImages = parsePatching(files.image, 'image');
  const forVideos = parsePatching(files.video, 'video');
  const sampling = rateSampling(files, forVideos);
  return {
    image: (image) => visual('image', patchImage(image, forImages), forImages),
    video: ({ frames }) => visual('video', patchFrames(frames, forVideos), forVideos),
    sampleFrames: (info) => framesAtRate(info, sampling),
  };
}

const visual = (kind: Visual['kind'], patches: Patches, { merge }: PatchingConfig): Visual => ({
  kind,
  ...patches,
  tokens: patches.shape[0] / merge ** 2,
});

const frames = z.int().min(1).max(1_000_000);
const schema = z.looseObject({
  // two frames a second are the default of the authors' own tools (qwen-vl-utils); HF has none
  fps: z
    .number()
    .positive()
    .nullish()
    .transform((fps) => fps ?? 2),
  min_frames: frames.nullish().transform((n) => n ?? 4),
  max_frames: frames.nullish().transform((n) => n ?? 768),
});

function rateSampling({ video }: ProcessorFiles, { temporalPatch }: PatchingConfig): RateSampling {
  const { fps, min_frames, max_frames } = parse(schema, video.json, video.file);
  return { fps, minFrames: min_frames, maxFrames: max_frames, temporalPatch };
}
