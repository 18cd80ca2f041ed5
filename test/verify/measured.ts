import type { BenchmarkResult, BenchmarkRow } from '../../src/verify/benchmark.ts';

/** Rows of `add`, by candidate and milliseconds, with a spread of a tenth. */
export const measured = (times: Record<string, number>): BenchmarkResult => ({
  adapter: { vendor: 'v', architecture: 'a', description: 'A card, driver 1.2', software: false },
  rounds: 7,
  clock: 'timestamps',
  roofline: { gflops: 100, gbps: 10 },
  rows: Object.entries(times).map(
    ([candidate, milliseconds]): BenchmarkRow => ({
      op: 'add',
      sizes: '[60,128]',
      candidate,
      kernels: 'add',
      milliseconds,
      fastest: milliseconds * 0.95,
      slowest: milliseconds * 1.05,
      flops: 7680,
      bytes: 92160,
      gflops: 1,
      gbps: 2,
      rooflineShare: 0.5,
      error: 0,
    }),
  ),
  leftOut: ['matmul [1,4096] x [32064,4096] f16'],
  notForKernel: [],
});
