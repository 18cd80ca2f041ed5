// A task of `demo` and `eval`: run with progress, and summed up for people and for machines.
import { percent } from '../base/format.ts';
import { headName } from '../base/heads.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import { figures } from '../sav/experiment.ts';
import { runTask, type Task, type TaskOptions, type TaskResult } from '../sav/task.ts';
import type { Context } from './context.ts';

/** `runTask` with a progress bar. */
export async function runTaskHere(
  context: Context,
  model: VisionLanguageModel,
  task: Task,
  options: TaskOptions,
): Promise<TaskResult> {
  const progress = context.progress(task.name, task.train.length + task.test.length);
  try {
    return await runTask(model, task, {
      ...options,
      signal: context.signal,
      onNotice: (message) => context.note(message),
      onProgress: (done, _, part, cached) => progress.update(done, cached ? `${part}, ${cached} from the cache` : part),
    });
  } finally {
    progress.stop();
  }
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
