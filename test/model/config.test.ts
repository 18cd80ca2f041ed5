import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../src/model/errors.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { endTokens } from '../../src/model/generation/generation-config.ts';

// As llava-hf/llava-1.5-7b-hf has it: what equals the HF classes' defaults is left out.
const hub = {
  architectures: ['LlavaForConditionalGeneration'],
  model_type: 'llava',
  ignore_index: -100,
  image_token_index: 32000,
  projector_hidden_act: 'gelu',
  text_config: {
    _name_or_path: 'lmsys/vicuna-7b-v1.5',
    architectures: ['LlamaForCausalLM'],
    max_position_embeddings: 4096,
    model_type: 'llama',
    rms_norm_eps: 1e-5,
    torch_dtype: 'float16',
    vocab_size: 32064,
  },
  torch_dtype: 'float16',
  vision_config: {
    hidden_size: 1024,
    image_size: 336,
    intermediate_size: 4096,
    model_type: 'clip_vision_model',
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
    projection_dim: 768,
    vocab_size: 32000,
  },
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
  vocab_size: 32064,
};

describe('parseConfig', () => {
  it('fills in what the hub config of LLaVA-1.5-7B leaves out', () => {
    const config = parseConfig(hub);
    expect(config.vision?.config).toMatchObject({
      features: { layers: [23], strategy: 'default' },
      projectorBias: true,
      tower: { dHead: 64, act: 'quick_gelu', eps: 1e-5, side: 24 },
    });
    expect(config.text).toMatchObject({ dModel: 4096, dMlp: 11008, nLayers: 32, nHeads: 32, nKvHeads: 32, dHead: 128 });
    expect(config.text.rope).toEqual({ type: 'default', theta: 10000 });
  });

  it('reads the older and the newer way of naming the rotary settings alike', () => {
    const older = parseConfig({
      ...hub,
      text_config: { ...hub.text_config, rope_theta: 5e5, rope_scaling: { type: 'linear', factor: 4 } },
    });
    const newer = parseConfig({
      ...hub,
      text_config: { ...hub.text_config, rope_parameters: { rope_theta: 5e5, rope_type: 'linear', factor: 4 } },
    });
    expect(older.text.rope).toEqual({ type: 'linear', theta: 5e5, factor: 4 });
    expect(newer.text.rope).toEqual(older.text.rope);
  });

  it('takes head_dim and key/value heads from the config, never from a division', () => {
    const { text } = parseConfig({ ...hub, text_config: { ...hub.text_config, head_dim: 96, num_key_value_heads: 8 } });
    expect([text.dHead, text.nKvHeads]).toEqual([96, 8]);
  });

  it('resolves feature layers from either end, and lists', () => {
    expect(parseConfig({ ...hub, vision_feature_layer: [-1, 0, 3] }).vision?.config).toMatchObject({
      features: { layers: [24, 0, 3] },
    });
  });

  it.each([
    [{ model_type: 'idefics' }, /model_type "idefics" is not supported; supported: llava \(LLaVA-1\.5\); llava_next/],
    [{ projector_hidden_act: 'mish' }, /projector_hidden_act: "mish" is not supported; supported: quick_gelu, gelu/],
    [{ text_config: { rope_scaling: { rope_type: 'yarn', factor: 2 } } }, /rope_type "yarn" is not supported/],
    [{ text_config: { rope_parameters: { rope_type: 'linear' } } }, /linear needs factor/],
    [{ text_config: { num_attention_heads: 32, num_key_value_heads: 5 } }, /num_key_value_heads 5/],
    [{ text_config: { hidden_size: -4 } }, /text_config\.hidden_size/],
    [{ text_config: { model_type: 'gemma' } }, /text_config\.model_type "gemma" is not a supported decoder/],
    [{ vision_feature_layer: 25 }, /the tower has 25 hidden states, -25 to 24/],
    [{ vision_config: { ...hub.vision_config, num_channels: 1 } }, /vision_config\.num_channels/],
    [{ quantization_config: { bits: 4 } }, /quantization_config is not supported/],
    [{ image_token_index: 40000 }, /image_token_index 40000 is not below text_config\.vocab_size 32064/],
  ])('names what it does not run: %j', (change, message) => {
    const error = (() => {
      try {
        parseConfig({ ...hub, ...change });
      } catch (e) {
        return e;
      }
    })();
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(message);
  });

  it('names all problems at once', () => {
    expect(() =>
      parseConfig({ ...hub, projector_hidden_act: 'mish', vision_feature_layer: 99 }, 'a/config.json'),
    ).toThrow(/^a\/config\.json: .*99.*; .*mish/);
  });
});

