/**
 * The package's main entry: models, GPU, hooks, edits, kernels, the types of data, errors.
 * @module headlight-vlm
 */
export { decodeImage, decodeVideo, openFolder } from '#platform';
export { type ErrorCode, errorCodes, HeadlightError } from './base/error.ts';
export { type Head, headName } from './base/heads.ts';
export type { Rectangle } from './base/rectangle.ts';
export { CheckpointError } from './checkpoint/errors.ts';
export type { MadeWith } from './checkpoint/made-with.ts';
export { type StoredTensor, writeSafetensors } from './checkpoint/safetensors-writer.ts';
export type { Arithmetic, Capabilities } from './gpu/capabilities.ts';
export type { Binding, Cost, Dispatch, Workgroups } from './gpu/dispatch.ts';
export { DeviceLostError, GpuError, KernelError, ShapeError, type SourcePlace } from './gpu/errors.ts';
export type { Format, FormatBuffer, FormatWriter, MatrixShape } from './gpu/formats/format.ts';
export type { FormatName } from './gpu/formats/index.ts';
export { type Gpu, type GpuOptions, openGpu } from './gpu/gpu.ts';
export type { Access, KernelSource } from './gpu/pipeline-cache.ts';
export { type ProfileRow, Profiler } from './gpu/profiler.ts';
export type { Readback } from './gpu/readback.ts';
export type { Recorder, RecorderOptions } from './gpu/recorder.ts';
export type { Started } from './gpu/run.ts';
export type { SubgroupMatrix } from './gpu/subgroup-matrix.ts';
export type { DType, Storage, Tensor } from './gpu/tensor.ts';
export type { TunedChoices } from './gpu/tuning.ts';
export type { StoredMatrix, Weight } from './gpu/weight.ts';
export { type AttentionReference, type AttentionRow, softmax } from './kernels/attention/reference.ts';
export {
  type AttentionKernel,
  type AttentionMask,
  type CustomKernel,
  type HeadSizes,
  type KernelOp,
  type Kernels,
  kernelOps,
} from './kernels/custom/kernels.ts';
export type { RopeConfig, TextConfig } from './model/config/text.ts';
export type { TextTowerConfig } from './model/config/text-tower.ts';
export type { ViTConfig } from './model/config/vit.ts';
export {
  DualEncoder,
  type DualInput,
  type DualOutput,
  type DualRunOptions,
  type EmbedOptions,
} from './model/dual-encoder.ts';
export { ConfigError, InputError, NotFiniteError } from './model/errors.ts';
export type { DualEncoderConfig, DualFamily } from './model/families/dual.ts';
export type { Architecture, VisionSide } from './model/families/family.ts';
export type { GenerateOptions } from './model/generation/generate.ts';
export type { GenerationConfig } from './model/generation/generation-config.ts';
export type { GenerationSettings } from './model/generation/generation-settings.ts';
export type { InputShape, ModelInput, Visual, VisualShape } from './model/input.ts';
export type { Edit, EditPositions } from './model/interventions/edits.ts';
export {
  type HookPoint,
  hookPoints,
  type NamesFilter,
  type RunSize,
} from './model/interventions/hook-points.ts';
export type { PositionRange, PosSlice } from './model/interventions/positions.ts';
export type { CacheFormat, KvCache } from './model/layers/kv-cache.ts';
export type { LoadModelOptions, LoadPart } from './model/load-model.ts';
export { Model, type RunningStep, type StepOptions, type StepResult } from './model/model.ts';
export type { CheckpointPrice, CheckpointPriceOptions, FormatPrice } from './model/plan/checkpoint-price.ts';
export { priceCheckpoint } from './model/price-checkpoint.ts';
export type { ChatTemplateOptions, ContentPart, Message } from './model/processor/chat-template.ts';
export type { DualProcessor, TokenizedText } from './model/processor/dual-processor.ts';
export type { Placeholder, PrepareOptions, Processor, ShapeOptions } from './model/processor/processor.ts';
export { cellArea, type Grid, type PatchGrid, type Planes, type TokenGrid } from './model/processor/token-grids.ts';
export type { Tokenizer } from './model/processor/tokenizer.ts';
export { quantize } from './model/quantize.ts';
export { Activation, ActivationCache } from './model/run/activations.ts';
export type { Bound, BoundOptions } from './model/run/bound.ts';
export { type GpuActivations, type RunOptions, type RunPrice, splitHeadVectors } from './model/run/run.ts';
export type { WarmUpOptions } from './model/run/warm-up.ts';
export {
  type Answer,
  type AnswerOptions,
  type HeadVectorOptions,
  type Prompt,
  type TextOptions,
  VisionLanguageModel,
} from './model/vision-language-model.ts';
export type { WeightPart, WeightsChoice } from './model/weight-formats.ts';
export type { Quantized, QuantizeOptions } from './model/write-quantized.ts';
export { BoundError, FileError, ImageError, NoAdapterError, VideoError } from './platform/errors.ts';
export { type CheckpointStore, openCheckpointStore } from './platform/open-store.ts';
export type {
  CheckpointStoreOptions,
  DecodeOptions,
  DecodeVideoOptions,
  Drawable,
  Folder,
  FolderEntry,
  FolderSource,
  ImageSource,
  KeptCheckpoint,
  PickedFolder,
  PixelSize,
  RgbImage,
  StoreNote,
  Video,
  VideoInfo,
  VideoSource,
  Visit,
  WritePieces,
} from './platform/types.ts';
export { type CheckOptions, type CheckResult, type CheckRow, checkKernels } from './verify/check.ts';
