// A LLaVA with made-up weights, as a checkpoint for us and as ONNX for transformers.js.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { pseudoRandom } from '../../src/kernels/pseudo-random.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { weightSpecs } from '../../src/model/load-model.ts';
import { decoderOnnx, embeddingOnnx, type Matrices, visionOnnx } from './llava-onnx.ts';

const text = {
  model_type: 'llama',
  hidden_size: 512,
  intermediate_size: 1376,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  vocab_size: 2048,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  hidden_act: 'silu',
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
  tie_word_embeddings: false,
};
const vision = {
  model_type: 'clip_vision_model',
  hidden_size: 256,
  intermediate_size: 1024,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  image_size: 112,
  patch_size: 14,
  hidden_act: 'quick_gelu',
  layer_norm_eps: 1e-5,
};
const imageToken = 2000;
const imageTokens = (vision.image_size / vision.patch_size) ** 2;
const config = {
  architectures: ['LlavaForConditionalGeneration'],
  model_type: 'llava',
  image_token_index: imageToken,
  image_seq_length: imageTokens,
  projector_hidden_act: 'gelu',
  vision_feature_layer: -2,
  vision_feature_select_strategy: 'default',
  text_config: text,
  vision_config: vision,
  dtype: 'float32',
};

export type Sizes = { readonly text: typeof text; readonly vision: typeof vision };

/** A picture's tokens between a few others: 70 in all. */
export const promptInput = (): ModelInput => ({
  inputIds: Uint32Array.from([1, 17, ...Array(imageTokens).fill(imageToken), 44, 91, 123, 7]),
  visuals: [
    {
      kind: 'image',
      pixels: pseudoRandom(3 * vision.image_size ** 2, 99),
      shape: [1, 3, vision.image_size, vision.image_size],
    },
  ],
});

/** Norms about 1, biases about 0, matrices that keep what passes through them within bounds. */
function madeUp(): Matrices {
  const specs = weightSpecs(parseConfig(config, 'config.json'));
  return new Map(
    specs.map(({ name, shape, role }, i) => {
      const values = pseudoRandom(
        shape.reduce((a, b) => a * b),
        i,
      );
      const scale = role === 'vector' && /norm/.test(name) && name.endsWith('.weight');
      return [name, { shape, values: values.map((x) => (scale ? 1 + 0.1 * x : 0.1 * x)) }];
    }),
  );
}

/**
 * Writes a folder that both read.
 * @param grouped the decoder's attention as GroupQueryAttention, as exporters for ORT write it; otherwise of ONNX's own operators.
 */
export function writeCheckpoint(folder: string, grouped: boolean): void {
  const weights = madeUp();
  mkdirSync(join(folder, 'onnx'), { recursive: true });
  const write = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);
  write('config.json', JSON.stringify({ ...config, 'transformers.js_config': { use_external_data_format: false } }));
  // No token ends the text.
  write('generation_config.json', JSON.stringify({ bos_token_id: 1, eos_token_id: [9999], pad_token_id: 0 }));
  write(
    'model.safetensors',
    writeSafetensors([...weights].map(([name, { shape, values }]) => tensorOf(name, shape, values))),
  );
  const sizes = { text, vision };
  write('onnx/embed_tokens.onnx', embeddingOnnx(weights, sizes));
  write('onnx/vision_encoder.onnx', visionOnnx(weights, sizes));
  write('onnx/decoder_model_merged.onnx', decoderOnnx(weights, sizes, grouped));
}
