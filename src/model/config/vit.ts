import { keysOf } from '../../base/choices.ts';
import { quoteValue } from '../../base/quote.ts';
import * as s from '../../base/schema.ts';
import type { BlockShape } from './block.ts';
import { count, imageSide, type Settings, towerBlocks } from './settings.ts';

/** A vision transformer over square images (HF `CLIPVisionConfig`, `SiglipVisionConfig`). */
export interface ViTConfig extends BlockShape {
  readonly modelType: 'clip_vision_model' | 'siglip_vision_model';
  readonly nLayers: number;
  readonly imageSize: number;
  readonly patchSize: number;
  /** Patches along one side of an image. */
  readonly side: number;
  /** CLIP: a class token before the patches, a norm before the first block, no bias in the patch embedding. */
  readonly classToken: boolean;
  /** SigLIP: the pooling head is in the checkpoint. */
  readonly useHead: boolean;
  /** CLIP: width of the space that images and texts share. */
  readonly projectionDim: number;
}

/** Tokens of one crop: patches, after the class token where there is one. */
export const tokensPerCrop = ({ side, classToken }: ViTConfig): number => side ** 2 + (classToken ? 1 : 0);

const common = {
  num_channels: s.optional(s.literal(3), 3),
  image_size: s.optional(imageSide, 224),
};
/** Of both, by default. */
const size = { hidden_size: 768, intermediate_size: 3072, num_attention_heads: 12 };

// Defaults are those of the HF classes: hub configs leave out what equals them.
const clipSchema = s.object({
  ...common,
  model_type: s.literal('clip_vision_model'),
  ...towerBlocks({ ...size, hidden_act: 'quick_gelu', layer_norm_eps: 1e-5 }),
  patch_size: s.optional(count, 32),
  projection_dim: s.optional(count, 512),
});

const siglipSchema = s.object({
  ...common,
  model_type: s.literal('siglip_vision_model'),
  ...towerBlocks({ ...size, hidden_act: 'gelu_pytorch_tanh', layer_norm_eps: 1e-6 }),
  patch_size: s.optional(count, 16),
  vision_use_head: s.optional(s.boolean(), true),
});

const schemas = { clip_vision_model: clipSchema, siglip_vision_model: siglipSchema };
const kindSchema = s.object({
  model_type: s.oneOf(
    keysOf(schemas),
    ({ input }) => `${quoteValue(input)} is not a supported tower; supported: ${Object.keys(schemas).join(', ')}`,
  ),
});

/** What `LlavaConfig` and `LlavaNextConfig` assume of a tower when config.json has no vision_config. */
export const clipLarge336 = {
  model_type: 'clip_vision_model',
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  image_size: 336,
  patch_size: 14,
  projection_dim: 768,
};

/** What `LlavaOnevisionConfig` assumes. */
export const siglipSo400m384 = {
  model_type: 'siglip_vision_model',
  hidden_size: 1152,
  intermediate_size: 4304,
  num_hidden_layers: 26,
  num_attention_heads: 16,
  image_size: 384,
  patch_size: 14,
  vision_use_head: false,
};

/** Reads the settings of a tower; @param modelType where they do not say. */
export function parseViT(
  settings: Settings,
  json: Readonly<Record<string, unknown>>,
  where: string,
  modelType: string,
): ViTConfig {
  const named = { ...json, model_type: json.model_type ?? modelType };
  const v = settings.read(schemas[settings.read(kindSchema, named, where).model_type], named, where);
  settings.divides(`${where}.hidden_size`, v.hidden_size, 'num_attention_heads', v.num_attention_heads);
  settings.unquantised(v, `${where}.`);
  if (v.patch_size > v.image_size)
    settings.problem(`${where}: patch_size ${v.patch_size} exceeds image_size ${v.image_size}`);
  const isClip = v.model_type === 'clip_vision_model';
  return {
    modelType: v.model_type,
    dModel: v.hidden_size,
    dMlp: v.intermediate_size,
    nLayers: v.num_hidden_layers,
    nHeads: v.num_attention_heads,
    nKvHeads: v.num_attention_heads,
    dHead: Math.floor(v.hidden_size / v.num_attention_heads),
    gated: false,
    act: settings.act(v.hidden_act, `${where}.hidden_act`),
    eps: v.layer_norm_eps,
    imageSize: v.image_size,
    patchSize: v.patch_size,
    side: Math.floor(v.image_size / v.patch_size),
    classToken: isClip,
    useHead: v.model_type === 'siglip_vision_model' && v.vision_use_head,
    projectionDim: v.model_type === 'clip_vision_model' ? v.projection_dim : v.hidden_size,
  };
}
