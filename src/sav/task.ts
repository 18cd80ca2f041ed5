// One task on one model: head vectors of the training rows, answers and head vectors of the queries, and what comes of them.
import type { AnswerSource } from './answers.ts';
import { readAnswers } from './answers.ts';
import { describeLeaks, findLeaks, labelsOf } from './data.ts';
import { type Experiment, type ExperimentOptions, runExperiment } from './experiment.ts';
import { type Example, type ExtractOptions, extractFeatures, type HeadFeatures } from './features.ts';
import { describeRepeats } from './groups.ts';

/** Labelled rows to choose heads from, and labelled rows to judge them by. */
export interface Task {
  readonly name: string;
  readonly description?: string;
  readonly train: readonly Example[];
  readonly test: readonly Example[];
}

/** What `runTask` has found: the comparison, and what it was made from. */
export interface TaskResult {
  readonly task: Task;
  readonly experiment: Experiment;
  readonly trainFeatures: HeadFeatures;
  readonly testFeatures: HeadFeatures;
  /** The model's own answers to the test rows, where they were asked for. */
  readonly answers?: readonly string[];
  /** What makes the figures less than they seem: rows in both splits, repeated pictures. */
  readonly warnings: readonly string[];
}

export interface TaskOptions extends ExperimentOptions, Omit<ExtractOptions, 'maxLayer' | 'onProgress'> {
  /** Also let the model answer without examples, in words and by the likeliest label: the zero-shot baselines. */
  readonly zeroShot: boolean;
  /** After each row: how many are done, of how many, which part that was, and how many of this part came from the store. */
  readonly onProgress?: (done: number, total: number, part: 'training rows' | 'queries', cached: number) => void;
}

/**
 * Fits on the training rows, classifies the test rows, and compares (`runExperiment`).
 * @throws DataError for rows that cannot be used; as `extractFeatures` and `fitClassifier`.
 */
export async function runTask(source: AnswerSource, task: Task, options: TaskOptions): Promise<TaskResult> {
  const { zeroShot, store, signal, sharePrefix, onProgress, onNotice, ...experimentOptions } = options;
  const total = task.train.length + task.test.length;
  const reading = (part: 'training rows' | 'queries', before: number): ExtractOptions => ({
    ...{ store, signal, sharePrefix, onNotice },
    onProgress: (done, _, cached) => onProgress?.(before + done, total, part, cached),
  });
  const trainFeatures = await extractFeatures(source, task.train, reading('training rows', 0));
  const queries = reading('queries', task.train.length);
  const labels = [...new Set(labelsOf(task.train))];
  const answers = zeroShot ? await readAnswers(source, task.test, labels, queries) : undefined;
  const testFeatures: HeadFeatures = answers
    ? { ...trainFeatures, contents: undefined, vectors: answers.map(({ headVectors }) => headVectors) }
    : await extractFeatures(source, task.test, queries);
  const likeliestLabels = answers?.map(({ labelScores }, i) => {
    const { candidates = labels } = task.test[i];
    const score = (label: string) => labelScores[labels.indexOf(label)] ?? Number.NEGATIVE_INFINITY;
    return candidates.reduce((best, label) => (score(label) > score(best) ? label : best));
  });
  const texts = answers?.map(({ text }) => text);

  const side = (examples: readonly Example[], features: HeadFeatures) => ({
    features,
    labels: labelsOf(examples),
    candidates: examples.map((e) => e.candidates),
  });
  const experiment = await runExperiment(side(task.train, trainFeatures), side(task.test, testFeatures), {
    ...experimentOptions,
    signal,
    zeroShotAnswers: texts,
    likeliestLabels,
  });
  const vectors = { train: trainFeatures.vectors, test: testFeatures.vectors };
  const leak = describeLeaks(await findLeaks(task.train, task.test, vectors), task.test.length);
  const { groups, notes } = experiment.fit;
  return {
    task,
    experiment,
    trainFeatures,
    testFeatures,
    answers: texts,
    warnings: [...(leak ? [leak] : []), ...describeRepeats(groups, task.train), ...notes],
  };
}
