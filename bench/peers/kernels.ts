// Rows: all libraries on the same numbers, held against float64, then timed in turns.
import { waitForGpu } from '../../src/platform/node.ts';
import { median } from '../../src/verify/benchmark.ts';
import type { Devices } from './adapter.ts';
import { type Candidate, type Comparison, compared, tolerance } from './candidate.ts';
import { onnxRuntime } from './ort.ts';
import { ours } from './ours.ts';
import { nameOf, type Row } from './rows.ts';
import { tfjs } from './tfjs.ts';

export interface Measured extends Comparison {
  readonly row: string;
  readonly candidate: string;
  /** Of the first call, with all compiling. */
  readonly first: number;
  /** Milliseconds of a call in each round; none where the output is wrong, or there is none. */
  readonly times: readonly number[];
  /** What it said in the place of an output. */
  readonly failure?: string;
}

/** Milliseconds of one candidate's turn: so many calls, one after the other, as are sure to fill it. */
const turn = 100;
const maxCalls = 50;

export async function measureRow(devices: Devices, row: Row, rounds: number): Promise<Measured[]> {
  const made: Candidate[] = [...ours(devices.gpu, row), ...(await onnxRuntime(devices, row)), await tfjs(row)];
  const right: { measured: Measured; times: number[]; time: (calls: number) => Promise<number>; calls: number }[] = [];
  const all: Measured[] = [];
  for (const { name, problem, queue, run, read } of made) {
    const time = async (calls: number) => {
      const start = performance.now();
      for (let i = 0; i < calls; i++) await run();
      await waitForGpu(queue.onSubmittedWorkDone());
      return (performance.now() - start) / calls;
    };
    const times: number[] = [];
    const of = { row: nameOf(row), candidate: name, times };
    try {
      const first = await time(1);
      const comparison = compared(await read(), problem);
      all.push({ ...of, first, ...comparison });
      if (comparison.nmse <= tolerance) {
        const calls = Math.ceil(Math.min(maxCalls, Math.max(1, turn / (await time(1)))));
        right.push({ measured: all[all.length - 1], times, time, calls });
      }
    } catch (e) {
      all.push({ ...of, first: Number.NaN, nmse: Number.NaN, worst: Number.NaN, failure: (e as Error).message });
    }
  }
  for (let round = 0; round < rounds; round++)
    for (const { times, time, calls } of right) times.push(await time(calls));
  for (const { free } of made) free();
  return all;
}

/** Time of `a` over that of `b`, the median over the rounds, in which they had their turns side by side. */
export const ratio = (a: Measured, b: Measured): number => median(a.times.map((time, round) => time / b.times[round]));
