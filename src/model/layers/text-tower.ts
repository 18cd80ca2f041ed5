import type { Recorder } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import type { Weight } from '../../gpu/weight.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { embedding } from '../../kernels/embedding/embedding.ts';
import { visionEmbedding } from '../../kernels/vision-embedding/vision-embedding.ts';
import type { TextTowerConfig } from '../config/text-tower.ts';
import type { Hooks } from '../interventions/hooks.ts';
import type { Mask } from './block-run.ts';
import { block, norm } from './transformer.ts';
import { type BlockWeights, clipBlock, layerNorm, type Norm, type WeightSource } from './weights.ts';

export interface TextTowerWeights {
  readonly embed: Weight;
  /** [maxPositions, dModel] */
  readonly positions: Tensor;
  readonly blocks: readonly BlockWeights[];
  readonly lnFinal: Norm;
}

/** CLIP's and SigLIP's text towers by their names on the hub. */
export function textTowerWeights(config: TextTowerConfig, source: WeightSource): TextTowerWeights {
  const { dModel, vocabSize, maxPositions, nLayers } = config;
  const embeddings = 'text_model.embeddings';
  const layer = (l: number) => clipBlock(source, config, `text_model.encoder.layers.${l}`);
  return {
    embed: source.matrix(`${embeddings}.token_embedding.weight`, [vocabSize, dModel]),
    positions: source.vector(`${embeddings}.position_embedding.weight`, [maxPositions, dModel]),
    blocks: Array.from({ length: nLayers }, (_, l) => layer(l)),
    lnFinal: layerNorm(source, 'text_model.final_layer_norm', dModel),
  };
}

/** Texts of equal length, and the row of all their tokens at which each one's vector is read. */
export interface TextBatch {
  /** [texts * length] */
  readonly ids: Uint32Array<ArrayBuffer>;
  readonly texts: number;
  readonly length: number;
  /** [texts] */
  readonly pooled: Uint32Array<ArrayBuffer>;
}

/**
 * One hidden state of each text, after the last norm (HF `CLIPTextModel`, `SiglipTextModel`, before any projection).
 * @returns [texts, dModel]
 */
export function textTower(
  rec: Recorder,
  weights: TextTowerWeights,
  config: TextTowerConfig,
  { ids, texts, length, pooled }: TextBatch,
  mask: Mask,
  hooks: Hooks,
): Tensor {
  const site = hooks.whole([texts, length]);
  const tokens = rec.input('input_ids', 'u32', [ids.length], ids);
  const embedded = site.pass(
    'text.hook_embed',
    embedding(rec, { ids: tokens, weight: weights.embed, label: 'text.token_embedding' }),
  );
  // Without a class token, the image tower's embedding is this one: positions added to each sequence's rows.
  let x = visionEmbedding(rec, {
    patches: embedded,
    position: rows(weights.positions, 0, length),
    batch: texts,
    label: 'text.embeddings',
  });
  x = site.pass('text.hook_full_embed', x);
  for (const [l, w] of weights.blocks.entries())
    x = block(rec, w, config, x, { name: `text.blocks.${l}`, site, batch: texts, mask })!;
  // Each row has its own norm, so that all of them are needed only where somebody asks.
  const whole = site.touches('text.ln_final.hook_normalized', 'text.ln_final.hook_scale');
  if (whole) x = norm(rec, weights.lnFinal, config, x, 'text.ln_final', site);
  const read = rec.input('pooled rows', 'u32', [texts], pooled);
  const vectors = gatherRows(rec, { x, rows: read, label: 'text.pooled' });
  return whole ? vectors : norm(rec, weights.lnFinal, config, vectors, 'text.ln_final');
}
