// What the command line changes in the runs of a model: edits and custom kernels.
import type { Command } from 'commander';
import type { BoundOptions } from '../model/run/bound.ts';
import { type EditOptions, readEdits, withEditOptions } from './edits.ts';
import { type KernelOptions, readKernels, withKernelOptions } from './kernel-file.ts';

export interface InterventionOptions extends EditOptions, KernelOptions {}

export const withInterventionOptions = (command: Command): Command => withKernelOptions(withEditOptions(command));

/** Their files. @throws UsageError naming the file and what is wrong with it. */
export async function readInterventions(
  options: InterventionOptions,
): Promise<Pick<BoundOptions, 'edits' | 'kernels'>> {
  return { edits: await readEdits(options), kernels: await readKernels(options) };
}
