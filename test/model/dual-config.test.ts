import { describe, expect, it } from 'vitest';
import { parseConfig, parseDualConfig } from '../../src/model/families/index.ts';

// As the hub has them: what equals the HF classes' defaults may be left out.
const clipLarge = {
  architectures: ['CLIPModel'],
  model_type: 'clip',
  projection_dim: 768,
  logit_scale_init_value: 2.6592,
  text_config: {
    model_type: 'clip_text_model',
    hidden_size: 768,
    intermediate_size: 3072,
    num_attention_heads: 12,
    num_hidden_layers: 12,
    bos_token_id: 0,
    eos_token_id: 2,
    pad_token_id: 1,
  },
  vision_config: {
    model_type: 'clip_vision_model',
    hidden_size: 1024,
    image_size: 336,
    intermediate_size: 4096,
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
  },
};
const siglipSo400m = {
  architectures: ['SiglipModel'],
  model_type: 'siglip',
  text_config: {
    model_type: 'siglip_text_model',
    hidden_size: 1152,
    intermediate_size: 4304,
    num_attention_heads: 16,
    num_hidden_layers: 27,
  },
  vision_config: {
    model_type: 'siglip_vision_model',
    hidden_size: 1152,
    image_size: 384,
    intermediate_size: 4304,
    num_attention_heads: 16,
    num_hidden_layers: 27,
    patch_size: 14,
  },
};

describe('parseDualConfig', () => {
  it('fills in what hub configs leave out', () => {
    const clip = parseDualConfig(clipLarge);
    expect(clip).toMatchObject({ family: { name: 'CLIP' }, embeddingSize: 768 });
    expect(clip.text).toMatchObject({
      maxPositions: 77,
      vocabSize: 49408,
      act: 'quick_gelu',
      eps: 1e-5,
      eosTokenId: 2,
    });
    expect(clip.vision).toMatchObject({ side: 24, act: 'quick_gelu', dHead: 64 });
    const siglip = parseDualConfig(siglipSo400m);
    expect(siglip).toMatchObject({ family: { name: 'SigLIP' }, embeddingSize: 1152 });
    expect(siglip.text).toMatchObject({ maxPositions: 64, vocabSize: 32000, act: 'gelu_pytorch_tanh', eps: 1e-6 });
    expect(siglip.vision).toMatchObject({ side: 27, useHead: true, dHead: 72 });
    expect(parseDualConfig({ model_type: 'siglip' }).embeddingSize).toBe(768);
    expect(parseDualConfig({ model_type: 'clip' }).embeddingSize).toBe(512);
  });

  it('takes text_config_dict and vision_config_dict, with the defaults of what they leave out, as HF does', () => {
    const { text, vision } = parseDualConfig({
      ...clipLarge,
      text_config_dict: { hidden_size: 640, num_attention_heads: 10 },
      vision_config_dict: null,
    });
    expect(text).toMatchObject({ dModel: 640, nHeads: 10, dMlp: 2048, eosTokenId: 49407 });
    expect(vision.dModel).toBe(1024);
  });

  const wrong = (base: object, part: 'text_config' | 'vision_config', settings: object) => ({
    ...base,
    [part]: { ...(base as Record<string, object>)[part], ...settings },
  });
  it.each([
    [wrong(siglipSo400m, 'vision_config', { vision_use_head: false }), 'vision_use_head'],
    [wrong(siglipSo400m, 'text_config', { projection_size: 5 }), 'projection_size 5'],
    [wrong(siglipSo400m, 'vision_config', { model_type: 'clip_vision_model' }), 'vision_config.model_type'],
    [wrong(siglipSo400m, 'text_config', { model_type: 'siglip2_text_model' }), 'text_config.model_type'],
    [wrong(clipLarge, 'text_config', { hidden_act: 'mish' }), '"mish"'],
    [wrong(clipLarge, 'text_config', { num_attention_heads: 7 }), 'not a multiple'],
    [wrong(clipLarge, 'text_config', { vocab_size: 1e9 }), 'text_config.vocab_size'],
    [{ ...clipLarge, projection_dim: 0 }, 'projection_dim'],
    [{ model_type: 'llava' }, 'not an encoder of images and texts; supported: clip (CLIP), siglip (SigLIP)'],
    [null, 'not an encoder'],
  ])('refuses, naming what is wrong (%#)', (json, message) => {
    expect(() => parseDualConfig(json)).toThrow(message);
  });

  it('a command that generates says what an encoder is for', () => {
    expect(() => parseConfig(clipLarge)).toThrow(/CLIP embeds images and texts.*--baseline-encoder/);
    expect(() => parseConfig(siglipSo400m)).toThrow(/SigLIP embeds/);
  });
});
