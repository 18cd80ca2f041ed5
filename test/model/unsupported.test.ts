// What is not run is named, with what is: nothing is guessed, and no setting that HF's classes act on is passed over.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/model/errors.ts';
import { families, parseConfig } from '../../src/model/families/index.ts';

type Json = Record<string, unknown>;

const geometry = (name: string): Json => JSON.parse(readFileSync(`test/fixtures/geometries/${name}.json`, 'utf8'));
const configs = {
  llava: geometry('llava-hf--llava-1.5-7b-hf'),
  next: geometry('llava-hf--llava-v1.6-mistral-7b-hf'),
  onevision: geometry('llava-hf--llava-onevision-qwen2-7b-ov-hf'),
  original: geometry('lmms-lab--llava-onevision-qwen2-7b-ov'),
  qwen2: geometry('Qwen--Qwen2-VL-7B-Instruct'),
  qwen25: geometry('Qwen--Qwen2.5-VL-7B-Instruct'),
  mistral: geometry('mistralai--Mistral-7B-v0.1'),
  text: geometry('Qwen--Qwen2-7B-Instruct'),
  llama: geometry('meta-llama--Llama-3.1-8B-Instruct'),
};

/** Changes within text_config and vision_config are added to what is there. */
function changed(config: Json, change: Json): Json {
  const merged: Json = { ...config };
  for (const [key, value] of Object.entries(change))
    merged[key] =
      /^(text|vision)_config$/.test(key) && value ? { ...(config[key] as Json), ...(value as Json) } : value;
  return merged;
}

function message(config: unknown): string {
  try {
    parseConfig(config, 'x/config.json');
  } catch (e) {
    expect(e).toBeInstanceOf(ConfigError);
    expect((e as Error).message).toMatch(/^x\/config\.json: /);
    expect((e as Error).message).not.toContain('\n');
    return (e as Error).message;
  }
  return 'it was accepted';
}

describe('architectures', () => {
  it.each(
    [
      [
        'idefics',
        'idefics2',
        'idefics3',
        'paligemma',
        'mllama',
        'internvl',
        'internvl_chat',
        'gemma3',
        'gemma',
        'phi3',
      ],
      ['llava_next_video', 'video_llava', 'vipllava', 'qwen3_vl', 'qwen2_5_omni', 'qwen3', 'qwen2_moe', 'mixtral'],
      [
        'blip-2',
        'instructblip',
        'minicpmv',
        'pixtral',
        'mistral3',
        'florence2',
        'smolvlm',
        '__proto__',
        'constructor',
        '',
      ],
    ].flat(),
  )('model_type %j is named, with all that are supported', (modelType) => {
    const text = message({ ...configs.llava, model_type: modelType });
    expect(text).toContain(`model_type ${JSON.stringify(modelType)} is not supported; supported: llava (LLaVA-1.5);`);
    for (const { name, modelTypes } of families) expect(text).toContain(`${modelTypes.join(', ')} (${name})`);
  });

  it.each([
    [null, /model_type undefined is not supported/],
    ['llava', /model_type undefined is not supported/],
    [[], /model_type undefined is not supported/],
    [{ ...configs.llava, model_type: 7 }, /model_type 7 is not supported/],
  ])('what is no config.json is refused: %#', (json, expected) => expect(message(json)).toMatch(expected));

  it.each([
    ['LlavaMptForCausalLM'],
    ['LlavaQwenMoeForCausalLM'],
    ['LlavaMixtralForCausalLM'],
    ['LlavaGemmaForCausalLM'],
    ['constructor'],
    [undefined],
  ])('a class %s of the original repositories is not taken for a Llama', (architecture) => {
    const architectures = architecture && [architecture];
    expect(message({ ...configs.original, architectures })).toContain(
      `architectures ${JSON.stringify(architectures)} with model_type "llava" is not supported; supported: LlavaLlamaForCausalLM, LlavaMistralForCausalLM, LlavaQwenForCausalLM`,
    );
  });
});

