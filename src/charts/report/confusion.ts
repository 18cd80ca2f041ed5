// What was taken for what: a table where it can be read, else lists of what matters in it.
import { confusions, type Evaluation, recalls } from '../../sav/metrics.ts';
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

function pairList(evaluation: Evaluation): Markup {
  const pairs = confusions(evaluation);
  const rest = pairs.length - mostPairs;
  return html`<table class="list"><thead><tr><th>truth</th><th>answer</th><th>times</th></tr></thead>
<tbody>${pairs.slice(0, mostPairs).map(({ truth, answer, count, of }) => html`<tr><td class="label">${truth}</td><td class="label">${answer ?? 'no label'}</td><td>${count} of ${of}</td></tr>`)}</tbody></table>
<figcaption>What was most often taken for what${rest > 0 && `; ${rest} more pairs, each at most ${pairs[mostPairs].count} times`}.</figcaption>`;
}

function classList(evaluation: Evaluation): Markup {
  const classes = recalls(evaluation);
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
    const queries = Math.max(
      1,
      confusion[r].reduce((sum, n) => sum + n, 0),
    );
    return html`<tr><th class="label" scope="row">${label}</th>${confusion[r].map(
      (count, c) =>
        html`<td class="${c === r ? '' : 'wrong'}${count === 0 ? ' none' : ''}" style="--share:${(count / queries).toFixed(3)}">${count}</td>`,
    )}</tr>`;
  })}</tbody></table></div>`;
}
