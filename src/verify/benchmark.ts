import type { Capabilities } from '../gpu/capabilities.ts';
import { GpuError, KernelError } from '../gpu/errors.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Profiler } from '../gpu/profiler.ts';
import type { Replacement } from '../gpu/recorder.ts';
import type { AttentionReference } from '../kernels/attention/reference.ts';
import {
  type AttentionKernel,
  checkKernelNames,
  type Kernels,
  kernelsOf,
  replacementOf,
} from '../kernels/custom/kernels.ts';
import { attentionBenchmarks } from './benchmarks/attention.ts';
import { type BenchmarkGroup, groupName, type PreparedGroup, type Run } from './benchmarks/group.ts';
import { matmulBenchmarks } from './benchmarks/matmul.ts';
import { measureRoofline, type Roofline } from './benchmarks/roofline.ts';
import { rowBenchmarks } from './benchmarks/rows.ts';
import { guarded, runGuarded } from './guard.ts';
import { boundOf, failureOf } from './solve.ts';

/** What was measured of one candidate of a problem. */
export interface BenchmarkRow {
  readonly op: string;
  /** Of the problem that the candidates of a group solve. */
  readonly sizes: string;
  /** The candidate: a variant, or `default`. */
  readonly candidate: string;
  /** Kernels that it dispatched. */
  readonly kernels: string;
  /** Of one run, median over the rounds; with the fastest and the slowest round. */
  readonly milliseconds: number;
  readonly fastest: number;
  readonly slowest: number;
  /** Work of one run, from the kernels' cost models; each operand once through memory. A custom kernel counts as ours. */
  readonly flops: number;
  readonly bytes: number;
  /** The same over time. */
  readonly gflops: number;
  readonly gbps: number;
  /** Time that the roofline allows / time taken. */
  readonly rooflineShare: number;
  /** Median time of the group's baseline / this one's; absent in groups without one. */
  readonly speedup?: number;
  /** NMSE against the float64 reference; nothing wrong is timed. */
  readonly error: number;
}

/** What was measured, on what. */
export interface BenchmarkResult {
  readonly adapter: Pick<Capabilities, 'vendor' | 'architecture' | 'description' | 'software'>;
  /** How many rounds, and what told the time. */
  readonly rounds: number;
  readonly clock: BenchmarkClock;
  readonly roofline: Roofline;
  readonly rows: readonly BenchmarkRow[];
  /** Names of groups left out because they are too large for a software adapter. */
  readonly leftOut: readonly string[];
  /** Names of groups left out because no custom kernel has their mask. */
  readonly notForKernel: readonly string[];
}

/** GPU timestamps of each dispatch; otherwise the time around a submission, by the wall clock or of this process's cores. */
export type BenchmarkClock = 'timestamps' | 'wall' | 'cpu';

/** What is measured, and how. */
export interface BenchmarkOptions {
  /** Groups whose name contains this. */
  filter?: string;
  /** Rounds in which each candidate of a group has its turn. Default 7. */
  rounds?: number;
  /** Custom kernels: only the groups of their operations, ours by default beside theirs. Labels are not looked at. */
  kernels?: Kernels;
  /** Default: all of `kernelBenchmarks`. */
  groups?: readonly BenchmarkGroup[];
  /** Milliseconds of CPU time from any point on, for a busy machine with a software adapter. Default: the wall clock. */
  cpuTime?: () => number;
  /** What the device was found to reach before. Default: it is measured first. */
  roofline?: Roofline;
  /** Ends the run between two turns. */
  signal?: AbortSignal;
  onProgress?: (message: string) => void;
  /** Told of a candidate that is wrong or does not compile, and is left out. Without it, or of `default`, that is an error. */
  onWrong?: (group: Pick<BenchmarkGroup, 'op' | 'sizes'>, candidate: string, error: KernelError) => void;
}

/** Each operation's table; new kernels add theirs here. */
export const kernelBenchmarks: readonly BenchmarkGroup[] = [
  ...matmulBenchmarks,
  ...attentionBenchmarks,
  ...rowBenchmarks,
];

