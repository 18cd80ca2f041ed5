/**
 * The package's entry `sav`: Sparse Attention Vectors, from labelled examples to a classifier.
 * @module headlight-vlm/sav
 */
export { type AnswerSource, readAnswers } from './answers.ts';
export type { Calibration, DistanceModel } from './calibration.ts';
export { type ClassifyOptions, type HeadVote, type Prediction, SavClassifier } from './classifier.ts';
export type { ClassifierData, KeptExamples, Refusal, SelectedHead } from './classifier-data.ts';
export { decodeClassifier, encodeClassifier } from './classifier-file.ts';
export { type ReadOptions, readExamples } from './data.ts';
export {
  type EmbeddingSource,
  type EncoderOptions,
  type EncoderPredictions,
  encoderBaselines,
} from './encoder-baselines.ts';
export { ClassifierError, DataError } from './errors.ts';
export {
  type EncoderResult,
  type Experiment,
  type ExperimentOptions,
  type LabelledFeatures,
  runExperiment,
} from './experiment.ts';
export {
  auditLabels,
  explain,
  type HeadExplanation,
  type LabelDoubt,
  type Neighbour,
  nearestTrainingExample,
} from './explain.ts';
export { type FeatureStore, MemoryFeatureStore, type StoreOptions } from './feature-cache.ts';
export {
  type Example,
  type ExtractOptions,
  extractFeatures,
  type HeadFeatures,
  type HeadVectorSource,
  type ShownExample,
} from './features.ts';
export { type Fit, type FitOptions, fitClassifier, type LeftOut, parity } from './fit.ts';
export type { Groups } from './groups.ts';
export type { LeaveOneOutResult } from './leave-one-out.ts';
export { type Evaluation, evaluate, type Selection, selection, wilsonInterval } from './metrics.ts';
export { type ExampleFolder, type ExampleFolderSource, isPictureName } from './picture-files.ts';
export { isHiddenName, type PictureFolderOptions, readPictureFolder } from './picture-folder.ts';
export {
  describeOtherModel,
  type Project,
  type ProjectExamplesOptions,
  type ProjectPicture,
  projectExamples,
  projectStore,
  type VectorsOf,
  withKnownVectors,
} from './project.ts';
export { decodeProject, encodeProject } from './project-file.ts';
export type { PromptSet } from './prompt-sets.ts';
export type { BadRow } from './rows.ts';
export type { HeadRanking } from './scoring.ts';
export { runTask, type Task, type TaskOptions, type TaskResult } from './task.ts';
export { findUnreadable, type Unreadable, type UnreadableOptions } from './unreadable.ts';
