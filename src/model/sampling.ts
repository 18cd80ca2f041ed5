import { InputError } from './errors.ts';

export interface SamplerOptions {
  /** 0 is greedy; above, tokens are drawn from softmax(logits / temperature). */
  readonly temperature: number;
  /** Draw from the likeliest tokens whose probabilities sum to at least this; 1 (default) is all. */
  readonly topP?: number;
  /** Of the draws: the same seed gives the same text. */
  readonly seed?: number;
}

/** Draws token ids from logits with temperature and nucleus (top-p) filtering, reproducibly. */
export class Sampler {
  readonly #temperature: number;
  readonly #topP: number;
  #state: number;

  /** @throws InputError for a temperature that is not above 0, or topP outside (0, 1]. */
  constructor({ temperature, topP = 1, seed = 0 }: SamplerOptions) {
    if (!(temperature > 0)) throw new InputError(`temperature ${temperature}: give a number above 0, or 0 for greedy`);
    if (!(topP > 0 && topP <= 1)) throw new InputError(`topP ${topP}: give a number above 0 and at most 1`);
    this.#temperature = temperature;
    this.#topP = topP;
    this.#state = seed >>> 0;
  }

  draw(logits: Float32Array): number {
    let max = Number.NEGATIVE_INFINITY;
    for (const x of logits) max = Math.max(max, x);
    const weights = Float64Array.from(logits, (x) => Math.exp((x - max) / this.#temperature));
    const byWeight = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b);
    const total = weights.reduce((sum, w) => sum + w, 0);
    // The nucleus: the fewest likeliest tokens that reach topP, the one that crosses it included.
    let mass = 0;
    let size = 0;
    while (size < byWeight.length && (size === 0 || mass < this.#topP * total)) mass += weights[byWeight[size++]];
    let left = this.#uniform() * mass;
    for (let i = 0; i < size; i++) {
      left -= weights[byWeight[i]];
      if (left < 0) return byWeight[i];
    }
    return byWeight[size - 1];
  }

  /** mulberry32: [0, 1), 32 bits of state, the same sequence everywhere. */
  #uniform(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** log Σ exp(x), in float64: a logit less this is the log probability of its token. */
export function logSumExp(logits: ArrayLike<number>): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i] > greatest) greatest = logits[i];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - greatest);
  return greatest + Math.log(sum);
}
