// The HTML report: one file, no scripts, no addresses of other files; it opens from a disk without a network.
import type { ClassifierData, Prediction } from '../classifier.ts';
import { bestZeroShot, type Experiment } from '../experiment.ts';
import type { Evaluation } from '../metrics.ts';
import { headCountChart, headMap, type SummaryRow, summaryChart } from './charts.ts';
import { html, type Markup, trusted } from './markup.ts';
import { style } from './style.ts';

/** A query shown with its images and votes. */
export interface ReportQuery {
  /** Encoded images (PNG, JPEG, WebP or GIF); they go into the file as they are, so give small ones. */
  readonly images: readonly Uint8Array[];
  readonly question: string;
  readonly truth?: string;
  readonly prediction: Prediction;
  /** What the model says when asked. */
  readonly zeroShotAnswer?: string;
}

export interface ReportTask {
  readonly name: string;
  readonly description?: string;
  readonly experiment: Experiment;
  /** Queries worth looking at; see `pickQueries`. */
  readonly queries: readonly ReportQuery[];
  /** What the reader must know to judge the figures, such as a leak. */
  readonly warnings?: readonly string[];
}

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
<p class="small soft">SAV: the chosen attention heads vote, on frozen weights. As published: the paper's own rule (20 heads by training-set score, nearest centroid, majority). Zero-shot, the same model without examples, in two ways: the likeliest of the labels as its answer; and its own words, which must equal the label (case, punctuation and article aside). The chart shows the better of the two. All heads, random heads: the same vote among all heads, or among as many heads drawn blindly. Chance: always the most frequent label of the test rows. Interval: Wilson, 95 %. Heads are written layer.head, best first.</p>
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

const percent = (share: number) => `${(100 * share).toFixed(share > 0.995 || share === 0 ? 0 : 1)} %`;
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
  return html`<div class="scroll"><table class="summary">
<thead><tr><th>Task</th><th>SAV</th><th>as published</th><th>likeliest label</th><th>own words</th><th>all heads</th><th>random heads</th><th>chance</th><th>queries</th><th>heads</th><th style="text-align:left">chosen</th></tr></thead>
<tbody>${tasks.map(({ name, experiment }, i) => {
    const { evaluation, published, zeroShot, likeliest, allHeads, randomHeads, fit } = experiment;
    const { heads } = fit.classifier.data;
    const [low, high] = evaluation.interval.map((end) => Math.round(100 * end));
    const others = [bestZeroShot(experiment)?.accuracy ?? 0, allHeads.accuracy, randomHeads.mean, evaluation.chance];
    const best = aboveChance(evaluation) && evaluation.accuracy > Math.max(...others);
    return html`<tr><th><a class="label" href="#task-${i + 1}">${name}</a>${!aboveChance(evaluation) && html` <span class="tag">at chance</span>`}</th>
<td class="${best ? 'best' : ''}">${percent(evaluation.accuracy)} <small>${low}–${high}</small></td>
<td>${percent(published.evaluation.accuracy)}</td><td>${likeliest ? percent(likeliest.accuracy) : '–'}</td><td>${zeroShot ? percent(zeroShot.accuracy) : '–'}</td><td>${percent(allHeads.accuracy)}</td><td>${percent(randomHeads.mean)}</td>
<td>${percent(evaluation.chance)}</td><td>${evaluation.n}</td><td>${heads.length}</td>
<td class="heads">${headNames(heads.slice(0, 5))}${heads.length > 5 && ' …'}</td></tr>`;
  })}</tbody></table></div>`;
}