describe('a decoder', () => {
  const text = (model_type: string, settings: object = {}) => parseConfig({ model_type, ...settings }).text;
  const biases = (...args: Parameters<typeof text>) => {
    const { qkvBias, oBias, mlpBias } = text(...args);
    return [qkvBias, oBias, mlpBias];
  };

  it('has the biases of its class, of which only Llama’s are settings', () => {
    expect(biases('llama')).toEqual([false, false, false]);
    expect(biases('llama', { attention_bias: true })).toEqual([true, true, false]);
    expect(biases('llama', { mlp_bias: true })).toEqual([false, false, true]);
    expect(biases('mistral', { attention_bias: true, mlp_bias: true })).toEqual([false, false, false]);
    expect(biases('qwen2', { attention_bias: false, mlp_bias: true })).toEqual([true, false, false]);
  });

  it('has as many key/value heads as heads where they are null, and those of its class where they are missing', () => {
    expect(text('qwen2', { num_attention_heads: 16, num_key_value_heads: null }).nKvHeads).toBe(16);
    expect(text('mistral', { num_attention_heads: 16 }).nKvHeads).toBe(8);
  });

  it('slides where layer_types say so, or from max_window_layers on', () => {
    const sliding = { num_hidden_layers: 4, use_sliding_window: true, sliding_window: 9 };
    const layer_types = ['full_attention', 'sliding_attention', 'full_attention', 'sliding_attention'];
    expect(text('qwen2', { ...sliding, layer_types }).windows).toEqual([undefined, 9, undefined, 9]);
    expect(text('qwen2', { ...sliding, max_window_layers: 2 }).windows).toEqual([undefined, undefined, 9, 9]);
    expect(text('mistral', { num_hidden_layers: 2, sliding_window: null }).windows).toEqual([undefined, undefined]);
  });

  it('takes rope_theta from the rotary settings first', () => {
    const rope_parameters = { rope_type: 'default', rope_theta: 1e6 };
    expect(text('qwen2', { rope_theta: 5, rope_parameters }).rope.theta).toBe(1e6);
    expect(text('qwen2', { rope_theta: 5, rope_parameters: { rope_type: 'default' } }).rope.theta).toBe(5);
    const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 };
    const { rope } = text('llama', { max_position_embeddings: 777, rope_scaling: llama3 });
    expect(rope).toMatchObject({ type: 'llama3', theta: 1e4, originalMaxPositions: 777 });
  });

  it('takes the positions before the scaling from beside the rotary settings first', () => {
    const rope_scaling = {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    };
    expect(text('llama', { rope_scaling }).rope).toMatchObject({ originalMaxPositions: 64 });
    const { rope } = text('llama', { rope_scaling, original_max_position_embeddings: 32 });
    expect(rope).toMatchObject({ originalMaxPositions: 32 });
  });
});

it('an original repository’s tower gives its last state but one where config.json does not say', () => {
  const original = { model_type: 'llava_llama', mm_vision_tower: 'openai/clip-vit-large-patch14-336' };
  const { vision } = parseConfig({ ...original, mm_projector_type: 'mlp2x_gelu' });
  expect(vision?.config).toMatchObject({ features: { layers: [23], strategy: 'default' } });
});

it('end tokens are those of the most telling file, or what the decoder’s class assumes, or none', () => {
  const ends = (...args: Parameters<typeof endTokens>) => [...endTokens(...args)];
  const config = { eos_token_id: 5, text_config: { eos_token_id: 6 } };
  expect(ends(config, { eos_token_id: [7, 8] }, 'llama')).toEqual([7, 8]);
  expect(ends(config, {}, 'llama')).toEqual([5]);
  expect(ends({ ...config, eos_token_id: null }, {}, 'llama')).toEqual([6]);
  expect(ends({}, {}, 'mistral')).toEqual([2]);
  expect(ends({}, {}, 'qwen2_5_vl_text')).toEqual([151645]);
  expect(ends({}, {}, 'qwen2')).toEqual([]); // its token 2 is a "#"
  expect(() => ends({ eos_token_id: '</s>' }, {}, 'llama')).toThrow(/expected a token id or a list of token ids/);
});
