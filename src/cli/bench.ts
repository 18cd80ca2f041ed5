import { runKernelBenchmarks } from '../kernels/benchmark.ts';
import type { Register } from './main.ts';
import { announceGpu, integer, withCommonOptions } from './model.ts';
