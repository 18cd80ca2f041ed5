import * as s from '../../base/schema.ts';
import type { BlockShape } from './block.ts';
import { count, type Settings, tokenId, towerBlocks } from './settings.ts';

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
  eos_token_id: s.nullish(tokenId, 49407),
  projection_size: s.nullish(count),
};

// Defaults are those of the HF classes: hub configs leave out what equals them.
const clipSchema = s.object({
  ...common,
  model_type: s.literal('clip_text_model'),
  ...towerBlocks({
    hidden_size: 512,
    intermediate_size: 2048,
    num_attention_heads: 8,
    hidden_act: 'quick_gelu',
    layer_norm_eps: 1e-5,
  }),
  vocab_size: s.optional(count, 49408),
  max_position_embeddings: s.optional(count, 77),
});

const siglipSchema = s.object({
  ...common,
  model_type: s.literal('siglip_text_model'),
  ...towerBlocks({
    hidden_size: 768,
    intermediate_size: 3072,
    num_attention_heads: 12,
    hidden_act: 'gelu_pytorch_tanh',
    layer_norm_eps: 1e-6,
  }),
  vocab_size: s.optional(count, 32000),
  max_position_embeddings: s.optional(count, 64),
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
