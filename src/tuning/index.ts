/**
 * The package's entry `tuning`: which kernels are the fastest for a model on this adapter, measured and kept.
 * @module headlight-vlm/tuning
 */

export type { KeptTexts } from '../platform/types.ts';
export type { TunedShape } from '../verify/tune.ts';
export { type KeptTuningOptions, keepTuning, keptTuning } from './kept.ts';
export { type ModelTuning, type TuneModelOptions, tuneModel } from './tune-model.ts';
