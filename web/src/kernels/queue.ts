// Problems measured one after the other, and what came of them.
import { computed, signal } from '@preact/signals';
import type { CheckResult } from 'headlight-vlm';
import type { BenchmarkResult, BenchmarkRow } from 'headlight-vlm/verify';
import { ask, work } from '../state/engine.ts';
import type { KernelTable, OwnKernel, TimedKernels } from '../worker/work.ts';

/** What can be measured here; undefined until the worker has said it. */
export const table = signal<KernelTable | undefined>(undefined);
/** Why it cannot be said. */
export const tableProblem = signal<string | undefined>(undefined);

export async function readTable(): Promise<void> {
  tableProblem.value = undefined;
  try {
    table.value = await ask('kernelTable', undefined);
  } catch (error) {
    tableProblem.value = (error as Error).message;
  }
}

/** How often each candidate has its turn. */
export const rounds = signal(7);

/** What became of a problem. */
export interface Outcome {
  readonly problem: string;
  readonly rows: readonly BenchmarkRow[];
  /** Why there are not more rows. */
  readonly failures: readonly string[];
}

export interface Measured {
  /** How many problems were asked for. */
  readonly wanted: number;
  readonly outcomes: readonly Outcome[];
  /** What all rows have in common; undefined before the first. */
  readonly about?: Pick<BenchmarkResult, 'adapter' | 'rounds' | 'clock' | 'roofline'>;
  readonly leftOut: readonly string[];
  readonly notForKernel: readonly string[];
  /** Of the user's own kernel, where one takes part. */
  readonly check?: CheckResult;
}

export const measured = signal<Measured | undefined>(undefined);

/** The whole as `bench` gives it; undefined without a row. */
export const result = computed((): BenchmarkResult | undefined => {
  const { about, outcomes = [], leftOut = [], notForKernel = [] } = measured.value ?? {};
  const rows = outcomes.flatMap((outcome) => outcome.rows);
  return about && rows.length ? { ...about, rows, leftOut, notForKernel } : undefined;
});

/** Measures problems in the place of what was measured before. One that fails is noted, and the next has its turn. */
export async function measure(
  problems: readonly string[],
  mine?: { readonly own: OwnKernel; readonly check: CheckResult },
): Promise<void> {
  const times = rounds.value;
  let now: Measured = { wanted: problems.length, outcomes: [], leftOut: [], notForKernel: [], check: mine?.check };
  measured.value = now;
  await work('measuring kernels', async ({ signal, onProgress }) => {
    for (const [done, problem] of problems.entries()) {
      const tell = ({ phase }: { readonly phase: string }) => onProgress({ phase, done, total: problems.length });
      tell({ phase: problem });
      const request = { problem, rounds: times, roofline: now.about?.roofline, own: mine?.own };
      try {
        now = withTimed(now, problem, await ask('timeKernels', request, { signal, onProgress: tell }));
      } catch (error) {
        if (signal.aborted || isFinal(error as Error)) throw error;
        now = withOutcome(now, { problem, rows: [], failures: [failureOf(error as Error)] });
      }
      measured.value = now;
    }
  });
}

function withTimed(before: Measured, problem: string, { result, wrong }: TimedKernels): Measured {
  const { adapter, rounds, clock, roofline, rows, leftOut, notForKernel } = result;
  const earlier = before.about?.adapter;
  if (earlier && JSON.stringify(earlier) !== JSON.stringify(adapter))
    throw new OtherAdapter(
      'After the GPU was lost the browser gives another adapter. The rest is not measured: one result is of one adapter. Measure again for this one.',
    );
  const about = before.about ?? { adapter, rounds, clock, roofline };
  const more = {
    ...before,
    about,
    leftOut: [...before.leftOut, ...leftOut],
    notForKernel: [...before.notForKernel, ...notForKernel],
  };
  return rows.length || wrong.length ? withOutcome(more, { problem, rows, failures: wrong }) : more;
}

const withOutcome = (before: Measured, outcome: Outcome): Measured => ({
  ...before,
  outcomes: [...before.outcomes, outcome],
});

class OtherAdapter extends Error {
  override name = 'OtherAdapter';
}

/** What the next problem would meet too. */
const isFinal = ({ name }: Error) => name === 'OtherAdapter' || name === 'NoAdapterError';

const failureOf = ({ name, message }: Error) =>
  name === 'DeviceLostError'
    ? `the GPU was lost while this ran, and is opened again for the rest (${message})`
    : message;
