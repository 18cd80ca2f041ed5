// Two files of `bench --json`, side by side.
import { printableLine } from '../base/printable.ts';
import { adapterName } from '../gpu/capabilities.ts';
import { groupName } from '../verify/benchmarks/group.ts';
import { type BenchmarkFile, rowKey } from './bench-file.ts';
import { table } from './table.ts';

type Row = BenchmarkFile['rows'][number];

export interface Compared extends Pick<Row, 'op' | 'sizes' | 'candidate'> {
  /** Milliseconds, and share of the file's own roofline. */
  readonly a: Pick<Row, 'milliseconds' | 'rooflineShare'>;
  readonly b: Pick<Row, 'milliseconds' | 'rooflineShare'>;
  /** Median time of B over that of A: below 1 B is faster. */
  readonly ratio: number;
  /** The slowest round of one is faster than the fastest of the other. */
  readonly apart: boolean;
}

export interface Comparison {
  readonly rows: readonly Compared[];
  /** Geometric mean of the ratios; undefined without rows. */
  readonly ratio: number | undefined;
  readonly onlyA: readonly string[];
  readonly onlyB: readonly string[];
}

const named = (row: Row) => `${groupName(row)}: ${row.candidate}`;

/** The rows that both have, and the names of those that one has; only of groups whose name contains `filter`. */
export function compareBenchmarks(a: BenchmarkFile, b: BenchmarkFile, filter = ''): Comparison {
  const wanted = ({ rows }: BenchmarkFile) => rows.filter((row) => groupName(row).includes(filter));
  const [inA, inB] = [a, b].map((file) => new Map(wanted(file).map((row) => [rowKey(row), row])));
  const lacking = (of: ReadonlyMap<string, Row>, other: ReadonlyMap<string, Row>) =>
    [...of].filter(([key]) => !other.has(key)).map(([, row]) => named(row));
  const rows = [...inA].flatMap(([key, ofA]): Compared[] => {
    const ofB = inB.get(key);
    if (!ofB) return [];
    const { op, sizes, candidate } = ofA;
    const figures = ({ milliseconds, rooflineShare }: Row) => ({ milliseconds, rooflineShare });
    return [
      {
        op,
        sizes,
        candidate,
        a: figures(ofA),
        b: figures(ofB),
        ratio: ofB.milliseconds / ofA.milliseconds,
        apart: ofA.slowest < ofB.fastest || ofB.slowest < ofA.fastest,
      },
    ];
  });
  const logs = rows.reduce((sum, { ratio }) => sum + Math.log(ratio), 0);
  return {
    rows,
    ratio: rows.length ? Math.exp(logs / rows.length) : undefined,
    onlyA: lacking(inA, inB),
    onlyB: lacking(inB, inA),
  };
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
