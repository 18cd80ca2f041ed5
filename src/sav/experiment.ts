// One task from beginning to end on head vectors: fit, classify the queries, and the baselines beside it.

import { greatest, least } from '../base/extremes.ts';
import { allHeads, type Head } from '../base/heads.ts';
import { randomHeads } from './baselines.ts';
import type { Prediction } from './classifier.ts';
import type { EncoderPredictions } from './encoder-baselines.ts';
import type { HeadFeatures } from './features.ts';
import { defaultKs, type Fit, type FitOptions, fitClassifier, parity } from './fit.ts';
import { type Evaluation, evaluate, matchLabel } from './metrics.ts';

/** Head vectors with their labels. */
export interface LabelledFeatures {
  readonly features: HeadFeatures;
  readonly labels: readonly string[];
  /** Labels that each example offers; absent: all. */
  readonly candidates?: readonly (readonly string[] | undefined)[];
}

/** How a task is fitted, and which baselines stand beside it. */
export interface ExperimentOptions extends Omit<FitOptions, 'ranking' | 'candidates' | 'onProgress'> {
  /** The model's own free-text answers to the test rows. */
  zeroShotAnswers?: readonly string[];
  /** The label that the model finds likeliest for each test row: zero-shot for a model that answers in other words. */
  likeliestLabels?: readonly string[];
  /** What CLIP or SigLIP say of the test rows. */
  encoders?: readonly EncoderPredictions[];
  /** Sets of random heads, as many heads as were chosen. Default 20. */
  randomDraws?: number;
}

/** A task from beginning to end: the classifier, its test results, and the baselines. */
export interface Experiment {
  readonly fit: Fit;
  /** One for each test row. */
  readonly predictions: readonly Prediction[];
  /** How well they agree with the test labels. */
  readonly evaluation: Evaluation;
  /** The same vote among all heads. */
  readonly allHeads: Evaluation;
  /** The same vote among as many random heads: mean, least and greatest accuracy of the draws. */
  readonly randomHeads: { mean: number; least: number; greatest: number; draws: number };
  /** Exact match of the answers after normalisation. */
  readonly zeroShot?: Evaluation;
  /** The likeliest of the labels. */
  readonly likeliest?: Evaluation;
  /** CLIP or SigLIP: the label whose text is nearest to the image, and the nearest class centroid of embeddings. */
  readonly encoders: readonly EncoderResult[];
  /** The published method (`parity`), and its vote among all heads. */
  readonly published: { readonly evaluation: Evaluation; readonly allHeads: Evaluation };
  /** Test accuracy of the best k heads, for each k; the last is all heads. For looking at, not for choosing k. */
  readonly byK: readonly { k: number; accuracy: number }[];
}

/** How well CLIP or SigLIP do on the test rows. */
export interface EncoderResult extends Pick<EncoderPredictions, 'name' | 'features' | 'labelPrompt'> {
  readonly zeroShot: Evaluation;
  readonly nearestCentroid: Evaluation;
}

