// A custom kernel, from a file.
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { checkKernelNames, type Kernels } from '../kernels/custom/kernels.ts';
import { UsageError } from './context.ts';
import { documentation } from './package-info.ts';

export interface KernelOptions {
  kernel?: string;
  op?: string;
}

export function withKernelOptions(command: Command): Command {
  return command
    .option(
      '--kernel <file>',
      'a custom kernel: a .wgsl file, or a module (.mjs, .js, .ts) that exports a table of kernels. A module is a program, and importing it RUNS it',
    )
    .option('--op <name>', `the operation of a .wgsl file, see ${documentation('kernels.md')} (default: attention)`);
}

/**
 * What `--kernel` names: WGSL source for the operation `op`, or a module whose default export is a table of kernels,
 * `{ attention: { name, wgsl, … } }`. A module is a program: importing it runs it.
 * @throws UsageError naming the file and what is wrong with it.
 */
export async function readKernels({ kernel: file, op }: KernelOptions): Promise<Kernels | undefined> {
  if (file === undefined) {
    if (op) throw new UsageError('--op goes with --kernel');
    return undefined;
  }
  let kernels: unknown;
  if (/\.wgsl$/i.test(file)) {
    const wgsl = await readFile(file, 'utf8').catch((e: NodeJS.ErrnoException) => {
      throw new UsageError(`${file}: ${e.code === 'ENOENT' ? 'no such file' : e.message}`);
    });
    kernels = { [op ?? 'attention']: { name: basename(file), wgsl } };
  } else if (/\.(mjs|js|ts|mts)$/i.test(file)) {
    if (op) throw new UsageError('--op goes with a .wgsl file; a module names the operations of its kernels itself');
    try {
      kernels = (await import(pathToFileURL(resolve(file)).href)).default;
    } catch (e) {
      const hint =
        (e as NodeJS.ErrnoException).code === 'ERR_UNKNOWN_FILE_EXTENSION'
          ? ' (this Node does not run TypeScript: give a .mjs file, or run under tsx)'
          : '';
      throw new UsageError(`${file}: ${(e as Error).message}${hint}`);
    }
    if (typeof kernels !== 'object' || kernels === null || !Object.keys(kernels).length)
      throw new UsageError(`${file}: its default export is to be a table of kernels, { attention: { name, wgsl, … } }`);
  } else throw new UsageError(`${file}: --kernel takes a .wgsl text, or a .mjs, .js or .ts module`);
  try {
    checkKernelNames(kernels as Kernels);
  } catch (e) {
    throw new UsageError(`${file}: ${(e as Error).message}`);
  }
  return kernels as Kernels;
}
