import { Settings } from '../config/settings.ts';
import {
  type ImageProcessorConfig,
  parseImageProcessor,
  processedShape,
  processImage,
} from '../processor/image-processor.ts';
import { cropGrid } from '../processor/token-grids.ts';
import type { VisualProcessor } from '../processor/visual-processor.ts';
import type { Family } from './family.ts';
import { llavaDefaults, llavaSchema, llavaSide, parseLlava } from './llava-side.ts';
import type { Packer } from './packing.ts';

/** LLaVA-1.5 (HF `LlavaForConditionalGeneration`): with a CLIP or SigLIP tower and any decoder. */
export const llava: Family = {
  name: 'LLaVA-1.5',
  modelTypes: ['llava'],
  parse(json, file) {
    const settings = new Settings(file);
    const { text, vision } = parseLlava(settings, settings.read(llavaSchema, json), llavaDefaults);
    settings.finish();
    return {
      family: this.name,
      className: 'LlavaForConditionalGeneration',
      text,
      vision: llavaSide(vision, text, {
        processing: { imageToken: '<image>', load: ({ image }) => oneCrop(parseImageProcessor(image)) },
        pack,
        crops: () => 1,
        hasNewline: false,
      }),
    };
  },
};

/** One crop of each image (HF `LlavaProcessor`), … */
export const oneCrop = (config: ImageProcessorConfig): VisualProcessor => ({
  image: (image) => ({ kind: 'image', ...processImage(image, config) }),
  imageShape: (size) => ({ kind: 'image', shape: processedShape(size, config) }),
});

/** … and a token for each of its features. */
export const pack: Packer = (visual, perCrop, covered) => ({
  rows: Array.from({ length: visual.shape[0] * perCrop }, (_, i) => i),
  grids: Array.from({ length: visual.shape[0] }, (_, crop) => cropGrid(visual, crop, perCrop, covered, 'image')),
});
