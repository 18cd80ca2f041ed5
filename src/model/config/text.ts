import { quoteValue } from '../../base/quote.ts';
import * as s from '../../base/schema.ts';
import type { BlockShape } from './block.ts';
import { count, epsilon, headCount, layerCount, type Settings } from './settings.ts';

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

/** A decoder (HF `LlamaConfig`, `MistralConfig`, `Qwen2Config`, `Qwen2VLTextConfig`). */
export interface TextConfig extends BlockShape {
  /** HF's model_type: llama, mistral, qwen2, qwen2_vl_text, … */
  readonly modelType: string;
  /** Decoder blocks. */
  readonly nLayers: number;
  /** Rows of the embedding, those of no token included. */
  readonly vocabSize: number;
  /** Tokens of the longest sequence. */
  readonly maxPositions: number;
  /** Rotary positions: their base, and how they are scaled. */
  readonly rope: RopeConfig;
  /** Qwen2-VL: how many of a head's frequencies turn with time, height and width. */
  readonly mropeSections?: readonly [time: number, height: number, width: number];
  /** Biases of q, k and v; of o; of the MLP. */
  readonly qkvBias: boolean;
  readonly oBias: boolean;
  readonly mlpBias: boolean;
  /** The unembedding is the embedding. */
  readonly tieWordEmbeddings: boolean;
  /** Keys that a query of each layer sees, its own included (HF `sliding_window`); undefined for all before it. */
  readonly windows: readonly (number | undefined)[];
}

/** What the HF class of a decoder assumes where config.json is silent, and what it has no setting for. */
interface Decoder {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads?: number;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
  readonly sliding_window: number | null;
  /** `config`: attention_bias and mlp_bias say. `qkv`: q, k and v have one, nothing else has. */
  readonly bias: 'config' | 'none' | 'qkv';
  /** `all`: every layer slides where sliding_window is set. `upper`: use_sliding_window and max_window_layers say. */
  readonly sliding: 'none' | 'all' | 'upper';
  /** `upper`: the first layer that slides. */
  readonly max_window_layers?: number;
  /** Positions over time, height and width. */
  readonly mrope?: true;
}

const qwen2VlText: Decoder = {
  hidden_size: 8192,
  intermediate_size: 29568,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  vocab_size: 152064,
  max_position_embeddings: 32768,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  sliding_window: 4096,
  bias: 'qkv',
  sliding: 'upper',
  max_window_layers: 80,
  mrope: true,
};

/** The decoders by model_type: the next one is an entry here. */
const decoders: Readonly<Record<string, Decoder>> = {
  llama: {
    hidden_size: 4096,
    intermediate_size: 11008,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    vocab_size: 32000,
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    sliding_window: null,
    bias: 'config',
    sliding: 'none',
  },
  mistral: {
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    vocab_size: 32000,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    sliding_window: 4096,
    bias: 'none',
    sliding: 'all',
  },
  qwen2: {
    hidden_size: 4096,
    intermediate_size: 22016,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 32,
    vocab_size: 151936,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    sliding_window: 4096,
    bias: 'qkv',
    sliding: 'upper',
    max_window_layers: 28,
  },
  qwen2_vl_text: qwen2VlText,
  qwen2_5_vl_text: qwen2VlText,
};

const ropeSchema = s.looseObject({
  rope_type: s.optional(s.string()),
  type: s.optional(s.string()),
  rope_theta: s.optional(s.positive()),
  partial_rotary_factor: s.nullish(s.number()),
  factor: s.optional(s.positive()),
  low_freq_factor: s.optional(s.positive()),
  high_freq_factor: s.optional(s.positive()),
  original_max_position_embeddings: s.optional(count),
  mrope_section: s.optional(s.tuple([count, count, count])),
});

const sizes = {
  hidden_size: s.optional(count),
  intermediate_size: s.optional(count),
  num_hidden_layers: s.optional(layerCount),
  num_attention_heads: s.optional(headCount),
  num_key_value_heads: s.nullish(headCount),
  head_dim: s.nullish(count),
  vocab_size: s.optional(count),
  max_position_embeddings: s.optional(count),
};

