import type { Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import type { BlockShape } from '../config/block.ts';
import type { TextConfig } from '../config/text.ts';

/** `nn.Linear`: weight [out, in] as stored, bias [out] in f32. */
export interface Linear {
  readonly weight: Weight;
  readonly bias?: Tensor;
}

/** `nn.LayerNorm` has a bias, an RMS norm none. */
export interface Norm {
  readonly weight: Tensor;
  readonly bias?: Tensor;
}

/** A transformer block, of a decoder or a tower. */
export interface BlockWeights {
  readonly ln1: Norm;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  readonly ln2: Norm;
  /** Gated MLPs only. */
  readonly gate?: Linear;
  /** `up_proj`, or `fc1` of a plain MLP. */
  readonly up: Linear;
  /** `down_proj`, or `fc2`. */
  readonly down: Linear;
}

export interface DecoderWeights {
  readonly embed: Weight;
  readonly blocks: readonly BlockWeights[];
  readonly lnFinal: Norm;
  readonly lmHead: Weight;
}

/** Part `index` of `of` equal parts of a stored tensor's rows: a fused q, k, v projection holds three matrices. */
export interface RowPart {
  readonly index: number;
  readonly of: number;
}

/** Where the weights come from: the checkpoint's loader, or a list of what it should load. */
export interface WeightSource {
  /** A matrix [rows, columns], kept as it is stored; higher ranks are flattened to their first dimension. */
  matrix(name: string, shape: readonly number[], part?: RowPart): Weight;
  /** A vector or table that is added or multiplied element by element, widened to f32. */
  vector(name: string, shape: readonly number[], part?: RowPart): Tensor;
}

/** @param part the shape is that of the whole stored tensor, [of * out, in]. */
export function linear(
  source: WeightSource,
  name: string,
  out: number,
  input: number,
  bias: boolean,
  part?: RowPart,
): Linear {
  const rows = out * (part?.of ?? 1);
  return {
    weight: source.matrix(`${name}.weight`, [rows, input], part),
    bias: bias ? source.vector(`${name}.bias`, [rows], part) : undefined,
  };
}

export function layerNorm(source: WeightSource, name: string, width: number): Norm {
  return { weight: source.vector(`${name}.weight`, [width]), bias: source.vector(`${name}.bias`, [width]) };
}

export function rmsNorm(source: WeightSource, name: string, width: number): Norm {
  return { weight: source.vector(`${name}.weight`, [width]) };
}

/** The blocks that CLIP's and SigLIP's image and text towers share (HF `CLIPEncoderLayer`, `SiglipEncoderLayer`). */
export function clipBlock(source: WeightSource, { dModel: d, dMlp }: BlockShape, layer: string): BlockWeights {
  return {
    ln1: layerNorm(source, `${layer}.layer_norm1`, d),
    q: linear(source, `${layer}.self_attn.q_proj`, d, d, true),
    k: linear(source, `${layer}.self_attn.k_proj`, d, d, true),
    v: linear(source, `${layer}.self_attn.v_proj`, d, d, true),
    o: linear(source, `${layer}.self_attn.out_proj`, d, d, true),
    ln2: layerNorm(source, `${layer}.layer_norm2`, d),
    up: linear(source, `${layer}.mlp.fc1`, dMlp, d, true),
    down: linear(source, `${layer}.mlp.fc2`, d, dMlp, true),
  };
}

/** A decoder's tensors in the canonical layout of src/checkpoint/names.ts, with the shapes the config implies. */
export function decoderWeights(text: TextConfig, source: WeightSource): DecoderWeights {
  const { dModel, dMlp, nHeads, nKvHeads, dHead, vocabSize, qkvBias, oBias, mlpBias } = text;
  const block = (l: number): BlockWeights => {
    const layer = `language_model.layers.${l}`;
    return {
      ln1: rmsNorm(source, `${layer}.input_layernorm`, dModel),
      q: linear(source, `${layer}.self_attn.q_proj`, nHeads * dHead, dModel, qkvBias),
      k: linear(source, `${layer}.self_attn.k_proj`, nKvHeads * dHead, dModel, qkvBias),
      v: linear(source, `${layer}.self_attn.v_proj`, nKvHeads * dHead, dModel, qkvBias),
      o: linear(source, `${layer}.self_attn.o_proj`, dModel, nHeads * dHead, oBias),
      ln2: rmsNorm(source, `${layer}.post_attention_layernorm`, dModel),
      gate: linear(source, `${layer}.mlp.gate_proj`, dMlp, dModel, mlpBias),
      up: linear(source, `${layer}.mlp.up_proj`, dMlp, dModel, mlpBias),
      down: linear(source, `${layer}.mlp.down_proj`, dModel, dMlp, mlpBias),
    };
  };
  const embed = source.matrix('language_model.embed_tokens.weight', [vocabSize, dModel]);
  return {
    embed,
    blocks: Array.from({ length: text.nLayers }, (_, l) => block(l)),
    lnFinal: rmsNorm(source, 'language_model.norm', dModel),
    lmHead: text.tieWordEmbeddings ? embed : source.matrix('lm_head.weight', [vocabSize, dModel]),
  };
}