it.each([
  [{ architectures: undefined, model_type: 'llava_llama' }, 'llama'],
  [{ architectures: undefined, model_type: 'llava_mistral', sliding_window: null }, 'mistral'],
  [{ architectures: undefined, model_type: 'llava_qwen' }, 'qwen2'],
  [{ architectures: ['LlavaQwenForCausalLM'], model_type: 'llava_llama' }, 'qwen2'],
] as [Json, string][])('original repositories: %j has the decoder %s', (change, decoder) => {
  const config = { ...configs.original, use_sliding_window: undefined, sliding_window: undefined, ...change };
  expect(parseConfig(config).text.modelType).toBe(decoder);
});

it('a rope_scaling that says nothing does not hide rope_parameters', () => {
  const rope_parameters = { rope_type: 'linear', factor: 4, rope_theta: 1e6 };
  const { text } = parseConfig({ ...configs.text, rope_scaling: {}, rope_parameters });
  expect(text.rope).toEqual({ type: 'linear', theta: 1e6, factor: 4 });
});

const ropes: [Json, RegExp][] = [
  ...['yarn', 'dynamic', 'longrope', 'su', 'proportional', 'constructor'].map((type): [Json, RegExp] => [
    { rope_type: type, factor: 4, original_max_position_embeddings: 4096 },
    new RegExp(`rope_type "${type}" is not supported; supported: default, linear, llama3`),
  ]),
  [{ type: 'yarn', factor: 4 }, /rope_type "yarn" is not supported/],
  [{ type: 'linear' }, /linear needs factor/],
  [{ rope_type: 'llama3', factor: 8 }, /llama3 needs low_freq_factor; .*needs high_freq_factor/],
  [
    { full_attention: { rope_theta: 1e6 }, sliding_attention: { rope_theta: 1e4 } },
    /rope_parameters for layers of one type \(full_attention, sliding_attention\) are not supported; supported: one set/,
  ],
  [{ rope_type: 'default', partial_rotary_factor: 0.5 }, /partial_rotary_factor: only 1 is supported/],
  [{ rope_type: 'default', rope_theta: -1 }, /rope_theta/],
];

describe('decoders', () => {
  it.each(ropes)('rotary settings %j', (rope, expected) => {
    for (const key of ['rope_scaling', 'rope_parameters']) {
      expect(message(changed(configs.llava, { text_config: { [key]: rope } }))).toMatch(expected);
      expect(message({ ...configs.text, [key]: rope })).toMatch(expected);
    }
    // The file of Qwen2-VL has a rope_scaling already, which goes first.
    expect(message({ ...configs.qwen2, rope_scaling: { mrope_section: [16, 24, 24], ...rope } })).toMatch(expected);
  });

  it.each([
    [
      'text',
      { rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] } },
      /"mrope" is not supported.*; .*mrope_section is not supported with qwen2/,
    ],
    [
      'text',
      { rope_scaling: { type: 'mrope' } },
      /rope_type "mrope" is not supported; supported: default, linear, llama3$/,
    ],
    [
      'qwen2',
      { rope_scaling: { type: 'mrope', mrope_section: [16, 24, 23] } },
      /mrope_section \[16,24,23\] does not add up/,
    ],
    ['text', { partial_rotary_factor: 0.25 }, /partial_rotary_factor: only 1/],
    ['text', { hidden_act: 'mish' }, /hidden_act: "mish" is not supported; supported: quick_gelu, gelu/],
    [
      'text',
      { quantization_config: { quant_method: 'awq', bits: 4 } },
      /quantization_config is not supported; use the F32/,
    ],
    [
      'text',
      { layer_types: Array(28).fill('sliding_attention') },
      /layer_types: sliding_attention without use_sliding_window/,
    ],
    ['text', { use_sliding_window: true, layer_types: ['full_attention'] }, /layer_types has 1 entries for 28 layers/],
    ['text', { layer_types: Array(28).fill('linear_attention') }, /layer_types/],
    ['text', { sliding_window: 0 }, /sliding_window/],
    ['text', { head_dim: 127 }, /head_dim 127 is odd/],
    ['text', { hidden_size: 3585 }, /hidden_size 3585 is not a multiple of num_attention_heads 28/],
    ['mistral', { layer_types: ['full_attention'] }, /layer_types: Mistral slides in every layer or in none/],
    ['llama', { sliding_window: 4096 }, /sliding_window is not supported with this decoder/],
    ['llama', { num_hidden_layers: 1e9 }, /num_hidden_layers/],
    [
      'next',
      { text_config: { model_type: 'mixtral' } },
      /text_config\.model_type "mixtral" is not a supported decoder; supported: llama/,
    ],
    [
      'next',
      { text_config: { model_type: 'constructor' } },
      /text_config\.model_type "constructor" is not a supported decoder/,
    ],
    ['next', { text_config: { quantization_config: {} } }, /text_config\.quantization_config is not supported/],
    ['qwen25', { text_config: { rope_scaling: { type: 'yarn' } } }, /text_config\.rope_parameters: rope_type "yarn"/],
  ] as [keyof typeof configs, Json, RegExp][])('%s %j', (name, change, expected) => {
    expect(message(changed(configs[name], change))).toMatch(expected);
  });
});

