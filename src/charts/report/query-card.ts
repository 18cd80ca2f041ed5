// A query in the report: its pictures, where the voting heads looked, the nearest training example, and the votes.

import type { Head } from '../../base/heads.ts';
import type { Prediction } from '../../sav/classifier.ts';
import { html, type Markup } from './markup.ts';

/** Encoded pictures (PNG, JPEG, WebP or GIF) go into the file as they are, so give small ones. */
export interface ReportQuery {
  readonly images: readonly Uint8Array[];
  /** File names of the images, in their order. */
  readonly imageNames?: readonly string[];
  readonly question: string;
  readonly truth?: string;
  readonly prediction: Prediction;
  /** What the model says when asked. */
  readonly zeroShotAnswer?: string;
  readonly attention?: ReportAttention;
  readonly nearest?: ReportNeighbour;
}

/** Where the heads that voted for the answer looked, as pictures. */
export interface ReportAttention {
  /** The mean over these heads: a picture for each of the query's, and the share of their attention that lies on it. */
  readonly mean: readonly { readonly picture: Uint8Array; readonly share: number }[];
  /** How many heads it is the mean of. */
  readonly heads: number;
  /** Some of these heads alone, best first. */
  readonly each: readonly (Head & { readonly picture: Uint8Array; readonly share: number })[];
}

/** The training example that the chosen heads find most alike. */
export interface ReportNeighbour {
  readonly images: readonly Uint8Array[];
  readonly name: string;
  readonly label: string;
  /** Mean cosine over the chosen heads. */
  readonly similarity: number;
}

/** The question is left out where it is the task's, which stands above. */
export function queryCard(query: ReportQuery, labels: readonly string[], taskPrompt: string | undefined): Markup {
  const { images, imageNames = [], question, truth, prediction, zeroShotAnswer, attention, nearest } = query;
  const { winner: label, refused, votes, heads, confidence } = prediction;
  const right = truth === label;
  const shown = votes
    .map((count, c) => ({ count, label: labels[c] }))
    .filter((vote) => vote.count > 0 || labels.length <= 4)
    .sort((a, b) => b.count - a.count)
    .slice(0, 6);
  const nameOf = (i: number) => imageNames[i] ?? (images.length > 1 ? `picture ${i + 1}` : 'the picture');
  return html`<article class="query">
<div class="pictures">${images.map((image, i) => captioned(image, nameOf(i), imageNames[i]))}${attention?.mean.map(({ picture, share }, i) => captioned(picture, `Where ${countOf(attention.heads, 'head')} that voted ${label} looked in ${nameOf(i)}`, `looked at by ${countOf(attention.heads, 'head')}: ${percent(share)}`))}</div>
<div class="verdict"><span class="label ${truth === undefined ? '' : right ? 'right' : 'wrong-answer'}">${truth !== undefined && (right ? '✓ ' : '✗ ')}${label}</span>${confidence !== undefined && html`<span class="soft">${Math.round(100 * confidence)} %${refused && `, ${refused}`}</span>`}</div>
${truth !== undefined && !right && html`<div class="soft">truth: <span class="label">${truth}</span></div>`}
${zeroShotAnswer !== undefined && html`<div class="soft">when asked: <span class="label">${zeroShotAnswer.trim() || '(nothing)'}</span></div>`}
${question !== taskPrompt && html`<div class="small soft question" style="margin:.4rem 0">${question.trim()}</div>`}
${shown.map((vote) => html`<div class="vote${vote.label === label && ' won'}"><span class="label">${vote.label}</span><span class="bar"><i style="width:${((100 * vote.count) / heads.length).toFixed(1)}%"></i></span><b>${vote.count}</b></div>`)}
${attention && attention.each.length > 0 && html`<div class="looks">${attention.each.map(({ layer, head, picture, share }) => captioned(picture, `Where head ${layer}.${head} looked`, `${layer}.${head}: ${percent(share)}`))}</div>`}
${nearest && neighbour(nearest)}
<div class="chips">${heads.slice(0, 40).map((head) => html`<span class="${head.label === label ? 'won' : ''}" title="head ${head.layer}.${head.head} votes ${head.label}">${head.layer}.${head.head}</span>`)}</div>
</article>`;
}

function neighbour({ images, name, label, similarity }: ReportNeighbour): Markup {
  return html`<div class="nearest">${images.slice(0, 1).map((image) => picture(image, `Nearest training example: ${name}, labelled ${label}`))}
<div class="small soft">nearest training example, labelled <span class="label">${label}</span><br><span class="label">${name}</span>, cosine ${similarity.toFixed(2)}</div></div>`;
}

function captioned(bytes: Uint8Array, alt: string, caption: string | undefined): Markup {
  return html`<figure>${picture(bytes, alt)}${caption !== undefined && html`<figcaption class="label">${caption}</figcaption>`}</figure>`;
}

function picture(bytes: Uint8Array, alt: string): Markup {
  const type = imageType(bytes);
  if (!type) return html`<span class="soft">(${alt} is not shown: not PNG, JPEG, WebP or GIF)</span>`;
  // Small files are small pictures here: keep their pixels sharp.
  return html`<img class="${bytes.length < 20_000 ? 'pixels' : ''}" alt="${alt}" src="data:${type};base64,${base64(bytes)}">`;
}

const percent = (share: number) => `${Math.round(100 * share)}\u00a0%`;
const countOf = (n: number, noun: string) => `${n} ${noun}${n === 1 ? '' : 's'}`;

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
