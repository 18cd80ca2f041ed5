// The HTML report: one file, no scripts, no addresses of other files; it opens from a disk without a network.
import type { ClassifierData } from '../../sav/classifier-data.ts';
import { comparisons } from '../../sav/comparisons.ts';
import { bestZeroShot, type Experiment, type Figure, figures } from '../../sav/experiment.ts';
import type { Evaluation } from '../../sav/metrics.ts';
import { scorings } from '../../sav/scoring.ts';
import { voteRules } from '../../sav/votes.ts';
import { headCountChart, headMap, type SummaryRow, summaryChart } from './charts.ts';
import { confusionFigure } from './confusion.ts';
import { html, type Markup, trusted } from './markup.ts';
import { queryCard, type ReportQuery } from './query-card.ts';
import { style } from './style.ts';

/** A task of the report: its experiment, and queries to look at. */
export interface ReportTask {
  readonly name: string;
  readonly description?: string;
  readonly experiment: Experiment;
  /** Queries worth looking at; see `pickQueries`. */
  readonly queries: readonly ReportQuery[];
  /** What the reader must know to judge the figures, such as a leak. */
  readonly warnings?: readonly string[];
}

/** What a report says: its heading, facts about the run, and the tasks. */
export interface Report {
  readonly title: string;
  readonly introduction?: string;
  /** Model, adapter, date, command, time taken: shown as a list. */
  readonly facts: readonly { name: string; value: string }[];
  readonly tasks: readonly ReportTask[];
}

