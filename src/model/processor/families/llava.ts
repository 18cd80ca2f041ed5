import { type ImageProcessorConfig, parseImageProcessor, processImage } from '../image-processor.ts';
import type { Family, VisualProcessor } from './family.ts';
import { type PatchCount, patchCount, tokensOfCrop } from './patch-count.ts';

/** LLaVA-1.5 (HF `LlavaProcessor`): one crop of each image. */
export const llava: Family = {
  imageToken: '<image>',
  load: (files) => llavaVisuals(parseImageProcessor(files.image), patchCount(files)),
};

export function llavaVisuals(config: ImageProcessorConfig, count: PatchCount): VisualProcessor {
  return {
    image(image) {
      const { pixels, shape } = processImage(image, config);
      return { kind: 'image', pixels, shape, tokens: tokensOfCrop({ height: shape[2], width: shape[3] }, count) };
    },
  };
}
