// Why a classifier answers as it does, and which of its examples it doubts.

import { greatest } from '../base/extremes.ts';
import type { Head } from '../base/heads.ts';
import { indexClasses } from './class-index.ts';
import type { Prediction, SavClassifier } from './classifier.ts';
import { comparisons } from './comparisons.ts';
import type { HeadFeatures } from './features.ts';
import { groupExamples } from './groups.ts';
import { looVotes } from './leave-one-out.ts';
import { checkLabelCount, dot, firstMaximum, gatherHead, MIN_NORM } from './scoring.ts';

/** One head’s part in a prediction. */
export interface HeadExplanation extends Head {
  /** Training examples that the head got right when it was chosen, of `nExamples`. */
  readonly correct: number;
  readonly nExamples: number;
  /** Its mean margin on the training examples. */
  readonly margin: number;
  /** The label that it votes for. */
  readonly vote: string;
  /** The voted label's score less the best other's, on this query; below 0 where candidates excluded the best. */
  readonly lead: number;
  /** Per label. */
  readonly scores: readonly { label: string; score: number }[];
  /** The training example that the head sees as most alike; present where training vectors are given. */
  readonly nearest?: Neighbour;
}

/**
 * Each selected head's part in a prediction, best head first.
 * @param vectors the query's head vectors, as they were given to `classify`
 * @param training head vectors and labels of the training examples, for the nearest example per head
 */
export function explain(
  classifier: SavClassifier,
  prediction: Prediction,
  vectors: Float32Array,
  training?: { features: HeadFeatures; labels: readonly string[] },
): HeadExplanation[] {
  const { heads, labels, nExamples, nHeads, dHead } = classifier.data;
  return prediction.heads.map((vote, rank) => {
    const voted = labels.indexOf(vote.label);
    const runnerUp = greatest(vote.scores.filter((_, c) => c !== voted));
    const { layer, head, correct, margin } = heads[rank];
    return {
      layer,
      head,
      correct,
      nExamples,
      margin,
      vote: vote.label,
      lead: vote.scores[voted] - runnerUp,
      scores: labels.map((label, c) => ({ label, score: vote.scores[c] })),
      nearest: training && largest(cosinesTo(training, vectors, layer * nHeads + head, dHead), training.labels),
    };
  });
}

/** A training example, and how alike it is to a query: a cosine. */
export interface Neighbour {
  readonly index: number;
  readonly label: string;
  readonly similarity: number;
}

/**
 * The training example that the chosen heads together find most like a query: by the mean cosine over them. The first of
 * several that are equally near.
 * @param vectors the query's head vectors, as they were given to `classify`
 */
export function nearestTrainingExample(
  { data: { heads, nHeads, dHead } }: SavClassifier,
  vectors: Float32Array,
  training: { features: HeadFeatures; labels: readonly string[] },
): Neighbour {
  const sums = new Float64Array(training.labels.length);
  for (const { layer, head } of heads)
    for (const [i, cosine] of cosinesTo(training, vectors, layer * nHeads + head, dHead).entries()) sums[i] += cosine;
  return largest(
    sums.map((sum) => sum / heads.length),
    training.labels,
  );
}

/** Cosine of one head's vector of a query to each training example's. */
function cosinesTo(
  { features, labels }: { features: HeadFeatures; labels: readonly string[] },
  vectors: Float32Array,
  flatHead: number,
  dHead: number,
): Float64Array {
  checkLabelCount(features, labels);
  const x = gatherHead(features.vectors, flatHead, dHead);
  const query = gatherHead([vectors], flatHead, dHead);
  const queryNorm = Math.max(Math.sqrt(dot(query, 0, query, 0, dHead)), MIN_NORM);
  return Float64Array.from(labels, (_, i) => {
    const norm = Math.max(Math.sqrt(dot(x, i * dHead, x, i * dHead, dHead)), MIN_NORM);
    return dot(x, i * dHead, query, 0, dHead) / (norm * queryNorm);
  });
}

function largest(similarities: Float64Array, labels: readonly string[]): Neighbour {
  const index = firstMaximum(similarities, 0, similarities.length);
  return { index, label: labels[index], similarity: similarities[index] };
}

/** A training example and what the heads, fitted without it, make of it. */
export interface LabelDoubt {
  readonly index: number;
  readonly label: string;
  /** Selected heads that give it another label. */
  readonly against: number;
  readonly heads: number;
  /** The label most of the selected heads give it. */
  readonly suggested: string;
}

/**
 * Label audit: training examples that more than half of the selected heads misclassify leave-one-out, worst first. An
 * example that cannot be left out, the only one of its label, is not doubted.
 */
export function auditLabels(
  classifier: SavClassifier,
  features: HeadFeatures,
  exampleLabels: readonly string[],
): LabelDoubt[] {
  checkLabelCount(features, exampleLabels);
  const classes = indexClasses(exampleLabels);
  const groups = groupExamples(features);
  const { heads, nHeads, dHead, compare } = classifier.data;
  const nClasses = classes.labels.length;
  const given = exampleLabels.map(() => new Int32Array(nClasses));
  for (const { layer, head } of heads) {
    const x = gatherHead(features.vectors, layer * nHeads + head, dHead);
    const votes = looVotes(comparisons[compare].leaveOneOut(x, classes, groups, dHead), nClasses);
    for (const [i, vote] of votes.entries()) given[i][vote < 0 ? classes.classOf[i] : vote]++;
  }
  return exampleLabels
    .map((label, index) => ({
      index,
      label,
      against: heads.length - given[index][classes.classOf[index]],
      heads: heads.length,
      suggested: classes.labels[given[index].indexOf(greatest(given[index]))],
    }))
    .filter(({ against }) => against > heads.length / 2)
    .sort((a, b) => b.against - a.against || a.index - b.index);
}
