import type { ModelInput } from '../model/input.ts';
import type { Model } from '../model/model.ts';
import { indexOfNotFinite } from '../model/run/not-finite.ts';

/**
 * Checks what a run gave before anything is made of it: of NaN, tables and pictures say nothing.
 * @param what names it in the error: `the logits`
 * @throws NotFiniteError naming the first activation that is NaN or infinite, where a value is.
 */
export async function checkFinite(
  model: Model,
  input: ModelInput,
  what: string,
  values: ArrayLike<number>,
): Promise<void> {
  if (indexOfNotFinite(values) >= 0) throw await model.notFinite(what, input);
}