const textSchema = s.object({
  ...sizes,
  model_type: s.optional(s.string()),
  hidden_act: s.optional(s.string(), 'silu'),
  rms_norm_eps: s.optional(epsilon),
  rope_theta: s.nullish(s.positive()),
  rope_parameters: s.nullish(ropeSchema),
  rope_scaling: s.nullish(ropeSchema),
  partial_rotary_factor: s.nullish(s.number()),
  original_max_position_embeddings: s.nullish(count),
  attention_bias: s.nullish(s.boolean()),
  mlp_bias: s.nullish(s.boolean()),
  tie_word_embeddings: s.nullish(s.boolean()),
  sliding_window: s.nullish(count),
  use_sliding_window: s.nullish(s.boolean()),
  max_window_layers: s.nullish(s.int(0)),
  layer_types: s.nullish(s.array(s.oneOf(['full_attention', 'sliding_attention']))),
  quantization_config: s.optional(s.unknown()),
});

export interface TextDefaults {
  /** Where the file does not say. */
  readonly modelType: string;
  /** Ties embeddings though the decoder's own part of the file does not. */
  readonly tied?: boolean;
}

/**
 * Reads the settings of a decoder.
 * @param json `text_config`, or a whole file where its settings stand at the top; @param where its name in messages.
 */
export function parseText(settings: Settings, json: unknown, where: string, defaults: TextDefaults): TextConfig {
  const t = settings.read(textSchema, json, where);
  const prefix = where ? `${where}.` : '';
  const modelType = t.model_type ?? defaults.modelType;
  if (!Object.hasOwn(decoders, modelType))
    settings.problem(
      `${prefix}model_type ${quoteValue(modelType)} is not a supported decoder; supported: ${Object.keys(decoders).join(', ')}`,
    );
  const d = decoders[modelType] ?? decoders.llama;
  const size = (key: keyof typeof sizes & keyof Decoder): number => t[key] ?? (d[key] as number);
  const [dModel, nHeads, nLayers] = [size('hidden_size'), size('num_attention_heads'), size('num_hidden_layers')];
  const maxPositions = size('max_position_embeddings');
  const nKvHeads = t.num_key_value_heads === null ? nHeads : (t.num_key_value_heads ?? d.num_key_value_heads ?? nHeads);
  settings.divides(`${prefix}num_attention_heads`, nHeads, 'num_key_value_heads', nKvHeads);
  if (!t.head_dim) settings.divides(`${prefix}hidden_size`, dModel, 'num_attention_heads', nHeads);
  const dHead = t.head_dim ?? Math.floor(dModel / nHeads);
  if (dHead % 2) settings.problem(`${prefix}head_dim ${dHead} is odd, which rotary embedding cannot be`);
  settings.unquantised(t, prefix);
  const isSet = (rope: object | null | undefined) => rope != null && Object.keys(rope).length > 0;
  const rope = (isSet(t.rope_scaling) ? t.rope_scaling : t.rope_parameters) ?? {};
  // HF's classes let the one beside the rotary settings go before the one within.
  const originalMaxPositions =
    t.original_max_position_embeddings ?? rope.original_max_position_embeddings ?? maxPositions;
  if ([t.partial_rotary_factor, rope.partial_rotary_factor].some((factor) => factor != null && factor !== 1))
    settings.problem(`${prefix}partial_rotary_factor: only 1 is supported`);
  return {
    modelType,
    dModel,
    dMlp: size('intermediate_size'),
    nLayers,
    nHeads,
    nKvHeads,
    dHead,
    gated: true,
    act: settings.act(t.hidden_act, `${prefix}hidden_act`),
    eps: t.rms_norm_eps ?? d.rms_norm_eps,
    vocabSize: size('vocab_size'),
    maxPositions,
    rope: ropeConfig(settings, rope, rope.rope_theta ?? t.rope_theta ?? d.rope_theta, originalMaxPositions, d, prefix),
    mropeSections: mropeSections(settings, modelType, d, rope.mrope_section, dHead, prefix),
    qkvBias: d.bias === 'qkv' || (d.bias === 'config' && (t.attention_bias ?? false)),
    oBias: d.bias === 'config' && (t.attention_bias ?? false),
    mlpBias: d.bias === 'config' && (t.mlp_bias ?? false),
    tieWordEmbeddings: (defaults.tied || t.tie_word_embeddings) ?? false,
    windows: windows(settings, t, d, nLayers, prefix),
  };
}

