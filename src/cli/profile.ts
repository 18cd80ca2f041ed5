// `--profile`: where the GPU's time went.
import type { Command } from 'commander';
import { percent } from '../base/format.ts';
import type { Gpu } from '../gpu/gpu.ts';
import { Profiler } from '../gpu/profiler.ts';
import type { VisionLanguageModel } from '../model/vision-language-model.ts';
import type { Context } from './context.ts';
import { table } from './table.ts';

export const withProfileOption = (command: Command): Command =>
  command.option(
    '--profile',
    'show a table of the kernels that ran, by GPU time, when it is done (on stderr; in --json too) (default: off)',
  );

export function openProfiler(context: Context, gpu: Gpu): Profiler {
  const profiler = new Profiler(gpu);
  if (!profiler.available) context.note('--profile: this adapter has no timestamps, so there are no times of kernels');
  return profiler;
}

/** Shows the table, slowest kernel first. @returns what --json holds of it: nothing without a profiler. */
export function reportProfile(context: Context, { bound: { profiler } }: VisionLanguageModel) {
  if (!profiler?.available) return {};
  const rows = profiler.byKernel();
  const total = rows.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0);
  const ms = (nanoseconds: number) => (nanoseconds / 1e6).toFixed(2);
  const lines = table(
    ['kernel', 'runs', 'ms', 'share', 'GFLOP/s', 'GB/s'],
    [
      ...rows.map(({ kernel, count, nanoseconds: ns, flops, bytes }) => [
        ...[kernel, `${count}`, ms(ns), percent(ns / total)],
        ...[(flops / ns).toFixed(1), (bytes / ns).toFixed(1)],
      ]),
      ['all', `${rows.reduce((sum, { count }) => sum + count, 0)}`, ms(total), '', '', ''],
    ],
  );
  for (const line of lines.split('\n')) context.note(line);
  return { profile: rows.map(({ nanoseconds, ...row }) => ({ ...row, milliseconds: nanoseconds / 1e6 })) };
}
