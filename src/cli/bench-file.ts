// The file of `bench --json`: what was measured, on what, by which version. docs/benchmarks.md explains each field.
import { stat } from 'node:fs/promises';
import * as z from 'zod';
import type { BenchmarkResult } from '../verify/benchmark.ts';
import type { CheckResult } from '../verify/check.ts';
import { UsageError } from './context.ts';
import { readJsonFile } from './files.ts';
import { version as headlight } from './package-info.ts';

const format = 'headlight-bench';
/** Raised with every change after which an older reader would misread a file. */
const version = 1;

const text = z.string().max(1000);
const amount = z.number().nonnegative();
const duration = z.number().positive();

const row = z.strictObject({
  op: text.min(1),
  sizes: text,
  candidate: text.min(1),
  kernels: text,
  milliseconds: duration,
  fastest: duration,
  slowest: duration,
  flops: amount,
  bytes: amount,
  gflops: amount,
  gbps: amount,
  rooflineShare: amount,
  speedup: duration.optional(),
  error: amount,
});

const checkedKernel = z.strictObject({
  op: text,
  kernel: text,
  problem: text,
  error: amount,
  failure: text.optional(),
});

const schema = z
  .strictObject({
    format: z.literal(format),
    version: z.literal(version),
    headlight: text,
    runtime: text,
    adapter: z.strictObject({ vendor: text, architecture: text, description: text, software: z.boolean() }),
    rounds: z.int().positive(),
    clock: z.enum(['timestamps', 'wall', 'cpu']),
    roofline: z.strictObject({ gflops: amount, gbps: amount }),
    check: z.strictObject({ passed: z.literal(true), rows: z.array(checkedKernel).max(10_000) }).optional(),
    rows: z.array(row).max(10_000),
    leftOut: z.array(text).max(10_000),
    notForKernel: z.array(text).max(10_000),
  })
  .superRefine(({ rows }, context) => {
    const seen = new Set<string>();
    for (const [index, each] of rows.entries()) {
      const key = rowKey(each);
      if (seen.has(key))
        context.addIssue({ code: 'custom', path: ['rows', index], message: 'an earlier row is of the same' });
      seen.add(key);
    }
  });

export type BenchmarkFile = z.output<typeof schema>;

/** What a row is of: the same in two files is compared. */
export const rowKey = ({ op, sizes, candidate }: Pick<BenchmarkFile['rows'][number], 'op' | 'sizes' | 'candidate'>) =>
  JSON.stringify([op, sizes, candidate]);

/** A result as its file says it. @param check of the custom kernels in it. */
export const benchmarkFile = (result: BenchmarkResult, check?: CheckResult): BenchmarkFile =>
  schema.parse({
    format,
    version,
    headlight,
    runtime: `node ${process.versions.node} ${process.platform}-${process.arch}`,
    ...result,
    check,
  });

const maxBytes = 2 ** 24;

/**
 * Reads what `bench --json` wrote, here or elsewhere.
 * @throws UsageError naming the file and what is wrong with it; FileError where it cannot be read.
 */
export async function readBenchmarkFile(file: string): Promise<BenchmarkFile> {
  const size = (await stat(file).catch(() => undefined))?.size ?? 0; // what is not there is for the reading to name
  const way = 'give a file that headlight bench --json wrote';
  if (size > maxBytes) throw new UsageError(`${file}: ${size} bytes are too many for such a file; ${way}`);
  const json = await readJsonFile(file);
  const head = z.looseObject({ format: z.literal(format), version: z.int() }).safeParse(json);
  if (!head.success) throw new UsageError(`${file}: not a file of benchmarks; ${way}`);
  if (head.data.version !== version)
    throw new UsageError(
      `${file}: its version is ${head.data.version}, this headlight ${headlight} reads ${version}; measure again with this one`,
    );
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const [{ path, message }] = parsed.error.issues;
  throw new UsageError(`${file}: ${path.join('.') || 'the file'}: ${message}; ${way}`);
}
