import * as z from 'zod';
import type { BlockShape } from './block.ts';
import { count, epsilon, headCount, layerCount, type Settings, tokenId } from './settings.ts';

/** The text side of a dual encoder (HF `CLIPTextConfig`, `SiglipTextConfig`). */
export interface TextTowerConfig extends BlockShape {
  readonly modelType: 'clip_text_model' | 'siglip_text_model';
  readonly nLayers: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  /** Ends a text (CLIP, where the text's vector is read). */
  readonly eosTokenId: number;
  /** Width of the text's vector (SigLIP; CLIP's is the whole model's setting). */
  readonly projectionSize: number;
}

const common = {
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: layerCount.default(12),
  num_attention_heads: headCount,
  max_position_embeddings: count,
  hidden_act: z.string(),
  layer_norm_eps: epsilon,
  eos_token_id: tokenId.nullish().transform((id) => id ?? 49407),
  projection_size: count.nullish(),
  quantization_config: z.unknown().optional(),
};

// Defaults are those of the HF classes: hub configs leave out what equals them.
const clipSchema = z.object({
  ...common,
  model_type: z.literal('clip_text_model'),
  vocab_size: count.default(49408),
  hidden_size: count.default(512),
  intermediate_size: count.default(2048),
  num_attention_heads: headCount.default(8),
  max_position_embeddings: count.default(77),
  hidden_act: z.string().default('quick_gelu'),
  layer_norm_eps: epsilon.default(1e-5),
});

const siglipSchema = z.object({
  ...common,
  model_type: z.literal('siglip_text_model'),
  vocab_size: count.default(32000),
  hidden_size: count.default(768),
  intermediate_size: count.default(3072),
  num_attention_heads: headCount.default(12),
  max_position_embeddings: count.default(64),
  hidden_act: z.string().default('gelu_pytorch_tanh'),
  layer_norm_eps: epsilon.default(1e-6),
});

/** Reads the settings of a text tower, which is of the kind `modelType` and no other. */
export function parseTextTower(
  settings: Settings,
  json: Readonly<Record<string, unknown>>,
  where: string,
  modelType: TextTowerConfig['modelType'],
): TextTowerConfig {
  const schema = modelType === 'clip_text_model' ? clipSchema : siglipSchema;
  const t = settings.read(schema, { ...json, model_type: json.model_type ?? modelType }, where);
  settings.divides(`${where}.hidden_size`, t.hidden_size, 'num_attention_heads', t.num_attention_heads);
  settings.unquantised(t, `${where}.`);
  return {
    modelType,
    dModel: t.hidden_size,
    dMlp: t.intermediate_size,
    nLayers: t.num_hidden_layers,
    nHeads: t.num_attention_heads,
    nKvHeads: t.num_attention_heads,
    dHead: Math.floor(t.hidden_size / t.num_attention_heads),
    gated: false,
    act: settings.act(t.hidden_act, `${where}.hidden_act`),
    eps: t.layer_norm_eps,
    vocabSize: t.vocab_size,
    maxPositions: t.max_position_embeddings,
    eosTokenId: t.eos_token_id,
    projectionSize: t.projection_size ?? t.hidden_size,
  };
}
