import { z } from 'zod';
import type { Activation } from '../kernels/activation/activation.wgsl.ts';
import { ConfigError } from './errors.ts';

/** CLIP's vision transformer (HF `CLIPVisionConfig`). */
export interface VisionConfig {
  readonly dModel: number;
  readonly dMlp: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly dHead: number;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly act: Activation;
  readonly eps: number;
}

/** How the rotary frequencies are made (HF `rope_parameters`). */
export type RopeConfig =
  | { readonly type: 'default'; readonly theta: number }
  | { readonly type: 'linear'; readonly theta: number; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly theta: number;
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    };

/** A Llama decoder (HF `LlamaConfig`). */
export interface TextConfig {
  readonly dModel: number;
  readonly dMlp: number;
  readonly nLayers: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly dHead: number;
  readonly vocabSize: number;
  readonly maxPositions: number;
  readonly act: Activation;
  readonly eps: number;
  readonly rope: RopeConfig;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly tieWordEmbeddings: boolean;
}

/** LLaVA-1.5 (HF `LlavaConfig`). */
export interface LlavaConfig {
  readonly architecture: 'LlavaForConditionalGeneration';
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  readonly projectorAct: Activation;
  readonly projectorBias: boolean;
  /** Indices into the tower's hidden states, 0 (after the pre-norm) to nLayers; never negative here. */
  readonly featureLayers: readonly number[];
  readonly selectStrategy: 'default' | 'full';
  readonly imageTokenId: number;
  /** Tokens that an image becomes: patches, and the class token with strategy `full`. */
  readonly imageTokens: number;
}

const count = z.int().min(1).max(1_000_000);
const epsilon = z.number().positive().max(1);
const nullish = <T>(value: T | null | undefined, fallback: T): T => value ?? fallback;

// Defaults are those of the HF classes: hub configs leave out what equals them.
const visionSchema = z.object({
  model_type: z.literal('clip_vision_model').default('clip_vision_model'),
  hidden_size: count.default(768),
  intermediate_size: count.default(3072),
  num_hidden_layers: count.default(12),
  num_attention_heads: count.default(12),
  num_channels: z.literal(3).default(3),
  image_size: count.default(224),
  patch_size: count.default(32),
  hidden_act: z.string().default('quick_gelu'),
  layer_norm_eps: epsilon.default(1e-5),
});

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  type: z.string().optional(),
  rope_theta: z.number().positive().optional(),
  partial_rotary_factor: z.number().nullish(),
  factor: z.number().positive().optional(),
  low_freq_factor: z.number().positive().optional(),
  high_freq_factor: z.number().positive().optional(),
  original_max_position_embeddings: count.optional(),
});

const textSchema = z.object({
  model_type: z.literal('llama').default('llama'),
  hidden_size: count.default(4096),
  intermediate_size: count.default(11008),
  num_hidden_layers: count.default(32),
  num_attention_heads: count.default(32),
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  vocab_size: count.default(32000),
  max_position_embeddings: count.default(2048),
  hidden_act: z.string().default('silu'),
  rms_norm_eps: epsilon.default(1e-6),
  rope_theta: z.number().positive().nullish(),
  rope_parameters: ropeSchema.nullish(),
  rope_scaling: ropeSchema.nullish(),
  partial_rotary_factor: z.number().nullish(),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  sliding_window: z.number().nullish(),
  quantization_config: z.unknown().optional(),
});

// What `LlavaConfig` assumes of a tower when config.json has no vision_config.
const clipLarge336 = {
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  image_size: 336,
  patch_size: 14,
};

const llavaSchema = z.object({
  architectures: z.array(z.string()).nullish(),
  model_type: z.string(),
  vision_config: visionSchema.prefault(clipLarge336),
  text_config: textSchema.prefault({}),
  image_token_index: z.int().min(0).optional(),
  image_token_id: z.int().min(0).optional(),
  projector_hidden_act: z.string().default('gelu'),
  multimodal_projector_bias: z.boolean().default(true),
  vision_feature_layer: z.union([z.int(), z.array(z.int()).min(1)]).default(-2),
  vision_feature_select_strategy: z.enum(['default', 'full']).default('default'),
  tie_word_embeddings: z.boolean().default(false),
  quantization_config: z.unknown().optional(),
});

const activations: Record<string, Activation> = {
  quick_gelu: 'quick_gelu',
  gelu: 'gelu',
  gelu_pytorch_tanh: 'gelu_pytorch_tanh',
  gelu_new: 'gelu_pytorch_tanh', // the same function under its older name
  silu: 'silu',
  swish: 'silu',
  relu: 'relu',
};

/**
 * Reads a checkpoint's config.json.
 * @param json the parsed file; @param file its name, for errors.
 * @throws ConfigError naming every setting that is wrong or not supported, all at once.
 */