async function taskSection(
  { name, description, experiment, queries, warnings }: ReportTask,
  id: string,
): Promise<Markup> {
  const { evaluation, published, zeroShot, likeliest, allHeads, randomHeads, encoders, fit, byK } = experiment;
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
${number('sav', percent(evaluation.accuracy), 'SAV')}
${likeliest && number('zero', percent(likeliest.accuracy), 'likeliest label')}
${zeroShot && number('zero', percent(zeroShot.accuracy), 'own words')}
${number('', percent(allHeads.accuracy), 'all heads')}
${number('', percent(published.evaluation.accuracy), `as published (all heads ${percent(published.allHeads.accuracy)})`)}
${number('', percent(randomHeads.mean), 'random heads')}
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
<figcaption><span class="ramp"></span> chance to perfect, on ${fit.ranking.nExamples} training examples${fit.ranking.scoring === 'leave-one-out' && ', each left out in turn'}. Framed: the ${heads.length} chosen.</figcaption></figure>
<figure><h3>Accuracy by number of heads</h3>${await headCountChart(byK, heads.length, evaluation.chance, asked?.accuracy)}
<figcaption>On the test rows, the best heads first. Full colour: the number used. Dotted: chance.${asked && ' Dashed: zero-shot, at its best.'} Shown to be looked at; it did not choose the number.</figcaption></figure>
<figure><h3>Confusion</h3>${confusionTable(evaluation)}
<figcaption>Rows: the truth. Columns: the answer.</figcaption></figure>
</div>
${queries.length > 0 && html`<h3 style="margin-top:2rem">Some queries and how the heads voted</h3><div class="queries">${queries.map((query) => queryCard(query, data.labels, data.prompt))}</div>`}
<details><summary>All ${heads.length} heads, best first</summary><p class="small"><code>${headNames(heads)}</code></p></details>
</section>
`;
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
  const chosen =
    scoring === 'train' ? 'on the training examples themselves' : 'by leave-one-out on the training examples';
  const compared =
    compare === 'cosine' ? 'by cosine to the class centroids' : 'by a Gaussian discriminant with one shrunk covariance';
  const decided = {
    majority: 'one head, one vote',
    soft: 'their scores are summed, so that a sure head counts for more than its one vote',
    weighted: 'a vote counts as much as the head was right when it gave that label',
  }[vote];
  return `${heads.length} heads, chosen ${chosen}, compare ${compared}; ${decided}.`;
}

/** Answers that are none of the labels. */
function strayAnswers({ labels, confusion }: Evaluation): number {
  return confusion.reduce((sum, row) => sum + (row[labels.length] ?? 0), 0);
}

function confusionTable({ labels, confusion }: Evaluation): Markup {
  const columns = confusion[0].length > labels.length ? [...labels, 'no label'] : labels;
  return html`<div class="scroll"><table class="confusion">
<thead><tr><th></th>${columns.map((label) => html`<th class="label">${label}</th>`)}</tr></thead>
<tbody>${labels.map((label, r) => {
    const total = Math.max(
      1,
      confusion[r].reduce((a, b) => a + b, 0),
    );
    return html`<tr><th class="label">${label}</th>${confusion[r].map(
      (count, c) =>
        html`<td class="${c === r ? '' : 'wrong'}${count === 0 ? ' none' : ''}" style="--share:${(count / total).toFixed(3)}">${count}</td>`,
    )}</tr>`;
  })}</tbody></table></div>`;
}

/** A query; its question is left out where it is the task's, which stands above. */
function queryCard(query: ReportQuery, labels: readonly string[], taskPrompt: string | undefined): Markup {
  const { images, question, truth, prediction, zeroShotAnswer } = query;
  const { label, votes, heads, confidence } = prediction;
  const right = truth === label;
  const shown = votes
    .map((count, c) => ({ count, label: labels[c] }))
    .filter((vote) => vote.count > 0 || labels.length <= 4)
    .sort((a, b) => b.count - a.count)
    .slice(0, 6);
  return html`<article class="query">
<div class="pictures">${images.map(picture)}</div>
<div class="verdict"><span class="label ${truth === undefined ? '' : right ? 'right' : 'wrong-answer'}">${truth !== undefined && (right ? '✓ ' : '✗ ')}${label}</span>${confidence !== undefined && html`<span class="soft">${Math.round(100 * confidence)} %</span>`}</div>
${truth !== undefined && !right && html`<div class="soft">truth: <span class="label">${truth}</span></div>`}
${zeroShotAnswer !== undefined && html`<div class="soft">when asked: <span class="label">${zeroShotAnswer.trim() || '(nothing)'}</span></div>`}
${question !== taskPrompt && html`<div class="small soft question" style="margin:.4rem 0">${question.trim()}</div>`}
${shown.map((vote) => html`<div class="vote${vote.label === label && ' won'}"><span class="label">${vote.label}</span><span class="bar"><i style="width:${((100 * vote.count) / heads.length).toFixed(1)}%"></i></span><b>${vote.count}</b></div>`)}
<div class="chips">${heads.slice(0, 40).map((head) => html`<span class="${head.label === label ? 'won' : ''}" title="head ${head.layer}.${head.head} votes ${head.label}">${head.layer}.${head.head}</span>`)}</div>
</article>`;
}

function picture(bytes: Uint8Array): Markup {
  const type = imageType(bytes);
  if (!type) return html`<span class="soft">(image not shown: not PNG, JPEG, WebP or GIF)</span>`;
  // Small files are small pictures here: keep their pixels sharp.
  return html`<img class="${bytes.length < 20_000 ? 'pixels' : ''}" alt="query image" src="data:${type};base64,${base64(bytes)}">`;
}

/** The media type by the file's first bytes, of those that cannot hold a script. */
export function imageType(bytes: Uint8Array): string | undefined {
  const starts = (text: string, at = 0) => [...text].every((character, i) => bytes[at + i] === character.charCodeAt(0));
  if (starts('\x89PNG\r\n\x1a\n')) return 'image/png';
  if (starts('\xff\xd8\xff')) return 'image/jpeg';
  if (starts('GIF8')) return 'image/gif';
  if (starts('RIFF') && starts('WEBP', 8)) return 'image/webp';
  return undefined;
}

function base64(bytes: Uint8Array): string {
  let binary = '';
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(binary);
}