/**
 * The groups that `filter` and `kernels` ask for.
 * @throws GpuError naming those that there are where it is none.
 */
export function benchmarkGroups(options: Pick<BenchmarkOptions, 'filter' | 'kernels' | 'groups'>) {
  const { filter = '', kernels, groups = kernelBenchmarks } = options;
  if (kernels) checkKernelNames(kernels);
  const possible = groups.filter((group) => !kernels || kernelsFor(group, kernels));
  const wanted = possible.filter((group) => groupName(group).includes(filter));
  if (!wanted.length && filter)
    throw new GpuError(
      `no benchmark whose name contains ${JSON.stringify(filter)}; there are: ${possible.map(groupName).join('; ')}`,
    );
  return wanted;
}

/** Operations above which a group is left out on a software adapter. */
const softwareFlops = 2e9;
/** Milliseconds of a turn: enough runs in one submission to make its overhead small. */
const turn = 40;
const maxRepeats = 1000;

/**
 * Times kernels. Each candidate is first checked against a float64 reference; then all of a group take turns, round by round,
 * so that a busy machine or a warming chip hits them alike.
 *
 * On GPUs with timestamps these give the time of each dispatch; otherwise it is the time of a submission divided by the runs in it.
 * @throws KernelError naming a candidate whose output is wrong; GpuError for a filter that no group's name contains.
 */
export async function runKernelBenchmarks(gpu: Gpu, options: BenchmarkOptions = {}): Promise<BenchmarkResult> {
  const { rounds = 7, onProgress = () => {}, signal, onWrong } = options;
  const wanted = benchmarkGroups(options);
  const clock = options.cpuTime ?? (() => performance.now());
  const { description, vendor, architecture, software } = gpu.capabilities;
  const told = timestamped(gpu) ? 'timestamps' : options.cpuTime ? 'cpu' : 'wall';
  if (!options.roofline) onProgress('roofline');
  const roofline = options.roofline ?? (await measureRoofline(gpu, clock));
  const rows: BenchmarkRow[] = [];
  const leftOut: string[] = [];
  const notForKernel: string[] = [];
  for (const group of wanted) {
    const theirs = options.kernels && kernelsFor(group, options.kernels);
    if (software && group.flops > softwareFlops) leftOut.push(groupName(group));
    else if (theirs?.length === 0) notForKernel.push(groupName(group));
    else {
      onProgress(groupName(group));
      rows.push(...(await runGroup(gpu, group, theirs, { rounds, clock, roofline, signal, onWrong })));
    }
  }
  const adapter = { vendor, architecture, description, software };
  return { adapter, rounds, clock: told, roofline, rows, leftOut, notForKernel };
}

/** Of custom kernels, those that can do a group; undefined where none has its operation. */
function kernelsFor({ op, mask }: BenchmarkGroup, kernels: Kernels): readonly AttentionKernel[] | undefined {
  if (!Object.hasOwn(kernels, op)) return undefined;
  return kernelsOf(kernels, op).filter((k) => !mask || (k.masks?.includes(mask) ?? true));
}

interface Candidate {
  readonly name: string;
  readonly run: Run;
  readonly replacement?: Replacement;
  readonly reference?: AttentionReference;
}

/** The candidates of a group, or ours by default and those of the user. */
function candidatesOf(
  { op }: BenchmarkGroup,
  prepared: PreparedGroup,
  theirs?: readonly AttentionKernel[],
): Candidate[] {
  if (!theirs) return Object.entries(prepared.candidates).map(([name, run]) => ({ name, run }));
  const { default: run } = prepared.candidates;
  const own = theirs.map((kernel) => ({
    name: kernel.name,
    run,
    replacement: replacementOf({ [op]: { ...kernel, labels: undefined } }),
    reference: kernel.reference,
  }));
  return [{ name: 'default', run }, ...own];
}

interface Turns extends Pick<BenchmarkOptions, 'onWrong' | 'signal'> {
  readonly rounds: number;
  readonly clock: () => number;
  readonly roofline: Roofline;
}

