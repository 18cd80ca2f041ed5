import type { Placement } from '../../checkpoint/specs.ts';
import { adjacent, type Tensor } from '../../gpu/tensor.ts';
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

/** Where the weights come from: the checkpoint's loader, or a list of what it should load. */
export interface WeightSource {
  /** A matrix [rows, columns], kept as it is stored; higher ranks are flattened to their first dimension. */
  matrix(name: string, shape: readonly number[], placement?: Placement): Weight;
  /** A vector or table that is added or multiplied element by element, widened to f32. */
  vector(name: string, shape: readonly number[], placement?: Placement): Tensor;
}

/** `nn.Linear` of [out, in], or such a part of a stored one: a fused q, k, v projection holds three. */
export function linear(
  source: WeightSource,
  name: string,
  out: number,
  input: number,
  bias: boolean,
  { part, stack }: Placement = {},
): Linear {
  const rows = out * (part?.of ?? 1);
  const place = (what: string) => ({ part, stack: stack && `${stack}.${what}` });
  return {
    weight: source.matrix(`${name}.weight`, [rows, input], place('weight')),
    bias: bias ? source.vector(`${name}.bias`, [rows], place('bias')) : undefined,
  };
}

/**
 * The linear layer that these make, one below the other: its products with some rows are theirs side by side.
 * @returns nothing where they do not lie so in memory (`Placement.stack`), or where some have a bias and some none.
 */
export function joined(linears: readonly Linear[]): Linear | undefined {
  const matrices = linears.map(({ weight }) => weight.parts);
  const biases = linears.flatMap(({ bias }) => bias ?? []);
  const { format, shape } = linears[0].weight;
  if (matrices.some((parts) => parts.length > 1 || parts[0].format !== format)) return undefined;
  const label = linears.map(({ weight }) => weight.label).join(' + ');
  const buffers = matrices[0][0].buffers.map((_, i) =>
    adjacent(
      matrices.map(([part]) => part.buffers[i]),
      label,
    ),
  );
  const bias = biases.length === linears.length ? adjacent(biases, `${label} bias`) : undefined;
  if (buffers.some((buffer) => !buffer) || (biases.length > 0 && !bias)) return undefined;
  const rows = linears.reduce((sum, { weight }) => sum + weight.shape[0], 0);
  const matrix = { label, format, shape: [rows, shape[1]] as const, buffers: buffers as Tensor[] };
  return { weight: { ...matrix, parts: [matrix] }, bias };
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
    const qkv = { stack: `${layer}.self_attn.qkv_proj` };
    const gateUp = { stack: `${layer}.mlp.gate_up_proj` };
    return {
      ln1: rmsNorm(source, `${layer}.input_layernorm`, dModel),
      q: linear(source, `${layer}.self_attn.q_proj`, nHeads * dHead, dModel, qkvBias, qkv),
      k: linear(source, `${layer}.self_attn.k_proj`, nKvHeads * dHead, dModel, qkvBias, qkv),
      v: linear(source, `${layer}.self_attn.v_proj`, nKvHeads * dHead, dModel, qkvBias, qkv),
      o: linear(source, `${layer}.self_attn.o_proj`, dModel, nHeads * dHead, oBias),
      ln2: rmsNorm(source, `${layer}.post_attention_layernorm`, dModel),
      gate: linear(source, `${layer}.mlp.gate_proj`, dMlp, dModel, mlpBias, gateUp),
      up: linear(source, `${layer}.mlp.up_proj`, dMlp, dModel, mlpBias, gateUp),
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
