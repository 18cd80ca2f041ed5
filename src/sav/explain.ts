// Why a classifier answers as it does, and which of its examples it doubts.
import { indexClasses } from './class-index.ts';
import type { Prediction, SavClassifier } from './classifier.ts';
import type { HeadFeatures } from './features.ts';
import { leaveOneOutScores } from './leave-one-out.ts';
import { checkLabelCount, checkLeaveOneOut, dot, gatherHead, type Head, MIN_NORM } from './scoring.ts';
import { rowMaxima } from './votes.ts';

export interface HeadExplanation extends Head {
  /** Training examples that the head got right when it was chosen, of `nExamples`. */
  readonly correct: number;
  readonly nExamples: number;
  readonly margin: number;
  readonly vote: string;
  /** The voted label's score less the best other's, on this query; below 0 where candidates excluded the best. */
  readonly lead: number;
  /** Per label. */
  readonly scores: readonly { label: string; score: number }[];
  /** The training example that the head sees as most alike; present where training vectors are given. */
  readonly nearest?: { index: number; label: string; similarity: number };
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
    const runnerUp = Math.max(...vote.scores.filter((_, c) => c !== voted));
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
      nearest: training && nearestExample(training, vectors, layer * nHeads + head, dHead),
    };
  });
}

function nearestExample(
  training: { features: HeadFeatures; labels: readonly string[] },
  vectors: Float32Array,
  flatHead: number,
  dHead: number,
): { index: number; label: string; similarity: number } {
  const { features, labels } = training;
  checkLabelCount(features, labels);
  const x = gatherHead(features.vectors, flatHead, dHead);
  const query = gatherHead([vectors], flatHead, dHead);
  const queryNorm = Math.max(Math.sqrt(dot(query, 0, query, 0, dHead)), MIN_NORM);
  let best = { index: -1, label: '', similarity: Number.NEGATIVE_INFINITY };
  for (let i = 0; i < labels.length; i++) {
    const norm = Math.max(Math.sqrt(dot(x, i * dHead, x, i * dHead, dHead)), MIN_NORM);
    const similarity = dot(x, i * dHead, query, 0, dHead) / (norm * queryNorm);
    if (similarity > best.similarity) best = { index: i, label: labels[i], similarity };
  }
  return best;
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

/** Label audit: training examples that more than half of the selected heads misclassify leave-one-out, worst first. */
export function auditLabels(
  classifier: SavClassifier,
  features: HeadFeatures,
  exampleLabels: readonly string[],
): LabelDoubt[] {
  checkLabelCount(features, exampleLabels);
  const classes = indexClasses(exampleLabels);
  checkLeaveOneOut(classes);
  const { heads, nHeads, dHead, compare } = classifier.data;
  const nClasses = classes.labels.length;
  const given = exampleLabels.map(() => new Int32Array(nClasses));
  for (const { layer, head } of heads) {
    const x = gatherHead(features.vectors, layer * nHeads + head, dHead);
    const votes = rowMaxima(leaveOneOutScores(x, classes, dHead, compare), nClasses);
    for (const [i, vote] of votes.entries()) given[i][vote]++;
  }
  return exampleLabels
    .map((label, index) => ({
      index,
      label,
      against: heads.length - given[index][classes.classOf[index]],
      heads: heads.length,
      suggested: classes.labels[given[index].indexOf(Math.max(...given[index]))],
    }))
    .filter(({ against }) => against > heads.length / 2)
    .sort((a, b) => b.against - a.against || a.index - b.index);
}
