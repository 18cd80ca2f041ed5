import { mulberry32 } from '../../base/random.ts';
import { InputError } from '../errors.ts';

/** Draws token ids from scores, reproducibly: the same seed gives the same text. */
export class Sampler {
  readonly #uniform: () => number;

  constructor(seed = 0) {
    this.#uniform = mulberry32(seed);
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
