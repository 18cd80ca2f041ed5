import { Settings } from '../config/settings.ts';
import type { Family } from './family.ts';
import { llavaDefaults, llavaSchema, llavaSide, type Packer, parseLlava } from './llava-side.ts';

/** One crop, and a token for each of its features. */
export const pack: Packer = ({ shape }, perCrop) => ({ rows: Array.from({ length: shape[0] * perCrop }, (_, i) => i) });

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
      vision: llavaSide(vision, text, { pack, crops: () => 1, hasNewline: false }),
    };
  },
};