export function parseConfig(json: unknown, file = 'config.json'): LlavaConfig {
  const modelType = (json as { model_type?: unknown } | null)?.model_type;
  if (modelType !== 'llava')
    throw new ConfigError(
      `${file}: model_type ${JSON.stringify(modelType)} is not supported; supported: llava (LLaVA-1.5)`,
    );
  const parsed = llavaSchema.safeParse(json);
  if (!parsed.success)
    throw new ConfigError(
      `${file}: ${parsed.error.issues.map((i) => `${i.path.join('.') || 'config'}: ${i.message}`).join('; ')}`,
    );
  const raw = parsed.data;
  const problems: string[] = [];
  const act = (name: string, where: string): Activation => {
    if (!Object.hasOwn(activations, name))
      problems.push(
        `${where}: ${JSON.stringify(name)} is not supported; supported: ${Object.keys(activations).join(', ')}`,
      );
    return activations[name];
  };

  const v = raw.vision_config;
  if (v.hidden_size % v.num_attention_heads)
    problems.push(
      `vision_config: hidden_size ${v.hidden_size} is not a multiple of num_attention_heads ${v.num_attention_heads}`,
    );
  if (v.patch_size > v.image_size)
    problems.push(`vision_config: patch_size ${v.patch_size} exceeds image_size ${v.image_size}`);
  const vision: VisionConfig = {
    dModel: v.hidden_size,
    dMlp: v.intermediate_size,
    nLayers: v.num_hidden_layers,
    nHeads: v.num_attention_heads,
    dHead: v.hidden_size / v.num_attention_heads,
    imageSize: v.image_size,
    patchSize: v.patch_size,
    act: act(v.hidden_act, 'vision_config.hidden_act'),
    eps: v.layer_norm_eps,
  };

  const t = raw.text_config;
  const nKvHeads = nullish(t.num_key_value_heads, t.num_attention_heads);
  if (t.num_attention_heads % nKvHeads)
    problems.push(
      `text_config: num_attention_heads ${t.num_attention_heads} is not a multiple of num_key_value_heads ${nKvHeads}`,
    );
  if (!t.head_dim && t.hidden_size % t.num_attention_heads)
    problems.push(
      `text_config: hidden_size ${t.hidden_size} is not a multiple of num_attention_heads ${t.num_attention_heads}`,
    );
  const dHead = nullish(t.head_dim, Math.floor(t.hidden_size / t.num_attention_heads));
  if (dHead % 2) problems.push(`text_config: head_dim ${dHead} is odd, which rotary embedding cannot be`);
  if (nullish(t.partial_rotary_factor, 1) !== 1)
    problems.push('text_config.partial_rotary_factor: only 1 is supported');
  if (t.sliding_window != null) problems.push('text_config.sliding_window is not supported');
  for (const [where, q] of [
    ['', raw.quantization_config],
    ['text_config.', t.quantization_config],
  ] as const)
    if (q != null) problems.push(`${where}quantization_config is not supported; use the F32, F16 or BF16 checkpoint`);
  const text: TextConfig = {
    dModel: t.hidden_size,
    dMlp: t.intermediate_size,
    nLayers: t.num_hidden_layers,
    nHeads: t.num_attention_heads,
    nKvHeads,
    dHead,
    vocabSize: t.vocab_size,
    maxPositions: t.max_position_embeddings,
    act: act(t.hidden_act, 'text_config.hidden_act'),
    eps: t.rms_norm_eps,
    rope: ropeConfig(t, problems),
    attentionBias: t.attention_bias,
    mlpBias: t.mlp_bias,
    tieWordEmbeddings: raw.tie_word_embeddings || t.tie_word_embeddings,
  };

  const layers = typeof raw.vision_feature_layer === 'number' ? [raw.vision_feature_layer] : raw.vision_feature_layer;
  const states = vision.nLayers + 1; // the input of each layer, and the output of the last
  for (const layer of layers)
    if (layer < -states || layer >= states)
      problems.push(
        `vision_feature_layer ${layer}: the tower has ${states} hidden states, ${-states} to ${states - 1}`,
      );
  const imageTokenId = raw.image_token_id ?? raw.image_token_index ?? 32000;
  if (imageTokenId >= text.vocabSize)
    problems.push(`image_token_index ${imageTokenId} is not below text_config.vocab_size ${text.vocabSize}`);
  const projectorAct = act(raw.projector_hidden_act, 'projector_hidden_act');
  if (problems.length) throw new ConfigError(`${file}: ${problems.join('; ')}`);

  const patches = Math.floor(vision.imageSize / vision.patchSize) ** 2;
  return {
    architecture: 'LlavaForConditionalGeneration',
    vision,
    text,
    projectorAct,
    projectorBias: raw.multimodal_projector_bias,
    featureLayers: layers.map((layer) => (layer < 0 ? layer + states : layer)),
    selectStrategy: raw.vision_feature_select_strategy,
    imageTokenId,
    imageTokens: raw.vision_feature_select_strategy === 'full' ? patches + 1 : patches,
  };
}

/** `rope_parameters` (transformers 5), `rope_scaling` and a bare `rope_theta` (before) say the same thing. */
function ropeConfig(t: z.infer<typeof textSchema>, problems: string[]): RopeConfig {
  const raw = t.rope_scaling ?? t.rope_parameters ?? {};
  const theta = raw.rope_theta ?? nullish(t.rope_theta, 10000);
  const type = raw.rope_type ?? raw.type ?? 'default';
  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number => {
    const value = raw[key];
    if (value === undefined) problems.push(`text_config.rope_parameters: ${type} needs ${key}`);
    return value ?? 1;
  };
  if (nullish(raw.partial_rotary_factor, 1) !== 1)
    problems.push('text_config.rope_parameters.partial_rotary_factor: only 1 is supported');
  if (type === 'default') return { type, theta };
  if (type === 'linear') return { type, theta, factor: need('factor') };
  if (type === 'llama3')
    return {
      type,
      theta,
      factor: need('factor'),
      lowFreqFactor: need('low_freq_factor'),
      highFreqFactor: need('high_freq_factor'),
      originalMaxPositions: raw.original_max_position_embeddings ?? t.max_position_embeddings,
    };
  problems.push(
    `text_config.rope_parameters: rope_type ${JSON.stringify(type)} is not supported; supported: default, linear, llama3`,
  );
  return { type: 'default', theta };
}
