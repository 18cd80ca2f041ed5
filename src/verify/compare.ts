// Two results, side by side.
import type { BenchmarkRow } from './benchmark.ts';
import { type BenchmarkFile, rowKey } from './benchmark-file.ts';
import { groupName } from './benchmarks/group.ts';

/** A row that both files have. */
export interface Compared extends Pick<BenchmarkRow, 'op' | 'sizes' | 'candidate'> {
  /** Milliseconds, and share of the file's own roofline. */
  readonly a: Pick<BenchmarkRow, 'milliseconds' | 'rooflineShare'>;
  readonly b: Pick<BenchmarkRow, 'milliseconds' | 'rooflineShare'>;
  /** Median time of B over that of A: below 1 B is faster. */
  readonly ratio: number;
  /** The slowest round of one is faster than the fastest of the other. */
  readonly apart: boolean;
}

/** What two files say side by side. */
export interface Comparison {
  readonly rows: readonly Compared[];
  /** Geometric mean of the ratios; undefined without rows. */
  readonly ratio: number | undefined;
  /** Names of rows that one file has: `matmul [60,128] x [128,128] f32: tile`. */
  readonly onlyA: readonly string[];
  readonly onlyB: readonly string[];
}

const named = (row: BenchmarkRow) => `${groupName(row)}: ${row.candidate}`;

/**
 * The rows that both files have, and the names of those that one has.
 * @param filter only groups whose name contains this.
 */
export function compareBenchmarks(a: BenchmarkFile, b: BenchmarkFile, filter = ''): Comparison {
  const wanted = ({ rows }: BenchmarkFile) => rows.filter((row) => groupName(row).includes(filter));
  const [inA, inB] = [a, b].map((file) => new Map(wanted(file).map((row) => [rowKey(row), row])));
  const lacking = (of: ReadonlyMap<string, BenchmarkRow>, other: ReadonlyMap<string, BenchmarkRow>) =>
    [...of].filter(([key]) => !other.has(key)).map(([, row]) => named(row));
  const rows = [...inA].flatMap(([key, ofA]): Compared[] => {
    const ofB = inB.get(key);
    if (!ofB) return [];
    const { op, sizes, candidate } = ofA;
    const figures = ({ milliseconds, rooflineShare }: BenchmarkRow) => ({ milliseconds, rooflineShare });
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