/** A self-contained HTML document. Every label, question and name in it is escaped. */
export async function renderReport(report: Report): Promise<string> {
  const rows = report.tasks.map(summaryRow);
  const tasks: Markup[] = [];
  for (const [i, task] of report.tasks.entries()) tasks.push(await taskSection(task, `task-${i + 1}`));
  const document = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${report.title}</title>
<style>${trusted(style)}</style>
</head>
<body><main>
<header>
<h1>${report.title}</h1>
${report.introduction !== undefined && html`<p>${report.introduction}</p>`}
<dl class="facts">${report.facts.map(({ name, value }) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
</header>
<section>
<h2>Accuracy</h2>
<p>${overview(report.tasks)}</p>
<figure class="overview">${await summaryChart(rows)}
<figcaption><span class="key"><span><i class="sav"></i>SAV, with 95 % interval</span><span><i class="zero"></i>zero-shot</span><span><i class="all"></i>all heads</span><span><i class="chance"></i>chance</span></span></figcaption></figure>
${summaryTable(report.tasks)}
<p class="small soft">SAV: the chosen attention heads vote, on frozen weights. As published: the paper's own rule (20 heads by training-set score, nearest centroid, majority). Zero-shot, the same model without examples, in two ways: the likeliest of the labels as its answer; and its own words, which must equal the label (case, punctuation and article aside). The chart shows the better of the two. All heads, random heads: the same vote among all heads, or among as many heads drawn blindly. Chance: always the most frequent label of the test rows. Interval, in small: Wilson, 95 %.</p>
</section>
${tasks}
</main></body>
</html>
`;
  return document.text;
}

/** Queries to show: as many mistakes as right answers where there are enough, in test order. At most `count`. */
export function pickQueries(right: readonly boolean[], count: number): number[] {
  const indices = right.map((_, i) => i);
  const wrong = indices.filter((i) => !right[i]).slice(0, Math.floor(count / 2));
  const rest = indices.filter((i) => right[i]).slice(0, count - wrong.length);
  const more = indices.filter((i) => !right[i]).slice(wrong.length, count - rest.length);
  return [...wrong, ...rest, ...more].sort((a, b) => a - b);
}

/** Whether the accuracy can be told from chance: the interval's lower end is above it. */
export function aboveChance({ interval, chance }: Evaluation): boolean {
  return interval[0] > chance;
}

const percent = (share: number | undefined) =>
  share === undefined ? '–' : `${(100 * share).toFixed(share === 1 || share === 0 ? 0 : 1)} %`;
const points = (gap: number) => `${Math.abs(100 * gap).toFixed(1)} points ${gap < 0 ? 'below' : 'above'}`;
const headNames = (heads: readonly { layer: number; head: number }[]) =>
  heads.map(({ layer, head }) => `${layer}.${head}`).join(' ');

function summaryRow({ name, experiment }: ReportTask): SummaryRow {
  const { evaluation, allHeads } = experiment;
  const [low, high] = evaluation.interval;
  const { accuracy: sav, chance } = evaluation;
  return {
    task: name,
    sav,
    low,
    high,
    chance,
    zeroShot: bestZeroShot(experiment)?.accuracy,
    allHeads: allHeads.accuracy,
  };
}

function overview(tasks: readonly ReportTask[]): string {
  const count = (test: (task: ReportTask) => boolean | undefined) => tasks.filter(test).length;
  const asked = count(({ experiment }) => experiment.zeroShot !== undefined);
  const better = count(
    ({ experiment: e }) => aboveChance(e.evaluation) && e.evaluation.accuracy > (bestZeroShot(e)?.accuracy ?? 1),
  );
  const sparse = count(({ experiment: e }) => aboveChance(e.evaluation) && e.evaluation.accuracy > e.allHeads.accuracy);
  const atChance = count(({ experiment }) => !aboveChance(experiment.evaluation));
  const mute = count(({ experiment: { zeroShot } }) => zeroShot && strayAnswers(zeroShot) === zeroShot.n);
  const of = tasks.length === 1 ? 'the one task' : `${tasks.length} tasks`;
  return [
    asked > 0 &&
      `SAVs are more accurate than the model without examples (at its best of two ways) on ${better} of ${asked === tasks.length ? of : `${asked} tasks that were also asked`}.`,
    `The chosen heads do better than all heads together on ${sparse} of ${of}.`,
    mute > 0 &&
      `Asked in words, on ${mute} of ${of} none of its answers is a label: that says that the model does not speak the task's words, not that it does not see.`,
    atChance > 0 && `On ${atChance} of ${of} SAVs stay at chance.`,
  ]
    .filter(Boolean)
    .join(' ');
}

function summaryTable(tasks: readonly ReportTask[]): Markup {
  return html`<div class="scroll" tabindex="0"><table class="summary">
<thead><tr><th>Task</th>${Object.values(figures).map(({ words }) => html`<th>${words}</th>`)}<th>chance</th><th>queries</th><th>heads</th></tr></thead>
<tbody>${tasks.map(({ name, experiment }, i) => {
    const { evaluation, allHeads, randomHeads, fit } = experiment;
    const { sav, ...baselines } = figures;
    const [low, high] = evaluation.interval.map((end) => Math.round(100 * end));
    const others = [bestZeroShot(experiment)?.accuracy ?? 0, allHeads.accuracy, randomHeads.mean, evaluation.chance];
    const best = aboveChance(evaluation) && evaluation.accuracy > Math.max(...others);
    return html`<tr><th scope="row"><a class="label" href="#task-${i + 1}">${name}</a>${!aboveChance(evaluation) && html` <span class="tag">at chance</span>`}</th>
<td class="${best ? 'best' : ''}">${percent(sav.accuracy(experiment))}<br><small>${low}–${high}</small></td>
${Object.values(baselines).map(({ accuracy }) => html`<td>${percent(accuracy(experiment))}</td>`)}
<td>${percent(evaluation.chance)}</td><td>${evaluation.n}</td><td>${fit.classifier.data.heads.length}</td></tr>`;
  })}</tbody></table></div>`;
}

async function taskSection(
  { name, description, experiment, queries, warnings }: ReportTask,
  id: string,
): Promise<Markup> {
  const { evaluation, encoders, fit, byK } = experiment;
  const asked = bestZeroShot(experiment);
  const { data } = fit.classifier;
  const { heads, leaveOneOutAccuracy } = data;
  const nClasses = data.labels.length;
  return html`<section class="task" id="${id}">
<h2><span class="label">${name}</span>${!aboveChance(evaluation) && html` <span class="tag">at chance</span>`}</h2>
${description !== undefined && html`<p>${description}</p>`}
${data.prompt !== undefined && html`<p class="question soft">${data.prompt.trim()}</p>`}
${(warnings ?? []).map((warning) => html`<p class="warning">${warning}</p>`)}
<div class="numbers">
${Object.values(figures).map((figure) => figureNumber(figure, experiment))}
${encoders.map(({ name, zeroShot: shown, nearestCentroid, features, labelPrompt }) => [
  number('', percent(shown.accuracy), `${name}, zero-shot: ${labelPrompt}`),
  number('', percent(nearestCentroid.accuracy), `${name}, nearest centroid of ${features}`),
])}
${number('', percent(evaluation.chance), 'chance')}
${leaveOneOutAccuracy !== undefined && number('', percent(leaveOneOutAccuracy), 'leave-one-out, training')}
</div>
<p>${verdict(experiment)}</p>
<p class="small soft">${method(data)}</p>
<div class="figures">
<figure><h3>Head scores</h3>${await headMap(fit.ranking, heads, 1 / nClasses)}
<figcaption><span class="ramp"></span> chance to perfect, on ${fit.ranking.nExamples} training examples${scorings[fit.ranking.scoring].ofMap}. Framed: the ${heads.length} chosen.</figcaption></figure>
<figure><h3>Accuracy by number of heads</h3>${await headCountChart(byK, heads.length, evaluation.chance, asked?.accuracy)}
<figcaption>On the test rows, the best heads first. Full colour: the number used. Dotted: chance.${asked && ' Dashed: zero-shot, at its best.'} Shown to be looked at; it did not choose the number.</figcaption></figure>
<figure><h3>Confusion</h3>${confusionFigure(evaluation)}</figure>
</div>
${queries.length > 0 && html`<h3 style="margin-top:2rem">Some queries and how the heads voted</h3>${queries.some(({ attention }) => attention) && html`<p class="small soft">Beside a picture: where the heads that voted for the answer looked, the mean of their attention from the last token of the prompt, and how much of it lies on the picture; below the votes the same of the best of these heads alone. The redder, the more; each picture has a scale of its own.</p>`}<div class="queries">${queries.map((query) => queryCard(query, data.labels, data.prompt))}</div>`}
<details><summary>All ${heads.length} heads, best first</summary><p class="small"><code>${headNames(heads)}</code></p></details>
</section>
`;
}

/** One of the experiment's figures, where that was measured. */
function figureNumber({ kind, words, accuracy, ofAllHeads }: Figure, experiment: Experiment): Markup | false {
  const share = accuracy(experiment);
  const aside = ofAllHeads ? ` (all heads ${percent(ofAllHeads(experiment))})` : '';
  return share !== undefined && number(kind, percent(share), words + aside);
}

function number(kind: string, value: string, caption: string): Markup {
  return html`<div class="figure-number ${kind}"><b>${value}</b>${caption}</div>`;
}

function verdict(experiment: Experiment): string {
  const { evaluation, zeroShot, allHeads } = experiment;
  const { accuracy, interval, chance, correct, n } = evaluation;
  const range = `${correct} of ${n} right; 95 % interval ${percent(interval[0])} to ${percent(interval[1])}`;
  const sentences: string[] = [];
  if (aboveChance(evaluation)) {
    const unaided = bestZeroShot(experiment);
    const gap = unaided && accuracy - unaided.accuracy;
    const asked =
      gap === undefined
        ? ''
        : gap === 0
          ? ', as the model without examples'
          : `, ${points(gap)} the model without examples`;
    const gain = accuracy - allHeads.accuracy;
    sentences.push(
      `${percent(accuracy)} (${range})${asked}; ${gain === 0 ? 'as good as' : points(gain)} the vote of all heads.`,
    );
  } else {
    sentences.push(
      `At chance: ${percent(accuracy)} (${range}) cannot be told from always giving the most frequent label (${percent(chance)}). With these examples the heads of this model do not show the concept.`,
    );
  }
  const strays = zeroShot ? strayAnswers(zeroShot) : 0;
  if (strays > 0) {
    sentences.push(
      `Asked in words, the model gives something that is none of the labels ${strays === n ? 'every time' : `${strays} of ${n} times`}.`,
    );
  }
  return sentences.join(' ');
}

/** How the heads were chosen and how they decide, in words. */
function method({ scoring, compare, vote, heads }: ClassifierData): string {
  return `${heads.length} heads, chosen ${scorings[scoring].words}, compare ${comparisons[compare].words}; ${voteRules[vote].words}.`;
}

/** Answers that are none of the labels. */
function strayAnswers({ labels, confusion }: Evaluation): number {
  return confusion.reduce((sum, row) => sum + (row[labels.length] ?? 0), 0);
}