async function runGroup(
  gpu: Gpu,
  group: BenchmarkGroup,
  theirs: readonly AttentionKernel[] | undefined,
  { rounds, clock, roofline, signal, onWrong }: Turns,
): Promise<BenchmarkRow[]> {
  const prepared = group.prepare(gpu);
  try {
    const entries = [];
    for (const candidate of candidatesOf(group, prepared, theirs))
      try {
        signal?.throwIfAborted();
        const error = await check(gpu, group, prepared, candidate);
        const once = await time(gpu, candidate, 1, clock); // warm
        entries.push({
          candidate,
          error,
          repeats: Math.ceil(Math.min(maxRepeats, Math.max(1, turn / once))),
          times: [] as number[],
        });
      } catch (e) {
        if (!(e instanceof KernelError && onWrong) || candidate.name === 'default') throw e;
        onWrong(group, candidate.name, e);
      }
    for (let round = 0; round < rounds; round++)
      for (const { candidate, repeats, times } of entries) {
        signal?.throwIfAborted();
        times.push(await time(gpu, candidate, repeats, clock));
      }
    const medians = new Map(entries.map(({ candidate, times }) => [candidate.name, median(times)]));
    const baselineName = theirs ? 'default' : prepared.baseline;
    const baseline = baselineName === undefined ? undefined : medians.get(baselineName);
    return entries.map(({ candidate, error, times }) => {
      const recorder = gpu.record('cost', { replacement: candidate.replacement });
      candidate.run(recorder);
      const { flops, bytes, kernels } = recorder.work;
      const milliseconds = medians.get(candidate.name)!;
      return {
        op: group.op,
        sizes: group.sizes,
        candidate: candidate.name,
        kernels: kernels.join(' + '),
        milliseconds,
        fastest: Math.min(...times),
        slowest: Math.max(...times),
        flops,
        bytes,
        gflops: flops / milliseconds / 1e6,
        gbps: bytes / milliseconds / 1e6,
        rooflineShare: Math.max(flops / roofline.gflops, bytes / roofline.gbps) / 1e6 / milliseconds,
        speedup: baseline === undefined ? undefined : baseline / milliseconds,
        error,
      };
    });
  } finally {
    gpu.destroy(...prepared.tensors);
  }
}

async function check(
  gpu: Gpu,
  group: BenchmarkGroup,
  prepared: PreparedGroup,
  { name, run, replacement, reference }: Candidate,
): Promise<number> {
  // Into memory of its own: a temporary may hold what the candidate before has left there, the right answer.
  const { dtype, shape } = run(gpu.record('shape'));
  const out = guarded(gpu, 'the output', dtype, shape);
  try {
    const recorder = gpu.record(name, { replacement, bindToEnd: true });
    run(recorder, { out });
    const { content, ...written } = await runGuarded(recorder, out);
    const error = prepared.error(content, reference);
    const failure = failureOf(written, error, prepared.bound ?? boundOf(gpu));
    if (failure) throw new KernelError(name, `${groupName(group)}: ${failure}; a wrong kernel is not timed`);
    return error;
  } finally {
    gpu.destroy(out);
  }
}

/** A software adapter works on the same clock as we do, and its timestamps are no better. */
const timestamped = ({ capabilities }: Gpu): boolean => capabilities.timestamps && !capabilities.software;

/** Milliseconds of one run, from `repeats` of them in one submission. */
async function time(gpu: Gpu, { run, replacement }: Candidate, repeats: number, clock: () => number): Promise<number> {
  const profiler = timestamped(gpu) ? new Profiler(gpu) : undefined;
  const recorder = gpu.record('benchmark', { profiler, replacement });
  for (let i = 0; i < repeats; i++) run(recorder);
  const start = clock();
  await recorder.submit();
  await gpu.wait(gpu.device.queue.onSubmittedWorkDone());
  if (profiler) return profiler.rows.reduce((sum, row) => sum + row.nanoseconds, 0) / 1e6 / repeats;
  return (clock() - start) / repeats;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
