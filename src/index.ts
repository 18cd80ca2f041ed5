// The public API, and nothing else.
export { decodeImage, decodeVideo, openFolder } from '#platform';
export { type Ablation, type AblationOptions, ablate, ablateHeads, meanOutputs } from './analysis/ablation.ts';
export { type AttentionMap, type AttentionMaps, attentionMaps } from './analysis/attention-map.ts';
export { type Attribution, attributeLogit } from './analysis/attribution.ts';
export { type Head, headName } from './analysis/heads.ts';
export { type Knockout, knockOutImages } from './analysis/knockout.ts';
export { type LensOptions, type LensRow, logitLens } from './analysis/logit-lens.ts';
export { type Patching, patchHeads, patchResidual, type ResidualPatching } from './analysis/patching.ts';
export { placedGrids, visualPositions } from './analysis/positions.ts';
export { decoderRollout, type Rollout, towerRollout } from './analysis/rollout.ts';
export { centroidCosines, headOverlap, linearCka } from './analysis/similarity.ts';
export { sweepHeadVectors, sweepTarget, type Target } from './analysis/sweep.ts';
export { tokenDirections, unembedRows } from './analysis/unembed.ts';
export { type HeadOutput, type HeadWords, headOutputs, headWords, meanHeadOutputs } from './analysis/words.ts';
export { CheckpointError } from './checkpoint/errors.ts';
export { writeSafetensors } from './checkpoint/safetensors-writer.ts';
export { type AttentionReference, type AttentionRow, softmax } from './kernels/attention/reference.ts';
export { type CheckResult, type CheckRow, checkKernels } from './kernels/check/check.ts';
export type { AttentionKernel, AttentionMask, CustomKernel, KernelOp, Kernels } from './kernels/custom/kernels.ts';
export type { Dispatch } from './kernels/dispatch.ts';
export { DeviceLostError, KernelError, ShapeError } from './kernels/errors.ts';
export { type Gpu, type GpuOptions, openGpu } from './kernels/gpu.ts';
export { type ProfileRow, Profiler } from './kernels/profiler.ts';
export type { TextConfig } from './model/config/text.ts';
export { DualEncoder, type DualInput, type DualOutput } from './model/dual-encoder.ts';
export type { Edit, EditPositions } from './model/edits.ts';
export { ConfigError, InputError } from './model/errors.ts';
export type { DualEncoderConfig, DualFamily } from './model/families/dual.ts';
export type { Architecture, Family, VisionSide } from './model/families/family.ts';
export { dualFamilies, families, parseConfig, parseDualConfig } from './model/families/index.ts';
export { type HookPoint, hookPoints, type NamesFilter } from './model/hook-points.ts';
export type { ModelInput, Visual } from './model/input.ts';
export { Model } from './model/model.ts';
export type { PosSlice } from './model/positions.ts';
export type { Activation, ActivationCache, GpuActivations, RunOptions, RunPrice } from './model/run.ts';
export type { Grid, PatchGrid, TokenGrid } from './model/token-grids.ts';
export { type Prompt, type TextOptions, VisionLanguageModel } from './model/vision-language-model.ts';
export { FileError, ImageError, NoAdapterError, VideoError } from './platform/errors.ts';
export type { RgbImage, VideoSource } from './platform/types.ts';
export { type ClassifierData, type Prediction, SavClassifier } from './sav/classifier.ts';
export { decodeClassifier, encodeClassifier } from './sav/classifier-file.ts';
export { readExamples } from './sav/data.ts';
export {
  type EmbeddingSource,
  type EncoderPredictions,
  encoderBaselines,
} from './sav/encoder-baselines.ts';
export { type Experiment, runExperiment } from './sav/experiment.ts';
export { explain } from './sav/explain.ts';
export { type FeatureStore, MemoryFeatureStore } from './sav/feature-cache.ts';
export { type Example, extractFeatures, type HeadFeatures, type HeadVectorSource } from './sav/features.ts';
export { type Fit, type FitOptions, fitClassifier, parity } from './sav/fit.ts';
export { evaluate } from './sav/metrics.ts';
export { renderReport } from './sav/report/report.ts';
