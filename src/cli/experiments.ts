// One task on one model, for `demo` and `eval`: head vectors of the training rows, answers and head vectors of the queries.
import { headName } from '../analysis/heads.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import { describeLeaks, findLeaks, labelsOf } from '../sav/data.ts';
import { type Experiment, type ExperimentOptions, runExperiment } from '../sav/experiment.ts';
import type { FeatureStore } from '../sav/feature-cache.ts';
import { type Example, extractFeatures, type HeadFeatures, show } from '../sav/features.ts';
import { describeRepeats } from '../sav/groups.ts';
import { printableLine } from '../text/printable.ts';
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

/** Longest answer that can still be a label; greedy text beyond it would not match anyway. */
const maxAnswerTokens = 12;

/** Queries that are answered together. */
const batchSize = 16;

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
      onProgress: (done) => progress.update(done, 'training rows'),
    });
    const advance = (done: number) => progress.update(task.train.length + done, 'queries');
    const answers: string[] = [];
    const likeliestLabels: string[] = [];
    const labels = [...new Set(labelsOf(task.train))];
    let testFeatures: HeadFeatures;
    if (zeroShot) {
      const vectors: Float32Array[] = [];
      for (let at = 0; at < task.test.length; at += batchSize) {
        const rows = task.test.slice(at, at + batchSize);
        const found = await model.answers(await Promise.all(rows.map(show)), {
          maxNewTokens: maxAnswerTokens,
          labels,
          signal,
        });
        for (const [i, answer] of found.entries()) {
          answers.push(answer.text);
          const { candidates = labels } = rows[i];
          const score = (label: string) => answer.labelScores[labels.indexOf(label)] ?? Number.NEGATIVE_INFINITY;
          likeliestLabels.push(candidates.reduce((best, label) => (score(label) > score(best) ? label : best)));
          vectors.push(answer.headVectors);
        }
        advance(vectors.length);
      }
      testFeatures = { ...trainFeatures, contents: undefined, vectors };
    } else testFeatures = await extractFeatures(model, task.test, { ...extract, onProgress: advance });

    const side = (examples: readonly Example[], features: HeadFeatures) => ({
      features,
      labels: labelsOf(examples),
      candidates: examples.map((e) => e.candidates),
    });
    const experiment = runExperiment(side(task.train, trainFeatures), side(task.test, testFeatures), {
      ...experimentOptions,
      zeroShotAnswers: zeroShot ? answers : undefined,
      likeliestLabels: zeroShot ? likeliestLabels : undefined,
    });
    const vectors = { train: trainFeatures.vectors, test: testFeatures.vectors };
    const leak = describeLeaks(await findLeaks(task.train, task.test, vectors), task.test.length);
    const { groups, notes } = experiment.fit;
    return {
      task,
      experiment,
      trainFeatures,
      testFeatures,
      answers: zeroShot ? answers : undefined,
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
    percent(e.evaluation.accuracy),
    percent(e.published.evaluation.accuracy),
    percent(e.likeliest?.accuracy),
    percent(e.zeroShot?.accuracy),
    percent(e.allHeads.accuracy),
    percent(e.randomHeads.mean),
    percent(e.evaluation.chance),
    `${heads.length}`,
    names.join(' ') + (heads.length > 5 ? ' …' : ''),
  ];
}

export const summaryHeader = [
  'task',
  'SAV',
  'as published',
  'likeliest label',
  'own words',
  'all heads',
  'random heads',
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
