// What is taken for what: a matrix of few classes, the worst of many.

import { percent } from '../base/format.ts';
import { confusions, type Evaluation, recalls } from '../sav/metrics.ts';
import { table } from './table.ts';

/** More classes than this have no matrix that a terminal could show. */
const matrixLabels = 12;
const shown = 10;

/** Rows are the truth, columns what SAVs say. */
export function confusionText(evaluation: Evaluation): string {
  return evaluation.labels.length <= matrixLabels ? matrix(evaluation) : worst(evaluation);
}

function matrix({ labels, confusion }: Evaluation): string {
  const columns = confusion[0].length > labels.length ? [...labels, 'no label'] : labels;
  return table(
    ['truth \\ SAV', ...columns, ''],
    confusion.map((row, i) => [labels[i], ...row.map(String), '']),
  );
}

function worst(evaluation: Evaluation): string {
  const { labels } = evaluation;
  const mistakes = confusions(evaluation);
  const weakest = recalls(evaluation).filter(({ right, of }) => right < of);
  if (!mistakes.length) return `${labels.length} labels, every query right`;
  return [
    `${labels.length} labels; what is taken for what most often (${Math.min(shown, mistakes.length)} of ${mistakes.length}; all in --json, each query in --csv):`,
    table(
      ['truth', 'SAV', 'queries', 'of', ''],
      mistakes
        .slice(0, shown)
        .map(({ truth, answer, count, of }) => [truth, answer ?? 'no label', `${count}`, `${of}`, '']),
    ),
    `\nlabels that are found least (${Math.min(shown, weakest.length)} of ${weakest.length} with a mistake):`,
    table(
      ['truth', 'right', 'of', ''],
      weakest.slice(0, shown).map(({ label, right, of }) => [label, percent(right / of), `${of}`, '']),
    ),
  ].join('\n');
}
