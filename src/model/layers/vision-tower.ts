import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { concatColumns, gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import { patchify } from '../../kernels/patchify/patchify.ts';
import { visionEmbedding } from '../../kernels/vision-embedding/vision-embedding.ts';
import { tokensPerCrop, type ViTConfig } from '../config/vit.ts';
import type { Hooks } from '../interventions/hooks.ts';
import { block, norm } from './transformer.ts';
import { type BlockWeights, clipBlock, layerNorm, type Norm, type WeightSource } from './weights.ts';

export interface ViTWeights {
  readonly patchEmbedding: { readonly weight: Weight; readonly bias?: Tensor };
  readonly classEmbedding?: Tensor;
  readonly positionEmbedding: Tensor;
  readonly lnPre?: Norm;
  readonly blocks: readonly BlockWeights[];
}

/** CLIP's and SigLIP's image towers by their canonical names (src/checkpoint/names.ts). */
export function vitWeights(config: ViTConfig, source: WeightSource): ViTWeights {
  const { dModel, patchSize, classToken } = config;
  const tower = 'vision_tower.vision_model';
  const embeddings = `${tower}.embeddings`;
  return {
    patchEmbedding: {
      weight: source.matrix(`${embeddings}.patch_embedding.weight`, [dModel, 3, patchSize, patchSize]),
      bias: classToken ? undefined : source.vector(`${embeddings}.patch_embedding.bias`, [dModel]),
    },
    classEmbedding: classToken ? source.vector(`${embeddings}.class_embedding`, [dModel]) : undefined,
    positionEmbedding: source.vector(`${embeddings}.position_embedding.weight`, [tokensPerCrop(config), dModel]),
    lnPre: classToken ? layerNorm(source, `${tower}.pre_layrnorm`, dModel) : undefined, // the misspelling is the checkpoint's
    blocks: Array.from({ length: config.nLayers }, (_, l) => clipBlock(source, config, `${tower}.encoder.layers.${l}`)),
  };
}

/**
 * The hidden states of CLIP's or SigLIP's tower (HF `CLIPVisionModel`, `SiglipVisionModel`), before any norm after the last
 * block.
 * @param pixels [crops, 3, imageSize, imageSize], normalised.
 * @param wanted the states to keep: 0 is the first block's input, l the output of l blocks; no block runs after the last.
 * @returns by number, each [crops * tokens, dModel]
 */
export function visionTower(
  rec: Recorder,
  weights: ViTWeights,
  config: ViTConfig,
  pixels: Tensor,
  wanted: readonly number[],
  hooks: Hooks,
): ReadonlyMap<number, Tensor> {
  const crops = pixels.shape[0];
  const patches = hooks.whole([crops, config.side ** 2]).pass(
    'vision.hook_embed',
    matmul(rec, {
      x: patchify(rec, { pixels, patch: config.patchSize, label: 'vision.patches' }),
      ...weights.patchEmbedding,
      label: 'vision.patch_embedding',
    }),
  );
  const site = hooks.whole([crops, tokensPerCrop(config)]);
  let x = visionEmbedding(rec, {
    patches,
    classEmbedding: weights.classEmbedding,
    position: weights.positionEmbedding,
    batch: crops,
    label: 'vision.embeddings',
  });
  x = site.pass('vision.hook_full_embed', x);
  if (weights.lnPre) x = site.pass('vision.hook_ln_pre', norm(rec, weights.lnPre, config, x, 'vision.ln_pre'));
  const states = new Map([[0, x]]);
  const layers = Math.max(...wanted, hooks.visionLayers);
  for (const [l, w] of weights.blocks.slice(0, layers).entries()) {
    x = block(rec, w, config, x, { name: `vision.blocks.${l}`, site, batch: crops, mask: { causal: false } })!;
    if (wanted.includes(l + 1)) states.set(l + 1, x);
  }
  return states;
}

/** Which outputs of the tower LLaVA's models read (HF `get_image_features`). */
export interface FeatureSelection {
  /** Hidden states, joined along the width; never negative here. */
  readonly layers: readonly number[];
  /** `default` drops the first token of each crop: the class token. */
  readonly strategy: 'default' | 'full';
}

/** @returns [crops * (tokens, or one less), dModel * layers] */
export function selectFeatures(
  rec: Recorder,
  states: ReadonlyMap<number, Tensor>,
  { layers, strategy }: FeatureSelection,
  perCrop: number,
): Tensor {
  const features = layers.map((layer) => states.get(layer)!);
  const joined =
    features.length === 1 ? features[0] : concatColumns(rec, { parts: features, label: 'vision.features' });
  if (strategy === 'full') return joined;
  const kept = perCrop - 1;
  const rows = new Uint32Array((joined.shape[0] / perCrop) * kept);
  for (let row = 0; row < rows.length; row++) rows[row] = row + Math.floor(row / kept) + 1;
  const index = rec.input('patch rows', 'u32', [rows.length], rows);
  return gatherRows(rec, { x: joined, rows: index, label: 'vision.selected' });
}
