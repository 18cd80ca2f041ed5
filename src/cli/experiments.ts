// One task on one model, for `demo` and `eval`: head vectors of the training rows, answers and head vectors of the queries.
import { headName } from '../base/heads.ts';
import { printableLine } from '../base/printable.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import { readAnswers } from '../sav/answers.ts';
import { describeLeaks, findLeaks, labelsOf } from '../sav/data.ts';
import { type Experiment, type ExperimentOptions, figures, runExperiment } from '../sav/experiment.ts';
import type { FeatureStore } from '../sav/feature-cache.ts';
import { type Example, extractFeatures, type HeadFeatures } from '../sav/features.ts';
import { describeRepeats } from '../sav/groups.ts';
import type { Context } from './context.ts';

export interface Task {
  readonly name: string;
  readonly description?: string;
  readonly train: readonly Example[];
  readonly test: readonly Example[];
}

export interface TaskResult {
  readonly task: Task;
  readonly experiment: Experiment;
  readonly trainFeatures: HeadFeatures;
  readonly testFeatures: HeadFeatures;
  readonly answers?: readonly string[];
  readonly warnings: readonly string[];
}

export interface RunTaskOptions extends ExperimentOptions {
  /** Also let the model answer without examples, in words and by the likeliest label: the zero-shot baselines. */
  zeroShot: boolean;
  store?: FeatureStore;
}

const fromCache = (what: string, cached: number) => (cached ? `${what}, ${cached} from the cache` : what);

export async function runTask(
  context: Context,
  model: VisionLanguageModel,
  task: Task,
  options: RunTaskOptions,
): Promise<TaskResult> {
  const { zeroShot, store, ...experimentOptions } = options;
  const { signal } = context;
  const progress = context.progress(task.name, task.train.length + task.test.length);
  try {
    const extract = { store, signal, onNotice: (m: string) => context.note(m) };
    const trainFeatures = await extractFeatures(model, task.train, {
      ...extract,
      onProgress: (done, _, cached) => progress.update(done, fromCache('training rows', cached)),
    });
    const queries = {
      ...extract,
      onProgress: (done: number, _: number, cached: number) =>
        progress.update(task.train.length + done, fromCache('queries', cached)),
    };
    const labels = [...new Set(labelsOf(task.train))];
    const answers = zeroShot ? await readAnswers(model, task.test, labels, queries) : undefined;
    const testFeatures: HeadFeatures = answers
      ? { ...trainFeatures, contents: undefined, vectors: answers.map(({ headVectors }) => headVectors) }
      : await extractFeatures(model, task.test, queries);
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
    const experiment = runExperiment(side(task.train, trainFeatures), side(task.test, testFeatures), {
      ...experimentOptions,
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
  } finally {
    progress.stop();
  }
}

export const percent = (share: number | undefined): string =>
  share === undefined ? '–' : `${(100 * share).toFixed(1)} %`;

/** Rows of text in columns, numbers to the right; each a line, whatever its cells hold. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map(printableLine));
  const widths = header.map((_, c) => cells.reduce((most, row) => Math.max(most, row[c].length), 0));
  return cells
    .map((row) =>
      row
        .map((cell, c) => (c === 0 || c === row.length - 1 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What the table of `demo` and `eval` says of one task. */
export function summaryCells({ task, experiment: e }: TaskResult): string[] {
  const { heads } = e.fit.classifier.data;
  const names = heads.slice(0, 5).map(headName);
  return [
    task.name,
    ...Object.values(figures).map(({ accuracy }) => percent(accuracy(e))),
    percent(e.evaluation.chance),
    `${heads.length}`,
    names.join(' ') + (heads.length > 5 ? ' …' : ''),
  ];
}

export const summaryHeader = [
  'task',
  ...Object.values(figures).map(({ words }) => words),
  'chance',
  'k',
  'heads (layer.head)',
];

/** The same for machines. */
export function summaryJson({ task, experiment: e, warnings, answers }: TaskResult) {
  const { heads, leaveOneOutAccuracy } = e.fit.classifier.data;
  return {
    task: task.name,
    sav: e.evaluation,
    zeroShot: { likeliestLabel: e.likeliest, ownWords: e.zeroShot },
    encoders: e.encoders,
    allHeads: e.allHeads,
    published: e.published,
    randomHeads: e.randomHeads,
    leaveOneOutAccuracy,
    byK: e.byK,
    heads,
    predictions: e.predictions.map(({ label, refused, winner, confidence, votes }, i) => ({
      label,
      ...(refused && { refused, winner }),
      confidence,
      votes,
      truth: task.test[i].label,
      zeroShotAnswer: answers?.[i],
    })),
    warnings,
  };
}
