import { availableParallelism } from 'node:os';
import { Option } from 'commander';
import { GpuError } from '../gpu/errors.ts';
import { type BenchmarkResult, type BenchmarkRow, benchmarkGroups, runKernelBenchmarks } from '../verify/benchmark.ts';
import { benchmarkFile } from '../verify/benchmark-file.ts';
import { groupName } from '../verify/benchmarks/group.ts';
import { type CheckResult, checkKernels } from '../verify/check.ts';
import { compareBenchmarks } from '../verify/compare.ts';
import { comparisonTable, readBenchmarkFile } from './bench-compare.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import { toCsv } from './csv.ts';
import { type KernelOptions, readKernels, withKernelOptions } from './kernel-file.ts';
import { announceGpu, type CommonOptions, integer, withOutputFlags } from './model.ts';
import { documentation } from './package-info.ts';

interface Options extends CommonOptions, KernelOptions {
  filter: string;
  rounds: number;
  csv?: boolean;
  cpuTime?: boolean;
  compare?: string[];
}

export const benchCommand: Register = (program, run) => {
  withKernelOptions(withOutputFlags(program.command('bench')))
    .description('Time kernels, each after its output is verified: GFLOP/s, GB/s and share of the roofline.')
    .addOption(new Option('--filter <text>', 'run only groups whose name contains this').default('', 'all'))
    .option('--rounds <n>', 'how often each candidate of a group has its turn', integer(1), 7)
    .option('--csv', 'print comma-separated values instead of a table (default: off)')
    .option(
      '--cpu-time',
      'measure CPU time over cores instead of the clock: for a software adapter on a busy machine (default: off)',
    )
    .addOption(
      new Option(
        '--compare <files...>',
        'print the ratios of two files that bench --json wrote, A and B; nothing is run',
      ).conflicts(['kernel', 'op', 'rounds', 'csv', 'cpuTime']),
    )
    .addHelpText(
      'after',
      `
Examples:
  headlight bench --json > before.json
  headlight bench --compare before.json after.json
  headlight bench --filter 'matmul [256,1024]'
  headlight bench --csv > kernels.csv
  headlight bench --kernel mine.wgsl --filter 'heads of 16'
  headlight bench --kernel rms.wgsl --op rmsNorm

A custom kernel is first checked against float64 on awkward sizes, then takes turns with ours; a wrong one is not timed.
Its GFLOP/s and GB/s are of the work that ours counts. What each field of --json says: ${documentation('benchmarks.md')}`,
    )
    .action(
      run<Options>(async (context, options) => {
        if (options.compare) return compare(context, options.compare, options.filter);
        const kernels = await readKernels(options);
        try {
          benchmarkGroups({ filter: options.filter, kernels });
        } catch (e) {
          throw new UsageError(`--filter: ${(e as Error).message}`);
        }
        const gpu = await announceGpu(context);
        try {
          const { signal } = context;
          const checked = kernels && (await checkKernels(gpu, kernels, { signal }));
          if (checked) {
            for (const line of checkSummary(checked)) context.note(line);
            if (!checked.passed) {
              context.result({ check: checked });
              throw new GpuError(`a wrong kernel is not timed: ${checked.rows.find((r) => r.failure)!.failure}`);
            }
          }
          const result = await runKernelBenchmarks(gpu, {
            kernels,
            filter: options.filter,
            rounds: options.rounds,
            cpuTime: options.cpuTime ? cpuTime : undefined,
            signal,
            onProgress: (message) => context.note(message),
          });
          context.print(options.csv ? csv(result) : table(result));
          context.result(benchmarkFile(result, checked));
        } finally {
          gpu.dispose();
        }
      }),
    );
};

async function compare(context: Context, files: readonly string[], filter: string): Promise<void> {
  if (files.length !== 2) throw new UsageError(`--compare takes two files, A.json B.json, not ${files.length}`);
  const [nameA, nameB] = files;
  const a = await readBenchmarkFile(nameA);
  const b = await readBenchmarkFile(nameB);
  const comparison = compareBenchmarks(a, b, filter);
  context.print(comparisonTable([a, b], [nameA, nameB], comparison));
  context.result(comparison);
}

/** Milliseconds of CPU time of this process, over its cores. */
export function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 / availableParallelism();
}

function checkSummary({ rows }: CheckResult): string[] {
  const wrong = rows.filter((row) => row.failure);
  const worst = Math.max(...rows.map((row) => row.error));
  return [
    `checked against float64 on ${rows.length} problems: ${wrong.length ? `${wrong.length} wrong` : `all pass, NMSE at most ${worst.toExponential(1)}`}`,
    ...wrong.map((row) => `  ${row.op} kernel ${row.kernel}, ${row.problem}: ${row.failure}`),
  ];
}

function table({ roofline, rows, leftOut, notForKernel }: BenchmarkResult): string {
  const lines = [
    `roofline, measured by a multiply-add and a copy kernel: ${roofline.gflops.toFixed(1)} GFLOP/s, ${roofline.gbps.toFixed(1)} GB/s`,
  ];
  const width = (of: 'candidate' | 'kernels', least: number) => Math.max(least, ...rows.map((row) => row[of].length));
  const [first, second] = [width('candidate', 16), width('kernels', 30)];
  let group = '';
  for (const row of rows) {
    const name = groupName(row);
    if (name !== group) lines.push('', name);
    group = name;
    const range = `(${row.fastest.toFixed(3)} to ${row.slowest.toFixed(3)})`;
    lines.push(
      [
        `  ${row.candidate.padEnd(first)} ${row.kernels.padEnd(second)}`,
        `${row.milliseconds.toFixed(3).padStart(9)} ms ${range}`.padEnd(36),
        `${row.gflops.toFixed(2).padStart(8)} GFLOP/s ${row.gbps.toFixed(2).padStart(7)} GB/s`,
        `${(100 * row.rooflineShare).toFixed(0).padStart(4)} % of roofline`,
        row.speedup === undefined ? '' : `${row.speedup.toFixed(2)} x baseline`,
      ].join(' '),
    );
  }
  if (leftOut.length)
    lines.push('', 'too large for a software adapter, left out:', ...leftOut.map((name) => `  ${name}`));
  if (notForKernel.length)
    lines.push('', 'not among the masks of the kernel, left out:', ...notForKernel.map((name) => `  ${name}`));
  return lines.join('\n');
}

function csv({ adapter, rows }: BenchmarkResult): string {
  const columns = [
    'op',
    'sizes',
    'candidate',
    'kernels',
    'milliseconds',
    'fastest',
    'slowest',
    'flops',
    'bytes',
    'gflops',
    'gbps',
    'rooflineShare',
    'speedup',
    'error',
  ] as const satisfies readonly (keyof BenchmarkRow)[];
  const { vendor, architecture, description } = adapter;
  const name = [vendor, architecture, description].filter(Boolean).join(' ');
  const table = rows.map((row) => ({ adapter: name, ...Object.fromEntries(columns.map((c) => [c, row[c] ?? ''])) }));
  return toCsv(table).trimEnd();
}
