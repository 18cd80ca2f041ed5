// What is taken for what: a matrix of few classes, the worst of many.
import type { Evaluation } from '../sav/metrics.ts';
import { percent, table } from './experiments.ts';

/** More classes than this have no matrix that a terminal could show. */
const matrixLabels = 12;
const shown = 10;

/** Rows are the truth, columns what SAVs say. */
export function confusionText(evaluation: Evaluation): string {
  return evaluation.labels.length <= matrixLabels ? matrix(evaluation) : worst(evaluation);
}

const columnsOf = ({ labels, confusion: counts }: Evaluation): readonly string[] =>
  counts[0].length > labels.length ? [...labels, 'no label'] : labels;

function matrix(evaluation: Evaluation): string {
  const { labels, confusion } = evaluation;
  return table(
    ['truth \\ SAV', ...columnsOf(evaluation), ''],
    confusion.map((row, i) => [labels[i], ...row.map(String), '']),
  );
}

function worst(evaluation: Evaluation): string {
  const { labels, confusion, recall } = evaluation;
  const columns = columnsOf(evaluation);
  const total = (i: number) => confusion[i].reduce((sum, n) => sum + n, 0);
  const mistakes = confusion
    .flatMap((row, i) => row.map((count, j) => ({ i, j, count })))
    .filter(({ i, j, count }) => i !== j && count > 0)
    .sort((a, b) => b.count - a.count || a.i - b.i || a.j - b.j);
  const weakest = labels
    .map((label, i) => ({ label, i, share: recall[i] }))
    .filter((each): each is typeof each & { share: number } => each.share !== null && each.share < 1)
    .sort((a, b) => a.share - b.share || a.i - b.i);
  const none = `${labels.length} labels, every query right`;
  if (!mistakes.length) return none;
  return [
    `${labels.length} labels; what is taken for what most often (${Math.min(shown, mistakes.length)} of ${mistakes.length}; all in --json, each query in --csv):`,
    table(
      ['truth', 'SAV', 'queries', 'of', ''],
      mistakes.slice(0, shown).map(({ i, j, count }) => [labels[i], columns[j], `${count}`, `${total(i)}`, '']),
    ),
    `\nlabels that are found least (${Math.min(shown, weakest.length)} of ${weakest.length} with a mistake):`,
    table(
      ['truth', 'right', 'of', ''],
      weakest.slice(0, shown).map(({ label, share, i }) => [label, percent(share), `${total(i)}`, '']),
    ),
  ].join('\n');
}
