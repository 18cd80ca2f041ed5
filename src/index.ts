// The public API, and nothing else.
export { decodeImage, decodeVideo, openFolder } from '#platform';
export { CheckpointError } from './checkpoint/errors.ts';
export { writeSafetensors } from './checkpoint/safetensors-writer.ts';
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
