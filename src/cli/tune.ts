import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { keepTuning, keptTuning } from '../tuning/kept.ts';
import { tuningQuestions } from '../tuning/tune-model.ts';
import { type TunedShape, tune, tunedChoices } from '../verify/tune.ts';
import { cpuTime } from './bench.ts';
import type { Register } from './command.ts';
import {
  announceGpu,
  choiceCount,
  imageSize,
  integer,
  type ModelOptions,
  withArithmeticOption,
  withCacheOption,
  withModelOptions,
} from './model.ts';
import { checkPrompt, type RecordedPrompt, recordable, recordedInput } from './recordable.ts';
import { table } from './table.ts';

interface Options extends ModelOptions, RecordedPrompt {
  rounds: number;
  cpuTime?: boolean;
}

export const tuneCommand: Register = (program, run) => {
  withArithmeticOption(withCacheOption(withModelOptions(program.command('tune'))))
    .description(
      'Find the fastest kernels for a model on this adapter, and keep them: later commands take them. Times the candidates of matrix products and attention at the shapes that the model runs; a winner beats the default by 3 % or more.',
    )
    .option(
      '--image-size <WxH>',
      'measure a prompt with an image of this size, in pixels (default: 336x336 if the model takes images)',
      imageSize,
    )
    .option('--tokens <n>', 'measure a prompt of n tokens without images instead (default: off)', integer(1))
    .option('--rounds <n>', 'how often each candidate has its turn', integer(1), 7)
    .option(
      '--cpu-time',
      'measure CPU time over cores instead of the clock: for a software adapter on a busy machine (default: off)',
    )
    .addHelpText(
      'after',
      `
Examples:
  headlight tune --model llava-hf/llava-1.5-7b-hf
  headlight tune --model ~/models/llava-1.5-7b-hf --weights q4 --tokens 2000   # also for long texts
  headlight generate --no-tuning --prompt 'What is it?' --image a.jpg          # with the default kernels

Shapes are those of a prompt and of the token after it; lengths count as one up to the next power of two. Each candidate's output is
checked against float64 before it is timed; a winner is timed once more beside the default alone. Choices are kept for this adapter,
its driver and this version, in the cache folder (HEADLIGHT_HOME); a new run replaces those of the shapes that it measures.`,
    )
    .action(
      run<Options>(async (context, options) => {
        checkPrompt(options);
        const folder = await openCheckpointFolder(options.model);
        const gpu = await announceGpu(context, options);
        try {
          const { capabilities } = gpu;
          if (capabilities.software)
            context.note('this adapter is software: what is fast on it says nothing about a GPU');
          const before = (await keptTuning(capabilities, { onNotice: (line) => context.note(line) })) ?? {};
          const model = await recordable(folder, gpu, options);
          const questions = tuningQuestions(model, await recordedInput(model, folder, options));
          const result = await tune(gpu, questions, {
            rounds: options.rounds,
            cpuTime: options.cpuTime ? cpuTime : undefined,
            onProgress: (message) => {
              context.signal.throwIfAborted();
              context.note(message);
            },
            onWrong: ({ op, sizes }, candidate, error) =>
              context.note(`left out: ${candidate} of ${op} ${sizes}: ${error.message}`),
          });
          const choices = tunedChoices(before, result);
          const file = await keepTuning(capabilities, choices);
          context.print(shapesTable(result.shapes));
          for (const { op, shape } of result.leftOut)
            context.print(`left out, too large for a software adapter: ${op} ${shape}`);
          const kept = result.shapes.filter((each) => each.kept).length;
          context.print(
            `${kept} of ${result.shapes.length} shapes have a candidate that is faster; ${choiceCount(choices)} choices in all`,
          );
          context.printWritten(file);
          context.result({ file, ...result, choices });
        } finally {
          gpu.dispose();
        }
      }),
    );
};

function shapesTable(shapes: readonly TunedShape[]): string {
  const rows = shapes.map(({ op, shape, byDefault, fastest, kept }) => [
    `${op} ${shape}`,
    byDefault.toFixed(3),
    fastest?.milliseconds.toFixed(3) ?? '',
    fastest ? (fastest.milliseconds / byDefault).toFixed(2) : '',
    kept ? 'kept' : 'default',
    fastest?.candidate ?? '',
  ]);
  return table(['shapes', 'default ms', 'fastest ms', 'ratio', '', 'fastest other'], rows);
}
