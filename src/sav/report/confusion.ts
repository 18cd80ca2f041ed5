// What was taken for what: a table where it can be read, else lists of what matters in it.
import type { Evaluation } from '../metrics.ts';
import { html, type Markup } from './markup.ts';

/** A table of more classes than these is too wide to read. */
const mostInTable = 16;
const mostPairs = 20;
const mostClasses = 20;

export function confusionFigure(evaluation: Evaluation): Markup {
  if (evaluation.labels.length <= mostInTable)
    return html`${confusionTable(evaluation)}<figcaption>Rows: the truth. Columns: the answer.</figcaption>`;
  return html`${pairList(evaluation)}${classList(evaluation)}`;
}

/** One mistake, made `count` times. */
export interface Confusion {
  readonly truth: string;
  /** Undefined where the answer was none of the labels. */
  readonly answer: string | undefined;
  readonly count: number;
  /** Queries of the true label. */
  readonly of: number;
}

/** Every pair of labels that were confused, the most often first. */
export function confusions({ labels, confusion }: Evaluation): Confusion[] {
  return confusion
    .flatMap((row, r) =>
      row.map((count, c) => ({ truth: labels[r], answer: labels[c], count, of: total(row), right: r === c })),
    )
    .filter(({ count, right }) => count > 0 && !right)
    .sort((a, b) => b.count - a.count)
    .map(({ right: _, ...pair }) => pair);
}

const total = (row: readonly number[]) => row.reduce((sum, n) => sum + n, 0);

function pairList(evaluation: Evaluation): Markup {
  const pairs = confusions(evaluation);
  const rest = pairs.length - mostPairs;
  return html`<table class="list"><thead><tr><th>truth</th><th>answer</th><th>times</th></tr></thead>
<tbody>${pairs.slice(0, mostPairs).map(({ truth, answer, count, of }) => html`<tr><td class="label">${truth}</td><td class="label">${answer ?? 'no label'}</td><td>${count} of ${of}</td></tr>`)}</tbody></table>
<figcaption>What was most often taken for what${rest > 0 && `; ${rest} more pairs, each at most ${pairs[mostPairs].count} times`}.</figcaption>`;
}

function classList({ labels, confusion }: Evaluation): Markup {
  const classes = labels
    .map((label, c) => ({ label, right: confusion[c][c], of: total(confusion[c]) }))
    .filter(({ of }) => of > 0)
    .sort((a, b) => a.right / a.of - b.right / b.of || b.of - a.of);
  const perfect = classes.filter(({ right, of }) => right === of).length;
  return html`<table class="list"><thead><tr><th>class</th><th>right</th></tr></thead>
<tbody>${classes.slice(0, mostClasses).map(({ label, right, of }) => html`<tr><td class="label">${label}</td><td>${right} of ${of}</td></tr>`)}</tbody></table>
<figcaption>The classes with the smallest share of right answers, of ${classes.length} that have queries; ${perfect} of them are always right.</figcaption>`;
}

function confusionTable({ labels, confusion }: Evaluation): Markup {
  const columns = confusion[0].length > labels.length ? [...labels, 'no label'] : labels;
  return html`<div class="scroll" tabindex="0"><table class="confusion">
<thead><tr><td></td>${columns.map((label) => html`<th class="label" scope="col">${label}</th>`)}</tr></thead>
<tbody>${labels.map((label, r) => {
    const queries = Math.max(1, total(confusion[r]));
    return html`<tr><th class="label" scope="row">${label}</th>${confusion[r].map(
      (count, c) =>
        html`<td class="${c === r ? '' : 'wrong'}${count === 0 ? ' none' : ''}" style="--share:${(count / queries).toFixed(3)}">${count}</td>`,
    )}</tr>`;
  })}</tbody></table></div>`;
}
