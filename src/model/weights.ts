import type { Tensor, Weight } from '../kernels/tensor.ts';
import type { LlavaConfig } from './config.ts';

/** `nn.Linear`: weight [out, in] as stored, bias [out] in f32. */
export interface Linear {
  readonly weight: Weight;
  readonly bias?: Tensor;
}

export interface LayerNorm {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

export interface VisionBlock {
  readonly ln1: LayerNorm;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly out: Linear;
  readonly ln2: LayerNorm;
  readonly fc1: Linear;
  readonly fc2: Linear;
}

export interface VisionWeights {
  readonly classEmbedding: Tensor;
  readonly patchEmbedding: Weight;
  readonly positionEmbedding: Tensor;
  readonly lnPre: LayerNorm;
  readonly blocks: readonly VisionBlock[];
}

export interface DecoderBlock {
  readonly ln1: Tensor;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  readonly ln2: Tensor;
  readonly gate: Linear;
  readonly up: Linear;
  readonly down: Linear;
}

export interface DecoderWeights {
  readonly embed: Weight;
  readonly blocks: readonly DecoderBlock[];
  readonly lnFinal: Tensor;
  readonly lmHead: Weight;
}

export interface LlavaWeights {
  readonly vision: VisionWeights;
  readonly projector: { readonly linear1: Linear; readonly linear2: Linear };
  readonly decoder: DecoderWeights;
}

/** Where the weights come from: the checkpoint's loader, or a list of what it should load. */
export interface WeightSource {
  /** A matrix [rows, columns], kept as it is stored; higher ranks are flattened to their first dimension. */
  matrix(name: string, shape: readonly number[]): Weight;
  /** A vector or table that is added or multiplied element by element, widened to f32. */
  vector(name: string, shape: readonly number[]): Tensor;
}

/** Names the tensors of LLaVA-1.5 in the canonical layout of src/checkpoint/names.ts, with the shapes the config implies. */
export function llavaWeights(config: LlavaConfig, source: WeightSource): LlavaWeights {
  const { vision, text } = config;
  const linear = (name: string, out: number, input: number, bias: boolean): Linear => ({
    weight: source.matrix(`${name}.weight`, [out, input]),
    bias: bias ? source.vector(`${name}.bias`, [out]) : undefined,
  });
  const layerNorm = (name: string, width: number): LayerNorm => ({
    weight: source.vector(`${name}.weight`, [width]),
    bias: source.vector(`${name}.bias`, [width]),
  });

  const tower = 'vision_tower.vision_model';
  const visionBlock = (l: number): VisionBlock => {
    const layer = `${tower}.encoder.layers.${l}`;
    const d = vision.dModel;
    return {
      ln1: layerNorm(`${layer}.layer_norm1`, d),
      q: linear(`${layer}.self_attn.q_proj`, d, d, true),
      k: linear(`${layer}.self_attn.k_proj`, d, d, true),
      v: linear(`${layer}.self_attn.v_proj`, d, d, true),
      out: linear(`${layer}.self_attn.out_proj`, d, d, true),
      ln2: layerNorm(`${layer}.layer_norm2`, d),
      fc1: linear(`${layer}.mlp.fc1`, vision.dMlp, d, true),
      fc2: linear(`${layer}.mlp.fc2`, d, vision.dMlp, true),
    };
  };
  const patches = Math.floor(vision.imageSize / vision.patchSize) ** 2;

  const decoderBlock = (l: number): DecoderBlock => {
    const layer = `language_model.layers.${l}`;
    const { dModel, dMlp, nHeads, nKvHeads, dHead, attentionBias, mlpBias } = text;
    return {
      ln1: source.vector(`${layer}.input_layernorm.weight`, [dModel]),
      q: linear(`${layer}.self_attn.q_proj`, nHeads * dHead, dModel, attentionBias),
      k: linear(`${layer}.self_attn.k_proj`, nKvHeads * dHead, dModel, attentionBias),
      v: linear(`${layer}.self_attn.v_proj`, nKvHeads * dHead, dModel, attentionBias),
      o: linear(`${layer}.self_attn.o_proj`, dModel, nHeads * dHead, attentionBias),
      ln2: source.vector(`${layer}.post_attention_layernorm.weight`, [dModel]),
      gate: linear(`${layer}.mlp.gate_proj`, dMlp, dModel, mlpBias),
      up: linear(`${layer}.mlp.up_proj`, dMlp, dModel, mlpBias),
      down: linear(`${layer}.mlp.down_proj`, dModel, dMlp, mlpBias),
    };
  };
  const embed = source.matrix('language_model.embed_tokens.weight', [text.vocabSize, text.dModel]);

  return {
    vision: {
      classEmbedding: source.vector(`${tower}.embeddings.class_embedding`, [vision.dModel]),
      patchEmbedding: source.matrix(`${tower}.embeddings.patch_embedding.weight`, [
        vision.dModel,
        3,
        vision.patchSize,
        vision.patchSize,
      ]),
      positionEmbedding: source.vector(`${tower}.embeddings.position_embedding.weight`, [patches + 1, vision.dModel]),
      lnPre: layerNorm(`${tower}.pre_layrnorm`, vision.dModel), // the misspelling is the checkpoint's
      blocks: Array.from({ length: vision.nLayers }, (_, l) => visionBlock(l)),
    },
    projector: {
      linear1: linear(
        'multi_modal_projector.linear_1',
        text.dModel,
        vision.dModel * config.featureLayers.length,
        config.projectorBias,
      ),
      linear2: linear('multi_modal_projector.linear_2', text.dModel, text.dModel, config.projectorBias),
    },
    decoder: {
      embed,
      blocks: Array.from({ length: text.nLayers }, (_, l) => decoderBlock(l)),
      lnFinal: source.vector('language_model.norm.weight', [text.dModel]),
      lmHead: text.tieWordEmbeddings ? embed : source.matrix('lm_head.weight', [text.vocabSize, text.dModel]),
    },
  };
}
