// The methods that `eval` compares: how each labels the test rows, or what an experiment has already measured of it.

import { percent } from '../base/format.ts';
import { headName } from '../base/heads.ts';
import { kNearest, linearProbe, nearestCentroid } from './baselines.ts';
import { labelsOf } from './data.ts';
import { type FitOptions, fitClassifier, parity } from './fit.ts';
import { type Evaluation, evaluate, type MetricName, matchLabel, metrics } from './metrics.ts';
import type { TaskResult } from './task.ts';

/** A row of eval's table. */
export interface Judgement {
  readonly accuracy: number;
  readonly evaluation?: Evaluation;
  readonly details: string;
}

interface Method {
  /** Whether it is compared where `--method` is not given. */
  readonly byDefault: boolean;
  /** Whether it lets the model answer by itself, without examples. */
  readonly asksTheModel: boolean;
  readonly judge: (result: TaskResult, metric: MetricName) => Judgement | Promise<Judgement>;
}

/** The choices of `eval --method`. */
export const methods = {
  sav: {
    byDefault: true,
    asksTheModel: false,
    judge: (result, metric) => {
      const { predictions, fit } = result.experiment;
      const { heads } = fit.classifier.data;
      const winners = predictions.map(({ winner }) => winner);
      return {
        ...measure(winners, result, metric),
        details: `${heads.length} heads: ${heads.slice(0, 8).map(headName).join(' ')}`,
      };
    },
  },
  parity: {
    byDefault: false,
    asksTheModel: false,
    judge: async (result, metric) => measure(await refit(result, parity), result, metric),
  },
  'likeliest-label': {
    byDefault: true,
    asksTheModel: true,
    judge: ({ experiment }) => rowsOf(experiment.likeliest!, 'zero-shot, by the likeliest label'),
  },
  'zero-shot': {
    byDefault: true,
    asksTheModel: true,
    judge: (result, metric) => {
      const { labels } = result.experiment.fit.classifier.data;
      return measure(
        result.answers!.map((answer) => matchLabel(answer, labels) ?? answer),
        result,
        metric,
      );
    },
  },
  'all-heads': {
    byDefault: true,
    asksTheModel: false,
    judge: ({ experiment }) => rowsOf(experiment.allHeads, 'the same vote among all heads'),
  },
  'random-heads': {
    byDefault: true,
    asksTheModel: false,
    judge: ({ experiment: { randomHeads, fit } }) => {
      const { mean, least, greatest, draws } = randomHeads;
      const { heads } = fit.classifier.data;
      return {
        accuracy: mean,
        details: `${draws} draws of ${heads.length}, ${percent(least)} to ${percent(greatest)}`,
      };
    },
  },
  'nearest-centroid': {
    byDefault: false,
    asksTheModel: false,
    judge: (result, metric) => measure(onVectors(result, nearestCentroid), result, metric),
  },
  knn: {
    byDefault: false,
    asksTheModel: false,
    judge: (result, metric) => measure(onVectors(result, kNearest), result, metric),
  },
  'linear-probe': {
    byDefault: false,
    asksTheModel: false,
    judge: (result, metric) => measure(onVectors(result, linearProbe), result, metric),
  },
} as const satisfies Record<string, Method>;

export type MethodName = keyof typeof methods;

/** Labels of the test rows, judged by a metric. */
export function measure(predicted: readonly string[], { task, experiment }: TaskResult, metric: MetricName): Judgement {
  const truth = labelsOf(task.test);
  const right = predicted.map((p, i) => p === truth[i]);
  const { accuracy, details } = metrics[metric].measure(
    right,
    task.test.map(({ group }) => group),
  );
  return {
    accuracy,
    evaluation: evaluate(truth, predicted, experiment.fit.classifier.data.labels),
    details: details
      .map(
        ({ name, share }) => `${name} ${typeof share === 'number' ? percent(share) : share.map(percent).join(' to ')}`,
      )
      .join(', '),
  };
}

/** What is judged row by row, whatever the metric. */
const rowsOf = (evaluation: Evaluation, details: string): Judgement => ({
  accuracy: evaluation.accuracy,
  evaluation,
  details,
});

async function refit({ task, trainFeatures, testFeatures }: TaskResult, options: FitOptions): Promise<string[]> {
  const { classifier } = await fitClassifier(trainFeatures, labelsOf(task.train), options);
  return testFeatures.vectors.map((v, i) => classifier.classify(v, { candidates: task.test[i].candidates }).winner);
}

type OnVectors = (
  train: TaskResult['trainFeatures'],
  labels: readonly string[],
  test: TaskResult['testFeatures'],
) => string[];

const onVectors = ({ task, trainFeatures, testFeatures }: TaskResult, baseline: OnVectors): string[] =>
  baseline(trainFeatures, labelsOf(task.train), testFeatures);
