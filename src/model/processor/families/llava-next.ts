import { parseTiling, type TilingConfig, tileImage } from '../tiles.ts';
import { checkPinpoints, tileTokens } from './anyres-tokens.ts';
import type { Family, VisualProcessor } from './family.ts';
import { type PatchCount, patchCount, tokensOfCrop } from './patch-count.ts';

/** LLaVA-NeXT (HF `LlavaNextProcessor`): the whole of each image and its tiles. */
export const llavaNext: Family = {
  imageToken: '<image>',
  load(files) {
    const config = parseTiling(files.image, 'LlavaNextImageProcessor');
    checkPinpoints(files, config, files.image.file);
    return llavaNextVisuals(config, patchCount(files));
  },
};

export function llavaNextVisuals(config: TilingConfig, count: PatchCount): VisualProcessor {
  const whole = tokensOfCrop({ height: config.side, width: config.side }, count);
  const patches = Math.floor(config.side / count.patchSize);
  return {
    image(image) {
      const { height, width } = image;
      const tokens = whole + tileTokens(image, config, patches);
      return { kind: 'image', ...tileImage(image, config), tokens, size: { height, width } };
    },
  };
}
