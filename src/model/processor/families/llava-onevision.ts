import { z } from 'zod';
import { ConfigError } from '../../errors.ts';
import { parse } from '../../json.ts';
import { type ImageProcessorConfig, parseFrameProcessor, processFrames } from '../image-processor.ts';
import { uniformFrames } from '../sample-frames.ts';
import { parseTiling, squareImage, type TilingConfig, tileImage } from '../tiles.ts';
import { checkPinpoints, tileTokens } from './anyres-tokens.ts';
import type { Family, ProcessorFiles, VisualProcessor } from './family.ts';

/** As many as the authors of the Sparse Attention Vectors take. */
const framesOfVideo = 16;

/**
 * LLaVA-OneVision (HF `LlavaOnevisionProcessor`): the whole and the tiles of an image that is alone in its prompt; one crop,
 * padded to a square, of each of several; frames of a video, each of which becomes a quarter of the tokens.
 */
export const llavaOnevision: Family = {
  imageToken: '<image>',
  videoToken: '<video>',
  load(files) {
    const config = parseTiling(files.image, 'LlavaOnevisionImageProcessor');
    checkPinpoints(files, config, files.image.file);
    return llavaOnevisionVisuals(config, parseFrameProcessor(files.video), tokenSettings(files));
  },
};

export interface OnevisionTokens {
  /** Features along a crop's side. */
  readonly patches: number;
  /** Outputs of the tower for a crop, less the one that strategy `default` drops. */
  readonly perCrop: number;
  /** `anyres_max_9`: features of more than 9 tiles are shrunk. */
  readonly maxTiles: number;
}

export function llavaOnevisionVisuals(
  config: TilingConfig,
  frameConfig: ImageProcessorConfig,
  { patches, perCrop, maxTiles }: OnevisionTokens,
): VisualProcessor {
  return {
    image(image, among) {
      const { height, width } = image;
      const alone = among === 1;
      const crops = alone ? tileImage(image, config) : squareImage(image, config);
      const rest = alone ? tileTokens(image, config, patches, maxTiles) : 1;
      return { kind: 'image', ...crops, tokens: perCrop + rest, size: { height, width } };
    },
    video({ frames }) {
      const tokens = frames.length * Math.ceil(patches / 2) ** 2 + 1;
      return { kind: 'video', ...processFrames(frames, frameConfig), tokens };
    },
    sampleFrames: (info) => uniformFrames(info, framesOfVideo),
  };
}

const size = z.int().min(1).max(16384);
const schema = z.looseObject({
  vision_aspect_ratio: z.string().nullish(),
  vision_feature_select_strategy: z.enum(['default', 'full']).nullish(),
  // without sizes, those of LLaVA-OneVision's tower, or SiglipVisionConfig's where there is a vision_config
  vision_config: z
    .looseObject({ image_size: size.default(224), patch_size: size.default(16) })
    .prefault({ image_size: 384, patch_size: 14 }),
});

function tokenSettings({ processor, config }: ProcessorFiles): OnevisionTokens {
  const model = parse(schema, config, 'config.json');
  const { image_size, patch_size } = model.vision_config;
  const outputs = processor.num_image_tokens ?? Math.floor(image_size / patch_size) ** 2;
  const strategy = processor.vision_feature_select_strategy ?? model.vision_feature_select_strategy ?? 'full';
  return {
    patches: Math.floor(Math.sqrt(outputs)),
    perCrop: outputs - (strategy === 'default' ? 1 : 0),
    maxTiles: parseMaxTiles(
      processor.vision_aspect_ratio ?? model.vision_aspect_ratio ?? 'anyres_max_9',
      'vision_aspect_ratio',
    ),
  };
}

/** 9 of `anyres_max_9`. @throws ConfigError for another form. */
export function parseMaxTiles(text: string, setting: string): number {
  const n = /^anyres_max_([1-9]\d{0,3})$/.exec(text)?.[1];
  if (n === undefined)
    throw new ConfigError(
      `config.json: ${setting} ${JSON.stringify(text)} is not supported; supported: "anyres_max_9"`,
    );
  return Number(n);
}
