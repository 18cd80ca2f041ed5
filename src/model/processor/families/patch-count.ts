import { z } from 'zod';
import type { Size } from '../../anyres.ts';
import { InputError } from '../../errors.ts';
import { parse } from '../../json.ts';
import type { ProcessorFiles } from './family.ts';

const size = z.int().min(1).max(16384);
const strategy = z.enum(['default', 'full']).nullish();

// Without sizes, HF's own defaults: those of LLaVA's tower if there is no vision_config at all, the tower's class's otherwise.
const clip = z.looseObject({
  model_type: z.literal('clip_vision_model').default('clip_vision_model'),
  image_size: size.default(224),
  patch_size: size.default(32),
});
const siglip = z.looseObject({
  model_type: z.literal('siglip_vision_model'),
  image_size: size.default(224),
  patch_size: size.default(16),
});
const tower = z.union([clip, siglip], { error: 'supported: model_type clip_vision_model, siglip_vision_model' });

const schema = z.looseObject({
  vision_feature_select_strategy: strategy,
  vision_config: tower.prefault({ image_size: 336, patch_size: 14 }),
});

/** How many tokens a crop becomes. */
export interface PatchCount {
  readonly patchSize: number;
  /** Outputs of the tower that are no patches: CLIP's class token. */
  readonly additionalTokens: number;
  /** `default` drops the first output, the class token. */
  readonly strategy: 'default' | 'full';
}

/** From processor_config.json; what older folders leave out there comes from config.json. */
export function patchCount({ processor, config }: ProcessorFiles): PatchCount {
  const model = parse(schema, config, 'config.json');
  const vision = model.vision_config;
  return {
    patchSize: processor.patch_size ?? vision.patch_size,
    additionalTokens: processor.num_additional_image_tokens ?? (vision.model_type === 'clip_vision_model' ? 1 : 0),
    strategy: processor.vision_feature_select_strategy ?? model.vision_feature_select_strategy ?? 'default',
  };
}

/** The tokens of one crop. @throws InputError if it has none. */
export function tokensOfCrop({ height, width }: Size, { patchSize, additionalTokens, strategy }: PatchCount): number {
  const patches = Math.floor(height / patchSize) * Math.floor(width / patchSize);
  const n = patches + additionalTokens - (strategy === 'default' ? 1 : 0);
  if (n < 1)
    throw new InputError(`an image of ${width}x${height} pixels after processing has no patch of ${patchSize}`);
  return n;
}