/** `rope_parameters` (transformers 5), `rope_scaling` and a bare `rope_theta` (before) say the same thing. */
function ropeConfig(
  settings: Settings,
  raw: s.InferOutput<typeof ropeSchema>,
  theta: number,
  originalMaxPositions: number,
  { mrope }: Decoder,
  prefix: string,
): RopeConfig {
  const type = raw.rope_type ?? raw.type ?? 'default';
  const nested = Object.keys(raw).filter((key) => typeof raw[key] === 'object' && key !== 'mrope_section');
  if (nested.length)
    settings.problem(
      `${prefix}rope_parameters for layers of one type (${nested.join(', ')}) are not supported; supported: one set for all layers`,
    );
  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number => {
    const value = raw[key];
    if (value === undefined) settings.problem(`${prefix}rope_parameters: ${type} needs ${key}`);
    return value ?? 1;
  };
  // Qwen2-VL's "mrope" is the default table, read at three positions (mrope_section).
  if (type === 'default' || (type === 'mrope' && mrope)) return { type: 'default', theta };
  if (type === 'linear') return { type, theta, factor: need('factor') };
  if (type === 'llama3')
    return {
      type,
      theta,
      factor: need('factor'),
      lowFreqFactor: need('low_freq_factor'),
      highFreqFactor: need('high_freq_factor'),
      originalMaxPositions,
    };
  settings.problem(
    `${prefix}rope_parameters: rope_type ${quoteValue(type)} is not supported; supported: default, linear, llama3${mrope ? ', mrope' : ''}`,
  );
  return { type: 'default', theta };
}

function mropeSections(
  settings: Settings,
  modelType: string,
  { mrope }: Decoder,
  found: readonly [number, number, number] | undefined,
  dHead: number,
  prefix: string,
): TextConfig['mropeSections'] {
  if (!mrope) {
    if (found) settings.problem(`${prefix}rope_parameters.mrope_section is not supported with ${modelType}`);
    return undefined;
  }
  const sections = found ?? [16, 24, 24];
  if (2 * (sections[0] + sections[1] + sections[2]) !== dHead)
    settings.problem(`${prefix}mrope_section [${sections}] does not add up to half of the head size ${dHead}`);
  return sections;
}

function windows(
  settings: Settings,
  t: s.InferOutput<typeof textSchema>,
  d: Decoder,
  nLayers: number,
  prefix: string,
): (number | undefined)[] {
  const window = (t.sliding_window === undefined ? d.sliding_window : t.sliding_window) ?? undefined;
  const every = (slides: (layer: number) => boolean) =>
    Array.from({ length: nLayers }, (_, l) => (slides(l) ? window : undefined));
  if (d.sliding === 'none') {
    if (t.sliding_window != null) settings.problem(`${prefix}sliding_window is not supported with this decoder`);
    return every(() => false);
  }
  if (d.sliding === 'all') {
    if (t.layer_types?.includes('full_attention') && window !== undefined)
      settings.problem(`${prefix}layer_types: Mistral slides in every layer or in none`);
    return every(() => true);
  }
  const types = t.layer_types;
  if (!t.use_sliding_window || window === undefined) {
    if (types?.includes('sliding_attention'))
      settings.problem(
        `${prefix}layer_types: sliding_attention without ${t.use_sliding_window ? 'sliding_window' : 'use_sliding_window'}`,
      );
    return every(() => false);
  }
  if (types && types.length !== nLayers)
    settings.problem(`${prefix}layer_types has ${types.length} entries for ${nLayers} layers`);
  const first = t.max_window_layers ?? d.max_window_layers!;
  return every((l) => (types ? types[l] === 'sliding_attention' : l >= first));
}
