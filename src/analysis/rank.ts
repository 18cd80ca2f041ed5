// What logits say about tokens.
import { InputError } from '../model/errors.ts';

/** @throws InputError for an id that is not in the vocabulary: it would look like a token of no logit, and the likeliest. */
export function checkTokens(ids: readonly number[], vocabSize: number): void {
  const unknown = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (unknown !== undefined) throw new InputError(`token id ${unknown} is not in the vocabulary of ${vocabSize}`);
}

/** Numbers of the `k` greatest values, the greatest first; of equals, the first. */
export function topK(values: ArrayLike<number>, k: number): number[] {
  const best: number[] = [];
  for (let i = 0; i < values.length; i++) {
    if (best.length === k && !(values[i] > values[best[k - 1]])) continue;
    let at = best.length;
    while (at > 0 && values[i] > values[best[at - 1]]) at--;
    best.splice(at, 0, i);
    if (best.length > k) best.pop();
  }
  return best;
}

/** How many values are greater than that of `id`: 0 for the most likely token. */
export function rankOf(values: ArrayLike<number>, id: number): number {
  let rank = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > values[id]) rank++;
  return rank;
}
