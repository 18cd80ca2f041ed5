/**
 * The package's entry `analysis`: what a model's activations say.
 * @module headlight-vlm/analysis
 */
export {
  type Ablation,
  type AblationOptions,
  ablate,
  ablateClassifier,
  ablateHeads,
  meanOutputs,
  type VectorQuery,
} from './ablation.ts';
export {
  type AttentionMap,
  type AttentionMaps,
  type AttentionOptions,
  attentionMaps,
  mapOf,
} from './attention-map.ts';
export { type Attribution, type AttributionOptions, attributeLogit } from './attribution.ts';
export type { CapturedOptions } from './captured.ts';
export type { LayerOptions } from './heads.ts';
export { type Knockout, type KnockoutOptions, knockOutImages, type LayerWindow } from './knockout.ts';
export { type LensOptions, type LensRow, type LensToken, logitLens } from './logit-lens.ts';
export { type Pair, type Patching, patchHeads, patchResidual, type ResidualPatching } from './patching.ts';
export { type PictureGrid, type PlacedGrid, placedGrids, visualPositions } from './positions.ts';
export { topK } from './rank.ts';
export {
  type DecoderRollout,
  decoderRollout,
  type Rollout,
  type RolloutOptions,
  towerRollout,
} from './rollout.ts';
export { centroidCosines, headOverlap, linearCka, type Overlap } from './similarity.ts';
export { type SweepOptions, sweepHeadVectors, sweepTarget, type Target } from './sweep.ts';
export { positionTexts, type TokenDecoder, tokenText } from './token-text.ts';
export { tokenDirections, type UnembedOptions, unembedRows } from './unembed.ts';
export {
  type HeadOutput,
  type HeadOutputOptions,
  type HeadWords,
  headOutputs,
  headWords,
  meanHeadOutputs,
  type Word,
} from './words.ts';
