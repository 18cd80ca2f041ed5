// The package's entry `sav`: Sparse Attention Vectors, from labelled examples to a classifier.
export { type ClassifyOptions, type Prediction, SavClassifier } from './classifier.ts';
export type { ClassifierData, Refusal } from './classifier-data.ts';
export { decodeClassifier, encodeClassifier } from './classifier-file.ts';
export { type ReadOptions, readExamples } from './data.ts';
export {
  type EmbeddingSource,
  type EncoderPredictions,
  encoderBaselines,
} from './encoder-baselines.ts';
export { ClassifierError, DataError } from './errors.ts';
export { type Experiment, runExperiment } from './experiment.ts';
export { explain } from './explain.ts';
export { type FeatureStore, MemoryFeatureStore } from './feature-cache.ts';
export {
  type Example,
  type ExtractOptions,
  extractFeatures,
  type HeadFeatures,
  type HeadVectorSource,
  type ShownExample,
} from './features.ts';
export { type Fit, type FitOptions, fitClassifier, parity } from './fit.ts';
export { type Evaluation, evaluate, type Selection, selection, wilsonInterval } from './metrics.ts';
export { type PictureFolderOptions, readPictureFolder } from './picture-folder.ts';
