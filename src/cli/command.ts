import type { Command } from 'commander';
import type { Context } from './context.ts';

/** A command of the program: adds itself, and runs through `run`. */
export type Register = (program: Command, run: Runner) => void;

/** Wraps a command's action with a context, Ctrl-C and exit codes. */
export type Runner = <Options extends { json?: boolean }>(
  action: (context: Context, options: Options) => Promise<void>,
) => (options: Options, command: Command) => Promise<void>;
