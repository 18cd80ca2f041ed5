// The file of `bench --json`: what was measured, on what, by which version.
import { runtimeName } from '#platform';
import * as s from '../base/schema.ts';
import { version as headlight } from '../base/version.ts';
import { FileError } from '../platform/errors.ts';
import type { BenchmarkResult, BenchmarkRow } from './benchmark.ts';
import type { CheckResult } from './check.ts';

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

/** What `bench --json` writes. docs/benchmarks.md explains each field. */
export interface BenchmarkFile extends BenchmarkResult {
  readonly format: typeof format;
  readonly version: typeof version;
  /** The version of Headlight. */
  readonly headlight: string;
  /** Node with its version and the system, or the browser as it names itself. */
  readonly runtime: string;
  /** Of the custom kernels in it. */
  readonly check?: CheckResult;
}

/** What a row is of: the same in two files is compared. */
export const rowKey = ({ op, sizes, candidate }: Pick<BenchmarkRow, 'op' | 'sizes' | 'candidate'>) =>
  JSON.stringify([op, sizes, candidate]);

/**
 * A result as its file says it: `JSON.stringify` makes the file.
 * @param check of the custom kernels in it.
 * @throws FileError where no reader would take it, such as for an adapter of a name without end.
 */
export function benchmarkFile(result: BenchmarkResult, check?: CheckResult): BenchmarkFile {
  const about = { format, version, headlight, runtime: runtimeName() };
  const { value, problems } = s.check(schema, { ...about, ...result, check });
  if (!value) throw new FileError(`what was measured cannot be kept: ${s.describe(problems![0], 'the result')}`);
  return value;
}

/** Bytes that such a file may have: look before you read a larger one. */
export const maxBenchmarkBytes = 2 ** 24;

/**
 * Reads what `bench --json` or a page wrote, here or elsewhere.
 * @param file names it in errors.
 * @throws FileError naming the file and what is wrong with it.
 */
export function decodeBenchmarkFile(bytes: Uint8Array, file: string): BenchmarkFile {
  if (bytes.length > maxBenchmarkBytes)
    throw new FileError(`${file}: ${bytes.length} bytes are too many for such a file: at most ${maxBenchmarkBytes}`);
  const refuse = (problem: string) =>
    new FileError(`${file}: ${problem}; give a file that headlight bench --json wrote`);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (e) {
    throw refuse(`not JSON (${(e as Error).message})`);
  }
  const { value: head } = s.check(s.looseObject({ format: s.literal(format), version: s.int() }), json);
  if (!head) throw refuse('not a file of benchmarks');
  if (head.version !== version)
    throw new FileError(
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
