// The file of `bench --json`: what was measured, on what, by which version. docs/benchmarks.md explains each field.
import * as s from '../base/schema.ts';
import { version as headlight } from '../base/version.ts';
import type { BenchmarkResult } from '../verify/benchmark.ts';
import type { CheckResult } from '../verify/check.ts';
import { UsageError } from './context.ts';
import { readJsonFile } from './files.ts';

const format = 'headlight-bench';
/** Raised with every change after which an older reader would misread a file. */
const version = 1;

const text = s.string(0, 1000);
const name = s.string(1, 1000);
const amount = s.number(0);

const row = s.strictObject({
  op: name,
  sizes: text,
  candidate: name,
  kernels: text,
  milliseconds: s.positive(),
  fastest: s.positive(),
  slowest: s.positive(),
  flops: amount,
  bytes: amount,
  gflops: amount,
  gbps: amount,
  rooflineShare: amount,
  speedup: s.optional(s.positive()),
  error: amount,
});

const checkedKernel = s.strictObject({
  op: text,
  kernel: text,
  problem: text,
  error: amount,
  failure: s.optional(text),
});

const most = 10_000;

const schema = s.strictObject({
  format: s.literal(format),
  version: s.literal(version),
  headlight: text,
  runtime: text,
  adapter: s.strictObject({ vendor: text, architecture: text, description: text, software: s.boolean() }),
  rounds: s.int(1),
  clock: s.oneOf(['timestamps', 'wall', 'cpu']),
  roofline: s.strictObject({ gflops: amount, gbps: amount }),
  check: s.optional(s.strictObject({ passed: s.literal(true), rows: s.list(checkedKernel, 0, most) })),
  rows: s.list(row, 0, most),
  leftOut: s.list(text, 0, most),
  notForKernel: s.list(text, 0, most),
});

export type BenchmarkFile = s.InferOutput<typeof schema>;

/** What a row is of: the same in two files is compared. */
export const rowKey = ({ op, sizes, candidate }: Pick<BenchmarkFile['rows'][number], 'op' | 'sizes' | 'candidate'>) =>
  JSON.stringify([op, sizes, candidate]);

/**
 * A result as its file says it.
 * @param check of the custom kernels in it.
 * @throws UsageError where no reader would take it, such as for an adapter of a name without end.
 */
export function benchmarkFile(result: BenchmarkResult, check?: CheckResult): BenchmarkFile {
  const runtime = `node ${process.versions.node} ${process.platform}-${process.arch}`;
  const { value, problems } = s.check(schema, { format, version, headlight, runtime, ...result, check });
  if (!value) throw new UsageError(`what was measured cannot be kept: ${s.describe(problems![0], 'the result')}`);
  return value;
}

const maxBytes = 2 ** 24;

/**
 * Reads what `bench --json` wrote, here or elsewhere.
 * @throws UsageError naming the file and what is wrong with it; FileError where it cannot be read.
 */
export async function readBenchmarkFile(file: string): Promise<BenchmarkFile> {
  const way = 'give a file that headlight bench --json wrote';
  const json = await readJsonFile(file, maxBytes);
  const refuse = (problem: string) => new UsageError(`${file}: ${problem}; ${way}`);
  const { value: head } = s.check(s.looseObject({ format: s.literal(format), version: s.int() }), json);
  if (!head) throw refuse('not a file of benchmarks');
  if (head.version !== version)
    throw new UsageError(
      `${file}: its version is ${head.version}, this headlight ${headlight} reads ${version}; measure again with this one`,
    );
  const { value, problems } = s.check(schema, json);
  if (!value) throw refuse(s.describe(problems![0], 'the file'));
  const seen = new Set<string>();
  for (const [index, each] of value.rows.entries()) {
    if (seen.has(rowKey(each))) throw refuse(`rows.${index}: an earlier row is of the same`);
    seen.add(rowKey(each));
  }
  return value;
}
