#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { ablateCommand } from './ablate.ts';
import { attentionCommand } from './attention.ts';
import { attributeCommand } from './attribute.ts';
import { benchCommand } from './bench.ts';
import { captureCommand } from './capture.ts';
import { classifyCommand } from './classify.ts';
import type { Register, Runner } from './command.ts';
import { Context, UsageError } from './context.ts';
import { demoCommand } from './demo.ts';
import { doctorCommand } from './doctor.ts';
import { downloadCommand } from './download.ts';
import { dumpWgslCommand } from './dump-wgsl.ts';
import { evalCommand } from './eval.ts';
import { fitCommand } from './fit.ts';
import { generateCommand } from './generate.ts';
import { inspectCommand } from './inspect.ts';
import { knockoutCommand } from './knockout.ts';
import { lensCommand } from './lens.ts';
import { version } from './package-info.ts';
import { patchCommand } from './patch.ts';
import { similarityCommand } from './similarity.ts';
import { wordsCommand } from './words.ts';

const commands: Register[] = [
  demoCommand,
  fitCommand,
  classifyCommand,
  evalCommand,
  generateCommand,
  captureCommand,
  attentionCommand,
  lensCommand,
  attributeCommand,
  wordsCommand,
  ablateCommand,
  patchCommand,
  knockoutCommand,
  similarityCommand,
  inspectCommand,
  benchCommand,
  dumpWgslCommand,
  doctorCommand,
  downloadCommand,
];

function build(): Command {
  const program = new Command('headlight')
    .description(
      'A LLaVA-family vision-language model on WebGPU, with every attention head as a value.\n' +
        'With ~20 labelled images a class and ~20 attention heads, it is a classifier.',
    )
    .version(version)
    .showHelpAfterError('(add --help for usage and examples)')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true });
  for (const register of commands) register(program, runner(program));
  return program;
}

function runner(program: Command): Runner {
  return (action) => async (options) => {
    const interrupted = new AbortController();
    const onInterrupt = () => {
      if (interrupted.signal.aborted) process.exit(130); // a second Ctrl-C does not wait
      interrupted.abort(new Error('interrupted'));
    };
    process.on('SIGINT', onInterrupt);
    try {
      await action(new Context(options.json ?? false, interrupted.signal), options);
      interrupted.signal.throwIfAborted(); // what a run of one piece did to its end
    } catch (e) {
      process.exitCode = interrupted.signal.aborted ? 130 : e instanceof UsageError ? 2 : 1;
      const error = e as Error;
      const debug = program.args.includes('--debug') || process.argv.includes('--debug');
      process.stderr.write(`headlight: ${debug ? error.stack : oneLine(error.message)}\n`);
    } finally {
      process.off('SIGINT', onInterrupt);
    }
  };
}

const oneLine = (text: string) => text.replace(/\s*\n\s*/g, ' ');

try {
  await build().parseAsync();
} catch (e) {
  // Commander has printed what is wrong; --help and --version end here too, with code 0.
  if (!(e instanceof CommanderError)) throw e;
  process.exitCode = e.exitCode === 0 ? 0 : 2;
}
// Dawn's instance keeps the event loop alive; what was written must be out before the end.
await Promise.all([process.stdout, process.stderr].map((s) => new Promise<void>((done) => s.write('', () => done()))));
process.exit();
