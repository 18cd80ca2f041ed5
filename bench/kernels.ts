/**
 * Kernel benchmarks: npx tsx -C development bench/kernels.ts [--filter matmul] [--rounds 7] [--json | --csv] [--cpu-time]
 *
 * --cpu-time: for software adapters on a busy machine: CPU time of this process, divided by the number of cores, in place of
 * the clock's.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { type BenchmarkResult, type BenchmarkRow, runKernelBenchmarks } from '../src/kernels/benchmark.ts';
import { openGpu } from '../src/kernels/gpu.ts';

const { values } = parseArgs({
  options: {
    filter: { type: 'string', default: '' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
    csv: { type: 'boolean', default: false },
    'cpu-time': { type: 'boolean', default: false },
  },
});

function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 / availableParallelism();
}

function printTable({ adapter, software, roofline, rows, leftOut }: BenchmarkResult): void {
  console.log(`adapter: ${adapter}${software ? ' (SOFTWARE: says nothing about any GPU)' : ''}`);
  console.log(
    `roofline, measured by a multiply-add and a copy kernel: ${roofline.gflops.toFixed(1)} GFLOP/s, ${roofline.gbps.toFixed(1)} GB/s`,
  );
  let group = '';
  for (const row of rows) {
    if (row.group !== group) console.log(`\n${row.group}`);
    group = row.group;
    console.log(
      [
        `  ${row.candidate.padEnd(16)} ${row.kernels.padEnd(30)}`,
        `${row.milliseconds.toFixed(3).padStart(9)} ms (${row.fastest.toFixed(3)} to ${row.slowest.toFixed(3)})`.padEnd(
          36,
        ),
        `${row.gflops.toFixed(2).padStart(8)} GFLOP/s ${row.gbps.toFixed(2).padStart(7)} GB/s`,
        `${(100 * row.rooflineShare).toFixed(0).padStart(4)} % of roofline`,
        row.speedup === undefined ? '' : `${row.speedup.toFixed(2)} x baseline`,
      ].join(' '),
    );
  }
  if (leftOut.length) console.log(`\ntoo large for a software adapter, left out:\n  ${leftOut.join('\n  ')}`);
}

function printCsv({ adapter, rows }: BenchmarkResult): void {
  const columns: (keyof BenchmarkRow)[] = [
    ...(['group', 'candidate', 'kernels', 'milliseconds', 'fastest', 'slowest'] as const),
    ...(['gflops', 'gbps', 'rooflineShare', 'speedup', 'error'] as const),
  ];
  const cell = (value: unknown) => (typeof value === 'string' ? `"${value.replaceAll('"', '""')}"` : (value ?? ''));
  console.log(['adapter', ...columns].join());
  for (const row of rows) console.log([cell(adapter), ...columns.map((c) => cell(row[c]))].join());
}

const gpu = await openGpu();
try {
  const result = await runKernelBenchmarks(gpu, {
    filter: values.filter,
    rounds: Number(values.rounds),
    clock: values['cpu-time'] ? cpuTime : undefined,
    onProgress: (message) => console.error(message),
  });
  if (values.json) console.log(JSON.stringify(result, null, 2));
  else if (values.csv) printCsv(result);
  else printTable(result);
} finally {
  gpu.dispose();
}