describe('towers, projectors and packing', () => {
  it.each([
    ...['pixtral', 'intern_vit_6b', 'siglip2_vision_model', 'clip', 'dinov2', 'llava_next'].map(
      (type) =>
        [
          'llava',
          { vision_config: { model_type: type } },
          new RegExp(
            `vision_config\\.model_type: "${type}" is not a supported tower; supported: clip_vision_model, siglip_vision_model`,
          ),
        ] as const,
    ),
    ['next', { vision_config: { hidden_act: 'mish' } }, /vision_config\.hidden_act: "mish" is not supported/],
    ['next', { vision_config: { num_channels: 4 } }, /vision_config\.num_channels/],
    ['next', { vision_config: { image_size: [336, 448] } }, /vision_config\.image_size/],
    ['next', { vision_config: { patch_size: 400 } }, /patch_size 400 exceeds image_size 336/],
    ['next', { vision_config: { num_attention_heads: 5 } }, /vision_config\.hidden_size 1024 is not a multiple/],
    ['next', { vision_config: { quantization_config: {} } }, /vision_config\.quantization_config is not supported/],
    ['next', { projector_hidden_act: 'mish' }, /projector_hidden_act: "mish" is not supported/],
    ['next', { vision_feature_select_strategy: 'cls' }, /vision_feature_select_strategy/],
    ['next', { vision_feature_layer: 25 }, /vision_feature_layer 25: the tower has 25 hidden states/],
    ['next', { vision_feature_layer: [-2, -26] }, /vision_feature_layer -26/],
    ['next', { vision_feature_layer: [] }, /vision_feature_layer/],
    ['next', { image_grid_pinpoints: [] }, /image_grid_pinpoints/],
    ['next', { image_grid_pinpoints: [[336]] }, /image_grid_pinpoints/],
    ['onevision', { vision_aspect_ratio: 'anyres' }, /vision_aspect_ratio: expected "anyres_max_"/],
    ['onevision', { vision_feature_layer: [-1, 99] }, /vision_feature_layer 99/],
    [
      'qwen2',
      { vision_config: { hidden_size: 1024 } },
      /vision_config\.hidden_size 1024 is not the decoder's hidden_size/,
    ],
    ['qwen2', { vision_config: { hidden_act: 'mish' } }, /vision_config\.hidden_act: "mish" is not supported/],
    [
      'qwen2',
      { vision_config: { rope_theta: 5000 } },
      /vision_config\.rope_parameters: rope_theta 5000 is not supported; supported: 10000/,
    ],
    ['qwen25', { vision_config: { rope_parameters: { rope_theta: 5000 } } }, /rope_theta 5000 is not supported/],
    [
      'qwen25',
      { vision_config: { rope_parameters: { rope_type: 'yarn' } } },
      /rope_type "yarn" is not supported; supported: axial, default/,
    ],
    ['qwen25', { vision_config: { num_attention_heads: 8 } }, /num_attention_heads 8 is not supported; supported: 16/],
    ['qwen2', { vision_config: { head_dim: 64 } }, /head_dim 64 is not supported; supported: 80/],
    ['qwen2', { vision_config: { quantization_config: {} } }, /vision_config\.quantization_config is not supported/],
    ['qwen2', { vision_config: { patch_size: [14, 14] } }, /vision_config\.patch_size/],
    ['qwen25', { vision_config: { window_size: 20 } }, /vision_config\.window_size 20/],
    [
      'qwen25',
      { vision_config: { out_hidden_size: 2048 } },
      /vision_config\.out_hidden_size 2048 is not the decoder's/,
    ],
    ...['linear', 'identity', 'mlp3x_gelu', 'mlp2x_res1x_gelu', 'pooler', 'ldpnet'].map(
      (type) =>
        [
          'original',
          { mm_projector_type: type },
          new RegExp(`mm_projector_type "${type}": supported: "mlp2x_gelu"`),
        ] as const,
    ),
    ['original', { mm_projector_type: undefined }, /mm_projector_type "linear": supported/],
    ...['OpenGVLab/InternViT-6B-224px', 'eva-clip-E-14-plus', 'openai/clip-vit-base-patch16', 'x/constructor'].map(
      (tower) =>
        [
          'original',
          { mm_vision_tower: tower },
          new RegExp(`mm_vision_tower "${tower}" is not supported; supported: clip-vit`),
        ] as const,
    ),
    ['original', { mm_vision_select_feature: 'slicefour_patch' }, /mm_vision_select_feature/],
    ['original', { mm_resampler_type: 'qformer' }, /mm_resampler_type "qformer" is not supported/],
    ['original', { mm_use_im_start_end: true }, /mm_use_im_start_end true is not supported/],
    ['original', { s2: true }, /s2 true is not supported/],
    ['original', { image_aspect_ratio: 'highres' }, /image_aspect_ratio "highres"/],
    ['original', { mm_patch_merge_type: 'spatial' }, /mm_patch_merge_type "spatial"/],
    ['original', { mm_newline_position: 'grid' }, /mm_newline_position "grid"/],
    ['original', { mm_spatial_pool_mode: 'average' }, /mm_spatial_pool_mode "average"/],
    ['original', { mm_hidden_size: 1024 }, /mm_hidden_size 1024 is not the tower's width 1152/],
    ['original', { image_grid_pinpoints: '(1x1),..' }, /image_grid_pinpoints/],
    ['original', { rope_scaling: { type: 'yarn', factor: 4 } }, /rope_type "yarn" is not supported/],
    ['original', { quantization_config: {} }, /quantization_config is not supported/],
  ] as [keyof typeof configs, Json, RegExp][])('%s %j', (name, change, expected) => {
    expect(message(changed(configs[name], change))).toMatch(expected);
  });
});

describe('settings that HF passes over are passed over', () => {
  it.each([
    ['text', { attention_bias: true, logit_scale: 2, use_cache: false, attention_dropout: 0.5, use_mrope: false }],
    ['text', { rope_scaling: {}, rope_parameters: { rope_type: 'default', rope_theta: 1e6 } }],
    ['llama', { pretraining_tp: 4, layer_types: Array(32).fill('full_attention') }],
    ['original', { mm_tunable_parts: 'mm_mlp_adapter', use_pos_skipping: true, mm_use_im_patch_token: true }],
    ['next', { use_image_newline_parameter: false, image_seq_length: 1 }],
    ['qwen25', { vision_config: { rope_parameters: { rope_type: 'default', rope_theta: 10000 } } }],
  ] as [keyof typeof configs, Json][])('%s %j', (name, change) => {
    const plain = (config: Json) =>
      JSON.stringify({ ...parseConfig(config), vision: parseConfig(config).vision?.config });
    expect(plain(changed(configs[name], change))).toBe(plain(configs[name]));
  });
});

it('windows begin at the layer that the HF class of the decoder says', () => {
  const first = (name: 'text' | 'qwen2', layers: number) =>
    parseConfig({
      ...configs[name],
      use_sliding_window: true,
      max_window_layers: undefined,
      num_hidden_layers: layers,
    }).text.windows.findIndex((w) => w !== undefined);
  expect(first('text', 90)).toBe(28);
  expect(first('qwen2', 90)).toBe(80);
});

it('embeddings are tied by the whole file or by the part of the decoder', () => {
  const tied = (change: Json) => parseConfig({ ...configs.qwen2, ...change }).text.tieWordEmbeddings;
  const { hidden_size, num_attention_heads, num_key_value_heads } = configs.qwen2;
  const text_config = { hidden_size, num_attention_heads, num_key_value_heads };
  expect(tied({ text_config })).toBe(false);
  expect(tied({ text_config, tie_word_embeddings: true })).toBe(true);
  expect(tied({ text_config: { ...text_config, tie_word_embeddings: true } })).toBe(true);
});
