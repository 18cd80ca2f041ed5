#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import type { Register, Runner } from './command.ts';
import { Context, UsageError } from './context.ts';
import { brokenPipeCode, err, out } from './output.ts';
import { version } from './package-info.ts';

/** Loaded by name: a command need not wait for what all the others are made of. */
const commands: Readonly<Record<string, () => Promise<Register>>> = {
  demo: async () => (await import('./demo.ts')).demoCommand,
  fit: async () => (await import('./fit.ts')).fitCommand,
  classify: async () => (await import('./classify.ts')).classifyCommand,
  eval: async () => (await import('./eval.ts')).evalCommand,
  generate: async () => (await import('./generate.ts')).generateCommand,
  capture: async () => (await import('./capture.ts')).captureCommand,
  attention: async () => (await import('./attention.ts')).attentionCommand,
  lens: async () => (await import('./lens.ts')).lensCommand,
  attribute: async () => (await import('./attribute.ts')).attributeCommand,
  words: async () => (await import('./words.ts')).wordsCommand,
  ablate: async () => (await import('./ablate.ts')).ablateCommand,
  patch: async () => (await import('./patch.ts')).patchCommand,
  knockout: async () => (await import('./knockout.ts')).knockoutCommand,
  similarity: async () => (await import('./similarity.ts')).similarityCommand,
  inspect: async () => (await import('./inspect.ts')).inspectCommand,
  bench: async () => (await import('./bench.ts')).benchCommand,
  'dump-wgsl': async () => (await import('./dump-wgsl.ts')).dumpWgslCommand,
  doctor: async () => (await import('./doctor.ts')).doctorCommand,
  download: async () => (await import('./download.ts')).downloadCommand,
};

async function build(): Promise<Command> {
  const program = new Command('headlight')
    .description(
      'A LLaVA-family vision-language model on WebGPU, with every attention head as a value.\n' +
        'With ~20 labelled images a class and ~20 attention heads, it is a classifier.',
    )
    .version(version)
    .showHelpAfterError('(add --help for usage and examples)')
    .exitOverride()
    .configureOutput({ writeOut: (text) => out.write(text), writeErr: (text) => err.write(text) })
    .configureHelp({ showGlobalOptions: true });
  const [first] = process.argv.slice(2);
  // Without a command's name there is help to give, or a misspelt one to guess.
  const wanted = Object.hasOwn(commands, first) ? [first] : Object.keys(commands);
  for (const register of await Promise.all(wanted.map((name) => commands[name]()))) register(program, run);
  return program;
}

const run: Runner = (action) => async (options) => {
  const interrupted = new AbortController();
  const onInterrupt = () => {
    if (interrupted.signal.aborted) process.exit(130); // a second Ctrl-C does not wait
    interrupted.abort(new Error('interrupted'));
  };
  process.on('SIGINT', onInterrupt);
  out.onFailure = () => interrupted.abort(new Error('nobody reads the output')); // not to work on for nobody
  try {
    await action(new Context(options.json ?? false, interrupted.signal), options);
    interrupted.signal.throwIfAborted(); // what a run of one piece did to its end
  } catch (e) {
    process.exitCode = interrupted.signal.aborted ? 130 : e instanceof UsageError ? 2 : 1;
    if (out.failure === undefined) report(e);
  } finally {
    process.off('SIGINT', onInterrupt);
  }
};

/** What went wrong, on one line; its trace with --debug. */
function report(e: unknown): void {
  const { message, stack } = e instanceof Error ? e : new Error(String(e));
  err.write(`headlight: ${process.argv.includes('--debug') ? stack : message.replace(/\s*\n\s*/g, ' ')}\n`);
}

/** Dawn's instance keeps the event loop alive; what was written must be out before the end. */
async function end(): Promise<never> {
  await Promise.all([out.flush(), err.flush()]);
  if (out.failure === '') process.exit(brokenPipeCode);
  if (out.failure) {
    report(out.failure);
    process.exit(1);
  }
  process.exit();
}

for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (e: unknown) => {
    report(e);
    process.exitCode = 1;
    void end();
  });

try {
  await (await build()).parseAsync();
} catch (e) {
  // Commander has printed what is wrong; --help and --version end here too, with code 0.
  if (e instanceof CommanderError) process.exitCode = e.exitCode === 0 ? 0 : 2;
  else {
    report(e);
    process.exitCode = 1;
  }
}
await end();