/** Fits on `train`, classifies `test`, and compares. The test labels choose nothing. @throws as `fitClassifier`. */
export async function runExperiment(
  train: LabelledFeatures,
  test: LabelledFeatures,
  options: ExperimentOptions = {},
): Promise<Experiment> {
  const { zeroShotAnswers, likeliestLabels, encoders = [], randomDraws = 20, ...fitOptions } = options;
  const fit = await fitClassifier(train.features, train.labels, { ...fitOptions, candidates: train.candidates });
  const { labels, heads } = fit.classifier.data;
  const classify = (classifier: Fit['classifier']) =>
    test.features.vectors.map((vectors, i) => classifier.classify(vectors, { candidates: test.candidates?.[i] }));
  const accuracyOf = async (chosen: readonly Head[]) => {
    const { classifier } = await fitClassifier(train.features, train.labels, {
      ...fitOptions,
      heads: chosen,
      k: chosen.length,
      calibrate: false,
      refusal: undefined,
      ranking: fit.ranking,
    });
    return evaluate(
      test.labels,
      classify(classifier).map(({ winner }) => winner),
      labels,
    );
  };
  const published = async (k: number) => {
    const { classifier } = await fitClassifier(train.features, train.labels, {
      ...parity,
      k,
      signal: options.signal,
      calibrate: false,
      candidates: train.candidates,
    });
    return evaluate(
      test.labels,
      classify(classifier).map(({ winner }) => winner),
      labels,
    );
  };
  const predictions = classify(fit.classifier);
  const all = allHeads(train.features);
  const best = Array.from(fit.ranking.order, (h) => all[h]);
  const ranked = fitOptions.heads ?? best;
  const draws: number[] = [];
  for (let seed = 1; seed <= randomDraws; seed++)
    draws.push((await accuracyOf(randomHeads(train.features, heads.length, seed))).accuracy);
  const everyHead = await accuracyOf(best);
  const ks = [...new Set([...defaultKs, heads.length, ranked.length])].filter((k) => k <= ranked.length);
  const byK: { k: number; accuracy: number }[] = [];
  for (const k of ks.sort((a, b) => a - b)) {
    const top = ranked === best && k === best.length ? everyHead : await accuracyOf(ranked.slice(0, k));
    byK.push({ k, accuracy: top.accuracy });
  }
  return {
    fit,
    predictions,
    evaluation: evaluate(
      test.labels,
      predictions.map(({ winner }) => winner),
      labels,
    ),
    allHeads: everyHead,
    randomHeads: {
      mean: draws.reduce((a, b) => a + b, 0) / draws.length,
      least: least(draws),
      greatest: greatest(draws),
      draws: draws.length,
    },
    zeroShot:
      zeroShotAnswers &&
      evaluate(
        test.labels,
        zeroShotAnswers.map((answer) => matchLabel(answer, labels) ?? answer),
        labels,
      ),
    published: {
      evaluation: await published(Math.min(parity.k, all.length)),
      allHeads: await published(all.length),
    },
    likeliest: likeliestLabels && evaluate(test.labels, likeliestLabels, labels),
    encoders: encoders.map(({ zeroShot, nearestCentroid, ...encoder }) => ({
      ...encoder,
      zeroShot: evaluate(test.labels, zeroShot, labels),
      nearestCentroid: evaluate(test.labels, nearestCentroid, labels),
    })),
    byK,
  };
}

export interface Figure {
  /** Heads its column in summaries, and stands under its number in the report. */
  readonly words: string;
  /** How the report draws its number: as that of SAVs, as zero-shot, or plainly. */
  readonly kind: 'sav' | 'zero' | '';
  /** Absent where the experiment has not measured it. */
  readonly accuracy: (experiment: Experiment) => number | undefined;
  /** The same method's vote among all heads, which the report adds in brackets. */
  readonly ofAllHeads?: (experiment: Experiment) => number;
}

/** The accuracies that the summaries of `demo` and the report compare, in their order. Chance stands beside them. */
export const figures = {
  sav: { words: 'SAV', kind: 'sav', accuracy: ({ evaluation }) => evaluation.accuracy },
  published: {
    words: 'as published',
    kind: '',
    accuracy: ({ published }) => published.evaluation.accuracy,
    ofAllHeads: ({ published }) => published.allHeads.accuracy,
  },
  likeliest: { words: 'likeliest label', kind: 'zero', accuracy: ({ likeliest }) => likeliest?.accuracy },
  zeroShot: { words: 'own words', kind: 'zero', accuracy: ({ zeroShot }) => zeroShot?.accuracy },
  allHeads: { words: 'all heads', kind: '', accuracy: ({ allHeads }) => allHeads.accuracy },
  randomHeads: { words: 'random heads', kind: '', accuracy: ({ randomHeads }) => randomHeads.mean },
} as const satisfies Record<string, Figure>;

/** What the model does without examples, at its best: its answer in words, or the likeliest label. */
export function bestZeroShot({ zeroShot, likeliest }: Experiment): Evaluation | undefined {
  return likeliest && !((zeroShot?.accuracy ?? 0) > likeliest.accuracy) ? likeliest : zeroShot;
}
