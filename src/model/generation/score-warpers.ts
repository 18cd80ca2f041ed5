// What sampling makes of the scores: temperature, and cuts of unlikely tokens, in the order and with the meaning of
// transformers 5.18 (generation/logits_process.py). Each changes the scores of one sequence in place; a token that is cut
// has -Infinity. All keep at least the likeliest token.
import type { GenerationSettings } from './generation-settings.ts';
import { largest, logSumExp } from './sampling.ts';

type Warper = (scores: Float32Array) => void;

const never = Number.NEGATIVE_INFINITY;
/** transformers samples from this many tokens where nobody says otherwise. */
const defaultTopK = 50;

/** The warpers that sampling with some settings asks for, by the setting that asks. */
export function warpers(settings: GenerationSettings): [string, Warper][] {
  const { temperature = 1, top_h, top_k = defaultTopK, top_p = 1, min_p, typical_p = 1 } = settings;
  const { epsilon_cutoff: epsilon = 0, eta_cutoff: eta = 0 } = settings;
  const found: [string, Warper | false | undefined][] = [
    ['temperature', temperature !== 1 && ((scores) => divide(scores, temperature))],
    ['top_h', top_h !== undefined && ((scores) => cutTopH(scores, top_h))],
    ['top_k', top_k > 0 && ((scores) => cutTopK(scores, top_k))],
    ['top_p', top_p < 1 && ((scores) => cutTopP(scores, top_p))],
    ['min_p', min_p !== undefined && ((scores) => cutMinP(scores, min_p))],
    ['typical_p', typical_p < 1 && ((scores) => cutTypical(scores, typical_p))],
    ['epsilon_cutoff', epsilon > 0 && epsilon < 1 && ((scores) => cutBelow(scores, epsilon))],
    ['eta_cutoff', eta > 0 && eta < 1 && ((scores) => cutEta(scores, eta))],
  ];
  return found.filter((entry): entry is [string, Warper] => Boolean(entry[1]));
}

/** `TemperatureLogitsWarper` */
function divide(scores: Float32Array, temperature: number): void {
  const by = Math.fround(temperature);
  for (let i = 0; i < scores.length; i++) scores[i] /= by;
}

/** `TopKLogitsWarper`: what is as likely as the last of the k stays too. */
function cutTopK(scores: Float32Array, k: number): void {
  if (k >= scores.length) return;
  const least = scores.slice().sort()[scores.length - k];
  for (let i = 0; i < scores.length; i++) if (scores[i] < least) scores[i] = never;
}

/** `TopPLogitsWarper`: from the least likely on, those whose probabilities sum to at most 1 - p. */
function cutTopP(scores: Float32Array, p: number): void {
  const chances = probabilities(scores);
  const rising = byKey(scores, (i) => scores[i]);
  let mass = 0;
  for (const i of rising.slice(0, -1)) {
    mass += chances[i];
    if (mass > 1 - p) return;
    scores[i] = never;
  }
}

/** `MinPLogitsWarper` */
function cutMinP(scores: Float32Array, p: number): void {
  cutBelow(scores, p * probabilities(scores)[largest(scores)]);
}

/** `EpsilonLogitsWarper` */
function cutBelow(scores: Float32Array, least: number): void {
  const chances = probabilities(scores);
  const best = scores[largest(scores)];
  for (let i = 0; i < scores.length; i++) if (chances[i] < least && scores[i] < best) scores[i] = never;
}

/** `EtaLogitsWarper` */
function cutEta(scores: Float32Array, epsilon: number): void {
  cutBelow(scores, Math.min(epsilon, Math.sqrt(epsilon) * Math.exp(-entropy(probabilities(scores)))));
}

/** `TypicalLogitsWarper`: from the one whose surprise is nearest to the entropy on, until their probabilities sum to `mass`. */
function cutTypical(scores: Float32Array, mass: number): void {
  const chances = probabilities(scores);
  const mean = entropy(chances);
  const far = Float64Array.from(chances, (p) => Math.abs(-Math.log(p) - mean));
  const nearest = byKey(scores, (i) => far[i]);
  let sum = 0;
  let last = 0;
  while (last < nearest.length - 1 && sum + chances[nearest[last]] < mass) sum += chances[nearest[last++]];
  const limit = far[nearest[last]];
  for (const i of nearest.slice(1)) if (far[i] > limit) scores[i] = never;
}

/** `TopHLogitsWarper`: of the 100 likeliest, from the first on, those whose terms of the entropy sum to at most its share h. */
function cutTopH(scores: Float32Array, h: number): void {
  const top = byKey(scores, (i) => -scores[i]).slice(0, 100);
  const chances = probabilities(Float32Array.from(top, (i) => scores[i]));
  const limit = h * entropy(chances);
  let sum = 0;
  const kept = top.filter((_, rank) => {
    sum -= chances[rank] * Math.log(chances[rank]);
    return rank === 0 || sum <= limit;
  });
  const values = kept.map((i) => scores[i]);
  scores.fill(never);
  for (const [rank, i] of kept.entries()) scores[i] = values[rank];
}

/** softmax */
function probabilities(scores: Float32Array): Float64Array {
  const total = logSumExp(scores);
  return Float64Array.from(scores, (x) => Math.exp(x - total));
}

const entropy = (chances: Float64Array) => chances.reduce((sum, p) => sum - (p > 0 ? p * Math.log(p) : 0), 0);

/** The tokens that are possible, by a rising key; of equals the first. */
const byKey = (scores: Float32Array, key: (i: number) => number): number[] =>
  [...scores.keys()].filter((i) => scores[i] > never).sort((a, b) => key(a) - key(b) || a - b);
