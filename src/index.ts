// The public API, and nothing else.
export { decodeImage, decodeVideo, openFolder } from '#platform';
export { type Ablation, type AblationOptions, ablate, ablateHeads, meanOutputs } from './analysis/ablation.ts';
export {
  type AttentionMap,
  type AttentionMaps,
  type AttentionOptions,
  attentionMaps,
} from './analysis/attention-map.ts';
export { type Attribution, type AttributionOptions, attributeLogit } from './analysis/attribution.ts';
export { type Knockout, type KnockoutOptions, knockOutImages, type LayerWindow } from './analysis/knockout.ts';
export { type LensOptions, type LensRow, type LensToken, logitLens } from './analysis/logit-lens.ts';
export { type Pair, type Patching, patchHeads, patchResidual, type ResidualPatching } from './analysis/patching.ts';
export { type PictureGrid, type PlacedGrid, placedGrids, visualPositions } from './analysis/positions.ts';
export {
  type DecoderRollout,
  decoderRollout,
  type Rollout,
  type RolloutOptions,
  towerRollout,
} from './analysis/rollout.ts';
export { centroidCosines, headOverlap, linearCka, type Overlap } from './analysis/similarity.ts';
export { type SweepOptions, sweepHeadVectors, sweepTarget, type Target } from './analysis/sweep.ts';
export { positionTexts, type TokenDecoder, tokenText } from './analysis/token-text.ts';
export { tokenDirections, type UnembedOptions, unembedRows } from './analysis/unembed.ts';
export {
  type HeadOutput,
  type HeadWords,
  headOutputs,
  headWords,
  meanHeadOutputs,
  type Word,
} from './analysis/words.ts';
export { type ErrorCode, errorCodes, HeadlightError } from './base/error.ts';
export { type Head, headName } from './base/heads.ts';
export { attributionChart } from './charts/attribution-chart.ts';
export { type HeatMap, heatMap } from './charts/heat-map.ts';
export { type LineChart, lineChart } from './charts/line-chart.ts';
export { type OverlayFigure, overlay, type Panel } from './charts/overlay.ts';
export { renderReport } from './charts/report/report.ts';
export { type TextGrid, textGrid } from './charts/text-grid.ts';
export type { Heading } from './charts/vega.ts';
export { CheckpointError } from './checkpoint/errors.ts';
export { writeSafetensors } from './checkpoint/safetensors-writer.ts';
export type { Binding, Cost, Dispatch, Workgroups } from './gpu/dispatch.ts';
export { DeviceLostError, GpuError, KernelError, ShapeError } from './gpu/errors.ts';
export type { Format } from './gpu/formats/format.ts';
export { type Gpu, type GpuOptions, openGpu } from './gpu/gpu.ts';
export { type ProfileRow, Profiler } from './gpu/profiler.ts';
export type { Readback } from './gpu/readback.ts';
export type { Recorder, RecorderOptions } from './gpu/recorder.ts';
export type { DType, Tensor } from './gpu/tensor.ts';
export type { StoredMatrix, Weight } from './gpu/weight.ts';
export { type AttentionReference, type AttentionRow, softmax } from './kernels/attention/reference.ts';
export type {
  AttentionKernel,
  AttentionMask,
  CustomKernel,
  HeadSizes,
  KernelOp,
  Kernels,
} from './kernels/custom/kernels.ts';
export type { TextConfig } from './model/config/text.ts';
export {
  DualEncoder,
  type DualInput,
  type DualOutput,
  type DualRunOptions,
  type EmbedOptions,
} from './model/dual-encoder.ts';
export { ConfigError, InputError, NotFiniteError } from './model/errors.ts';
export type { DualEncoderConfig, DualFamily } from './model/families/dual.ts';
export type { Architecture, Family, VisionSide } from './model/families/family.ts';
export { dualFamilies, families, parseConfig, parseDualConfig } from './model/families/index.ts';
export type { GenerateOptions } from './model/generation/generate.ts';
export type { GenerationConfig } from './model/generation/generation-config.ts';
export type { GenerationSettings } from './model/generation/generation-settings.ts';
export type { ModelInput, Visual } from './model/input.ts';
export type { Edit, EditPositions } from './model/interventions/edits.ts';
export { type HookPoint, hookPoints, type NamesFilter, type RunSize } from './model/interventions/hook-points.ts';
export type { PosSlice } from './model/interventions/positions.ts';
export type { LoadModelOptions } from './model/load-model.ts';
export { Model } from './model/model.ts';
export type { Grid, PatchGrid, TokenGrid } from './model/processor/token-grids.ts';
export type { Activation, ActivationCache } from './model/run/activations.ts';
export type { Bound, BoundOptions } from './model/run/bound.ts';
export type { GpuActivations, RunOptions, RunPrice } from './model/run/run.ts';
export {
  type Answer,
  type AnswerOptions,
  type HeadVectorOptions,
  type Prompt,
  type TextOptions,
  VisionLanguageModel,
} from './model/vision-language-model.ts';
export { BoundError, FileError, ImageError, NoAdapterError, VideoError } from './platform/errors.ts';
export type { Folder, FolderSource, ImageSource, RgbImage, VideoSource } from './platform/types.ts';
export { type ClassifyOptions, type Prediction, SavClassifier } from './sav/classifier.ts';
export type { ClassifierData, Refusal } from './sav/classifier-data.ts';
export { decodeClassifier, encodeClassifier } from './sav/classifier-file.ts';
export { type ReadOptions, readExamples } from './sav/data.ts';
export {
  type EmbeddingSource,
  type EncoderPredictions,
  encoderBaselines,
} from './sav/encoder-baselines.ts';
export { ClassifierError, DataError } from './sav/errors.ts';
export { type Experiment, runExperiment } from './sav/experiment.ts';
export { explain } from './sav/explain.ts';
export { type FeatureStore, MemoryFeatureStore } from './sav/feature-cache.ts';
export {
  type Example,
  type ExtractOptions,
  extractFeatures,
  type HeadFeatures,
  type HeadVectorSource,
  type ShownExample,
} from './sav/features.ts';
export { type Fit, type FitOptions, fitClassifier, parity } from './sav/fit.ts';
export { type Evaluation, evaluate, type Selection, selection, wilsonInterval } from './sav/metrics.ts';
export { type PictureFolderOptions, readPictureFolder } from './sav/picture-folder.ts';
export { type CheckOptions, type CheckResult, type CheckRow, checkKernels } from './verify/check.ts';
