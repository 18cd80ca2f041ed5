// Which activation is the first that holds NaN or infinity: looked for only once a result does, by further runs.
import { NotFiniteError } from '../errors.ts';
import type { HookPoint } from '../interventions/hook-points.ts';
import type { ActivationCache } from './activations.ts';

/** The index of the first number that is NaN or infinite, or -1. */
export function indexOfNotFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/** Masked scores are infinite by right; what attention matrices and single heads add shows elsewhere too. */
const passedOver = /\.(hook_attn_scores|hook_pattern|hook_result)$/;

/** Hook points whose activations are looked at together: of a block, or one. */
const groupOf = (name: string) => /^(.*?blocks\.\d+)\./.exec(name)?.[1] ?? name;

/**
 * Finds the first activation of a run that is not finite.
 * @param result what was found not to be finite: `the logits`
 * @param points those that happen in the run, in its order
 * @param run runs it once more, and returns these
 * @param hidden what to say where none of them is
 * @returns the error to throw
 */
export async function notFinite(
  result: string,
  points: readonly HookPoint[],
  run: (names: readonly string[]) => Promise<ActivationCache>,
  hidden = 'look at the last weights (the LM head, or the head of the tower), or at a kernel of your own',
): Promise<NotFiniteError> {
  const groups = new Map<string, string[]>();
  for (const { name } of points)
    if (!passedOver.test(name)) groups.set(groupOf(name), [...(groups.get(groupOf(name)) ?? []), name]);
  for (const names of groups.values()) {
    const cache = await run(names);
    for (const name of names) {
      const found = cache.get(name);
      const at = found ? indexOfNotFinite(found.data) : -1;
      if (at < 0) continue;
      const { data, shape } = found!;
      return new NotFiniteError(
        `${name} is the first activation that is not finite: ${data[at]} at [${indices(at, shape).join(', ')}] of [${shape.join(', ')}]; ${result} cannot be used. Look at what makes it: a damaged or overflowing weight, an edit, or a kernel of your own`,
      );
    }
  }
  return new NotFiniteError(`${result} are not finite, while every activation before them is: ${hidden}`);
}

function indices(flat: number, shape: readonly number[]): number[] {
  const found: number[] = [];
  for (let rest = flat, axis = shape.length - 1; axis >= 0; axis--) {
    found.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return found;
}
