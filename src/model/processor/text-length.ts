import { InputError } from '../errors.ts';

/**
 * Refuses a text that no model takes before minutes and memory go into it.
 * @param what names it in the error.
 * @param length in UTF-16 code units.
 * @param positions of the model; 128 characters are more than almost any token has.
 * @throws InputError naming the length and the limit.
 */
export function checkTextLength(what: string, length: number, positions: number): void {
  const limit = Math.max(100_000, 128 * positions);
  if (length > limit)
    throw new InputError(
      `${what} has ${length} characters; this model's ${positions} positions take ${limit} at most: shorten it`,
    );
}
