import type { GpuContext } from '../gpu/context.ts';
import { KernelError } from '../gpu/errors.ts';
import type { TuningQuestion } from '../gpu/tuning.ts';

/**
 * The candidate that this device was tuned to, of those that an operation has.
 * @param obstacle why one cannot run here.
 * @throws KernelError for a name that the operation does not have, or a candidate that cannot run: choices come from files.
 */
export function tunedCandidate<Name extends string>(
  { tuning }: GpuContext,
  question: TuningQuestion,
  candidates: readonly Name[],
  obstacle: (name: Name) => string | undefined,
): Name | undefined {
  const wanted = tuning.candidate(question);
  if (wanted === undefined) return undefined;
  const name = candidates.find((each) => each === wanted);
  const problem =
    name === undefined ? `there is none of that name; there are ${candidates.join('; ')}` : obstacle(name);
  if (problem)
    throw new KernelError(
      question.op,
      `the candidate ${JSON.stringify(wanted)} that the tuning names for it: ${problem}; tune again (headlight tune), or run without (--no-tuning)`,
    );
  return name;
}
