// Two files of `bench --json`, side by side, for people.
import { printableLine } from '../base/printable.ts';
import { adapterName } from '../gpu/capabilities.ts';
import { FileError } from '../platform/errors.ts';
import { type BenchmarkFile, decodeBenchmarkFile, maxBenchmarkBytes } from '../verify/benchmark-file.ts';
import { groupName } from '../verify/benchmarks/group.ts';
import type { Compared, Comparison } from '../verify/compare.ts';
import { UsageError } from './context.ts';
import { readBytes } from './files.ts';
import { table } from './table.ts';

/**
 * Reads what `bench --json` or a page wrote.
 * @throws UsageError naming the file and what is wrong with it; FileError where it cannot be read.
 */
export async function readBenchmarkFile(file: string): Promise<BenchmarkFile> {
  const bytes = await readBytes(file, maxBenchmarkBytes);
  try {
    return decodeBenchmarkFile(bytes, file);
  } catch (e) {
    throw e instanceof FileError ? new UsageError(e.message) : e;
  }
}

/** The comparison for people. @param names of the files, A and B. */
export function comparisonTable(
  files: readonly [BenchmarkFile, BenchmarkFile],
  names: readonly [string, string],
  { rows, ratio, onlyA, onlyB }: Comparison,
): string {
  const about = ({ adapter, headlight, runtime, clock, roofline }: BenchmarkFile) =>
    `${adapterName(adapter)}, headlight ${headlight}, ${runtime}, clock: ${clock}, roofline ${roofline.gflops.toFixed(1)} GFLOP/s and ${roofline.gbps.toFixed(1)} GB/s`;
  const share = (of: Compared['a']) => `${(100 * of.rooflineShare).toFixed(0)} %`;
  const body = rows.map((row) => [
    groupName(row),
    row.candidate,
    row.a.milliseconds.toFixed(3),
    row.b.milliseconds.toFixed(3),
    row.ratio.toFixed(2),
    row.apart ? 'apart' : 'overlap',
    share(row.a),
    share(row.b),
  ]);
  const lines = ['A', 'B'].map((which, i) => printableLine(`${which}: ${names[i]}: ${about(files[i])}`));
  if (files[0].clock !== files[1].clock) lines.push('The two were timed by different clocks: ratios mean little.');
  if (ratio === undefined) lines.push('', 'nothing is in both');
  else
    lines.push(
      '',
      table(['group', 'candidate', 'A ms', 'B ms', 'B / A', 'rounds', 'A of roofline', 'B of roofline'], body),
      '',
      `geometric mean of B / A: ${ratio.toFixed(2)} over ${rows.length} rows; below 1 B is faster`,
    );
  for (const [which, list] of [
    ['A', onlyA],
    ['B', onlyB],
  ] as const)
    if (list.length) lines.push('', `only in ${which}:`, ...list.map((name) => `  ${printableLine(name)}`));
  return lines.join('\n');
}
