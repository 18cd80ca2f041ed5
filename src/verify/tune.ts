// Which candidates beat the default on this adapter, at the shapes that a model runs (docs/adr/0021-tuning.md).
import type { Gpu } from '../gpu/gpu.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { shapeClass, type TunedChoices, type Tuning, type TuningQuestion } from '../gpu/tuning.ts';
import { type BenchmarkOptions, type BenchmarkRow, runKernelBenchmarks } from './benchmark.ts';
import { type BenchmarkGroup, groupOf, type Run } from './benchmarks/group.ts';
import { tunables } from './tunables.ts';

/** A choice is kept where its time is at most this share of the default's, twice. */
const worthwhile = 0.97;

/** What became of one class of shapes. */
export interface TunedShape {
  readonly op: string;
  /** Its class, as choices name it. */
  readonly shape: string;
  /** Milliseconds of the default, and of the fastest candidate, if there was another: medians of the last measurement. */
  readonly byDefault: number;
  readonly fastest?: { readonly candidate: string; readonly milliseconds: number };
  /** The fastest is worth its place: it was at least 3 % faster, and again in the confirmation. */
  readonly kept: boolean;
}

export interface TuneResult {
  readonly shapes: readonly TunedShape[];
  /** Classes that a software adapter would take minutes for. */
  readonly leftOut: readonly { readonly op: string; readonly shape: string }[];
}

export interface TuneOptions extends Pick<BenchmarkOptions, 'rounds' | 'cpuTime' | 'onProgress' | 'onWrong'> {}

/** A tuning that notes what it is asked, a question for each class of shapes. */
export function askingTuning(): Tuning & { readonly asked: () => TuningQuestion[] } {
  const asked = new Map<string, TuningQuestion>();
  return {
    choices: {},
    candidate(question) {
      const key = classOf(question);
      if (!asked.has(key)) asked.set(key, question);
      return undefined;
    },
    asked: () => [...asked.values()],
  };
}

const classOf = (question: TuningQuestion) => `${question.op} ${shapeClass(question)}`;

/**
 * Times the candidates of each question in turns, after their outputs have been verified, and those that win once more beside the
 * default alone.
 * @param gpu with no tuning of its own.
 * @throws KernelError where a default is wrong
 */
export async function tune(
  gpu: Gpu,
  questions: readonly TuningQuestion[],
  options: TuneOptions = {},
): Promise<TuneResult> {
  const { rounds = 7, ...rest } = options;
  const groups = new Map(questions.map((question) => [question, groupAt(gpu, question)]));
  const first = await runKernelBenchmarks(gpu, { ...rest, rounds, groups: [...groups.values()] });
  const rowsOf = (rows: readonly BenchmarkRow[], { op, sizes }: BenchmarkGroup) =>
    rows.filter((row) => row.op === op && row.sizes === sizes);
  const winners = [...groups].flatMap(([question, group]) => {
    const rows = rowsOf(first.rows, group);
    const winner = rows.length ? winnerOf(rows) : undefined; // none where it was left out
    return winner === undefined ? [] : [groupAt(gpu, question, [winner])];
  });
  const again = winners.length
    ? await runKernelBenchmarks(gpu, { ...rest, rounds: 2 * rounds + 1, groups: winners })
    : { rows: [] };
  const shapes: TunedShape[] = [];
  const leftOut: { op: string; shape: string }[] = [];
  for (const [question, group] of groups) {
    const at = { op: question.op, shape: shapeClass(question) };
    const [rows, confirmed] = [first.rows, again.rows].map((all) => rowsOf(all, group));
    if (rows.length) shapes.push({ ...at, ...verdict(rows, confirmed) });
    else leftOut.push(at);
  }
  return { shapes, leftOut };
}

/** The default's row, and the fastest of the others. */
function standing(rows: readonly Pick<BenchmarkRow, 'candidate' | 'milliseconds'>[]) {
  const others = rows.filter(({ candidate }) => candidate !== 'default');
  const fastest = others.sort((a, b) => a.milliseconds - b.milliseconds).at(0);
  return { byDefault: rows.find(({ candidate }) => candidate === 'default')!, fastest };
}

type Rows = Parameters<typeof standing>[0];

/** The candidate that a measurement speaks for: the fastest, if it is worth its place. */
export function winnerOf(rows: Rows): string | undefined {
  const { byDefault, fastest } = standing(rows);
  return fastest && fastest.milliseconds <= worthwhile * byDefault.milliseconds ? fastest.candidate : undefined;
}

/** What two measurements say. @param confirmed of the winner of the first beside the default; none where there was none. */
export function verdict(first: Rows, confirmed: Rows): Pick<TunedShape, 'byDefault' | 'fastest' | 'kept'> {
  const { byDefault, fastest } = standing(confirmed.length ? confirmed : first);
  return {
    byDefault: byDefault.milliseconds,
    fastest: fastest && { candidate: fastest.candidate, milliseconds: fastest.milliseconds },
    kept: confirmed.length > 0 && winnerOf(confirmed) !== undefined,
  };
}

/** @param only these candidates beside the default; all by default. */
function groupAt({ capabilities }: Gpu, { op, sizes }: TuningQuestion, only?: readonly string[]): BenchmarkGroup {
  const { problem, flops, candidates } = tunables[op as keyof typeof tunables].at(sizes, capabilities);
  return groupOf<string>({
    op: op as keyof typeof tunables,
    sizes: Object.entries(sizes)
      .map(([name, size]) => `${name} ${size}`)
      .join(', '),
    flops,
    problem,
    others(call, gpu) {
      const ofDefault = textOf(gpu, (rec) => call(rec));
      const runs = (only ?? candidates).map((variant): [string, Run] => [
        variant,
        (rec, o) => call(rec, { ...o, variant }),
      ]);
      return Object.fromEntries(runs.filter(([, run]) => textOf(gpu, run) !== ofDefault));
    },
  });
}

/** All that tells two ways to run apart. */
function textOf(gpu: Gpu, run: (rec: Recorder) => unknown): string {
  const rec = gpu.record('text');
  run(rec);
  return JSON.stringify(rec.recorded.map(({ code, workgroups, params }) => [code, workgroups, params]));
}

/** `before` with what was measured now: a class keeps its candidate, or goes back to the default. */
export function tunedChoices(before: TunedChoices, { shapes }: TuneResult): TunedChoices {
  const choices = new Map(Object.entries(before).map(([op, byShape]) => [op, new Map(Object.entries(byShape))]));
  for (const { op, shape, fastest, kept } of shapes) {
    const byShape = choices.get(op) ?? new Map<string, string>();
    if (kept) byShape.set(shape, fastest!.candidate);
    else byShape.delete(shape);
    choices.set(op, byShape);
  }
  return Object.fromEntries(
    [...choices].filter(([, byShape]) => byShape.size > 0).map(([op, byShape]) => [op, Object.fromEntries(byShape)]),
  );
}
