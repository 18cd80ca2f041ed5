import { Command, CommanderError, Help, type Option } from 'commander';
import { version } from '../base/version.ts';
import type { Register, Runner } from './command.ts';
import { Context, type Host, UsageError } from './context.ts';
import { err, out } from './output.ts';

interface Listed {
  /** What the list of commands says of it. */
  readonly summary: string;
  /** A command is loaded when its name is typed: it need not wait for what all the others are made of. */
  readonly load: () => Promise<Register>;
}

/** By name, in the order of the list. */
export const commands: Readonly<Record<string, Listed>> = {
  demo: {
    summary: 'run the main job on shipped examples, beside what the model itself answers',
    load: async () => (await import('./demo.ts')).demoCommand,
  },
  fit: {
    summary: 'choose attention heads from labelled examples, and store a classifier',
    load: async () => (await import('./fit.ts')).fitCommand,
  },
  classify: {
    summary: 'label pictures with a stored classifier',
    load: async () => (await import('./classify.ts')).classifyCommand,
  },
  eval: {
    summary: 'measure accuracy on labelled queries, beside baselines on the same data',
    load: async () => (await import('./eval.ts')).evalCommand,
  },
  generate: {
    summary: 'answer a prompt about images and videos',
    load: async () => (await import('./generate.ts')).generateCommand,
  },
  capture: {
    summary: 'write activations of a prompt to a file that Python opens',
    load: async () => (await import('./capture.ts')).captureCommand,
  },
  attention: {
    summary: 'show where heads look in a picture',
    load: async () => (await import('./attention.ts')).attentionCommand,
  },
  lens: {
    summary: 'show what each layer would say next',
    load: async () => (await import('./lens.ts')).lensCommand,
  },
  attribute: {
    summary: 'measure what each head and layer adds to the logit of an answer',
    load: async () => (await import('./attribute.ts')).attributeCommand,
  },
  words: {
    summary: 'list the tokens that the output of a head makes likelier',
    load: async () => (await import('./words.ts')).wordsCommand,
  },
  ablate: {
    summary: 'measure what is lost with one head taken out at a time',
    load: async () => (await import('./ablate.ts')).ablateCommand,
  },
  patch: {
    summary: 'find which activations of a clean run restore its answer in a corrupted one',
    load: async () => (await import('./patch.ts')).patchCommand,
  },
  knockout: {
    summary: 'find the layers in which the answer depends on looking at the picture',
    load: async () => (await import('./knockout.ts')).knockoutCommand,
  },
  similarity: {
    summary: 'measure how alike heads behave in two tasks',
    load: async () => (await import('./similarity.ts')).similarityCommand,
  },
  inspect: {
    summary: 'show what a checkpoint is, what it takes, and whether this adapter suffices',
    load: async () => (await import('./inspect.ts')).inspectCommand,
  },
  bench: {
    summary: 'time kernels, each after its output is verified',
    load: async () => (await import('./bench.ts')).benchCommand,
  },
  tune: {
    summary: 'find the fastest kernels for a model on this adapter, and keep them',
    load: async () => (await import('./tune.ts')).tuneCommand,
  },
  isa: {
    summary: 'show registers, spills and hot loops of kernels on GPUs that are not there',
    load: async () => (await import('./isa.ts')).isaCommand,
  },
  'dump-wgsl': {
    summary: 'write the WGSL that runs for a checkpoint on this adapter',
    load: async () => (await import('./dump-wgsl.ts')).dumpWgslCommand,
  },
  doctor: {
    summary: 'show what WebGPU finds on this machine, and what to install',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  download: {
    summary: 'fetch a checkpoint from the Hugging Face hub',
    load: async () => (await import('./download.ts')).downloadCommand,
  },
  quantize: {
    summary: 'write a checkpoint again in fewer bits',
    load: async () => (await import('./quantize.ts')).quantizeCommand,
  },
};

/** What help says of an option: also that it is required. */
function optionDescription(option: Option): string {
  const text = new Help().optionDescription(option);
  return option.mandatory ? `${text} (required)` : text;
}

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
    .configureHelp({ showGlobalOptions: true, optionDescription });
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
    const wanted = argv.find((word) => !word.startsWith('-') && word !== 'help'); // headlight help fit
    if (wanted !== undefined && Object.hasOwn(commands, wanted)) (await commands[wanted].load())(program, run);
    // Without a command's name there is a list to give, or a misspelt one to guess.
    else for (const [name, { summary }] of Object.entries(commands)) program.command(name).summary(summary);
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
