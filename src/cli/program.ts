import { Command, CommanderError } from 'commander';
import type { Register, Runner } from './command.ts';
import { Context, type Host, UsageError } from './context.ts';
import { err, out } from './output.ts';
import { version } from './package-info.ts';

/** Loaded by name: a command need not wait for what all the others are made of. */
export const commands: Readonly<Record<string, () => Promise<Register>>> = {
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
  quantize: async () => (await import('./quantize.ts')).quantizeCommand,
};

/** Runs the command line `argv`, without Node's and the program's name: its exit code. Its output may still be on its way. */
export async function runProgram(argv: readonly string[], host?: Host): Promise<number> {
  let code = 0;
  const debug = argv.includes('--debug');
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
  const run: Runner = (action) => async (options, command) => {
    const interrupted = new AbortController();
    const onInterrupt = () => {
      if (interrupted.signal.aborted) process.exit(130); // a second Ctrl-C does not wait
      interrupted.abort(new Error('interrupted'));
    };
    process.on('SIGINT', onInterrupt);
    out.onFailure = () => interrupted.abort(new Error('nobody reads the output')); // not to work on for nobody
    try {
      await action(new Context(options.json ?? false, interrupted.signal, host), options);
      interrupted.signal.throwIfAborted(); // what a run of one piece did to its end
    } catch (e) {
      code = interrupted.signal.aborted ? 130 : e instanceof UsageError ? 2 : 1;
      if (out.failure === undefined) report(e, debug, command);
    } finally {
      process.off('SIGINT', onInterrupt);
    }
  };
  try {
    const [first] = argv;
    // Without a command's name there is help to give, or a misspelt one to guess.
    const wanted = Object.hasOwn(commands, first) ? [first] : Object.keys(commands);
    for (const register of await Promise.all(wanted.map((name) => commands[name]()))) register(program, run);
    await program.parseAsync(argv, { from: 'user' });
  } catch (e) {
    // Commander has printed what is wrong; --help and --version end here too, with code 0.
    if (e instanceof CommanderError) return e.exitCode === 0 ? 0 : 2;
    report(e, debug);
    return 1;
  }
  return code;
}

/** What went wrong: one line, or its trace. */
export function report(e: unknown, debug: boolean, command?: Command): void {
  const { message, stack } = e instanceof Error ? e : new Error(String(e));
  const line = message.replace(/\s*\n\s*/g, ' ');
  err.write(`headlight: ${debug ? stack : byFlag(line, command)}\n`);
}

/** The library's messages begin with its own option where that is wrong: it is the command's flag that people have given. */
function byFlag(message: string, command?: Command): string {
  const [, name] =
    /^(maxLayer|maxNewTokens|temperature|topP|topK|seed|posSlice|position|window|residual|noneOfThese|abstain|weights|head|k)(?=:? )/.exec(
      message,
    ) ?? [];
  const attributes = { posSlice: ['pos'], head: ['heads'], k: ['heads', 'select'] }[name] ?? [name];
  const flag = command?.options.find((option) => attributes.includes(option.attributeName()))?.long;
  return flag ? flag + message.slice(name.length) : message;
}
