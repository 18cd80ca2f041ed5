/**
 * The package's entry `verify`: kernels held against float64 and timed, as `headlight bench` does it; results as files, two of them compared.
 * `checkKernels` is in the main entry.
 * @module headlight-vlm/verify
 */

export {
  type BenchmarkClock,
  type BenchmarkOptions,
  type BenchmarkResult,
  type BenchmarkRow,
  benchmarkGroups,
  runKernelBenchmarks,
} from './benchmark.ts';
export { type BenchmarkFile, benchmarkFile, decodeBenchmarkFile, maxBenchmarkBytes } from './benchmark-file.ts';
export { type BenchmarkGroup, groupName, type PreparedGroup, type Run } from './benchmarks/group.ts';
export type { Roofline } from './benchmarks/roofline.ts';
export { type Compared, type Comparison, compareBenchmarks } from './compare.ts';
