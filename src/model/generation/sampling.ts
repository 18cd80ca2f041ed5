import { InputError } from '../errors.ts';

/** Draws token ids from scores, reproducibly: the same seed gives the same text. */
export class Sampler {
  #state: number;

  constructor(seed = 0) {
    this.#state = seed >>> 0;
  }

  /** One token of softmax(scores). @throws InputError where none is possible. */
  draw(scores: Float32Array): number {
    const max = scores[largest(scores)];
    if (!Number.isFinite(max))
      throw new InputError(`no token can be drawn: the best has a score of ${max} (is everything suppressed?)`);
    const weights = Float64Array.from(scores, (x) => Math.exp(x - max));
    const byWeight = [...weights.keys()].filter((i) => weights[i] > 0).sort((a, b) => weights[b] - weights[a] || a - b);
    let left = this.#uniform() * byWeight.reduce((sum, i) => sum + weights[i], 0);
    for (const i of byWeight) {
      left -= weights[i];
      if (left < 0) return i;
    }
    return byWeight.at(-1)!;
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

/** The first of the largest, as the GPU's argmax; what is not a number is larger than any, as in torch. */
export function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) return i;
    if (values[i] > values[best]) best = i;
  }
  return best;
}

/** log Σ exp(x), in float64: a logit less this is the log probability of its token. */
export function logSumExp(logits: ArrayLike<number>): number {
  let greatest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i] > greatest) greatest = logits[i];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - greatest);
  return greatest + Math.log(sum);
}
