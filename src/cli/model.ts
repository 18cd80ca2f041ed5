import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Arithmetic, adapterName } from '../gpu/capabilities.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { TunedChoices } from '../gpu/tuning.ts';
import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { type CacheFormat, cacheFormats } from '../model/layers/kv-cache.ts';
import type { Size } from '../model/processor/anyres.ts';
import { VisionLanguageModel } from '../model/vision-language-model.ts';
import { chosenFormats, type WeightsChoice } from '../model/weight-formats.ts';
import { keptTuning, tuningLocation } from '../tuning/kept.ts';
import type { Context } from './context.ts';
import { openProfiler } from './profile.ts';

export interface CommonOptions {
  json?: boolean;
  debug?: boolean;
}

export interface ModelOptions extends CommonOptions {
  model?: string;
  profile?: boolean;
  weights?: WeightsChoice;
  kvCache?: CacheFormat;
  arithmetic?: Arithmetic;
  /** False with --no-tuning. */
  tuning?: boolean;
}

/** The options that every command has. */
export const withOutputFlags = (command: Command): Command =>
  command
    .option('--json', 'write a machine-readable result to stdout')
    .option('--debug', 'show the stack traces of errors');

/** The same, for commands that run a checkpoint. */
export const withCommonOptions = (command: Command): Command =>
  withArithmeticOption(withModelOptions(command)).option(
    '--no-tuning',
    'run the kernels that are chosen by default, whatever headlight tune has found on this adapter',
  );

/** The option of commands that run a checkpoint, or measure its kernels. */
export const withArithmeticOption = (command: Command): Command =>
  command.addOption(
    new Option(
      '--arithmetic <precision>',
      'f16: matrix units multiply where there are many rows, rounded to f16 and added up in f32; faster, and right to three digits (default: f32)',
    ).choices(['f32', 'f16']),
  );

/** For commands that read a checkpoint. */
export const withModelOptions = (command: Command): Command =>
  withOutputFlags(
    command
      .option(
        '--model <dir>',
        'a checkpoint folder, the hub id of a downloaded one, or tiny-llava, which comes with the package (default: tiny-llava)',
      )
      .option(
        '--weights <format>',
        'the format of matrices on the GPU: q8, q4 (the decoder; the rest is q8), f16, bf16 or f32; or a format for each part, as in decoder=q4,tower=f16 (default: as stored)',
        weightsChoice,
      ),
  );

/** The option of commands that generate text, or price that. */
export const withCacheOption = (command: Command): Command =>
  command.addOption(
    new Option(
      '--kv-cache <format>',
      'the format of keys and values while text is generated (default: f16, or f32 where the weights are f32)',
    ).choices(cacheFormats),
  );

/** For commander: a format for all matrices, or `part=format` for some parts. */
export function weightsChoice(text: string): WeightsChoice {
  const pairs = text.split(',').map((each) => each.split('=').map((side) => side.trim()));
  const [half] = pairs.find((pair) => pair.length !== 2) ?? [];
  if (half !== undefined && /[=,]/.test(text))
    throw new InvalidArgumentError(`Give part=format, such as decoder=q4, not ${half}.`);
  const choice = (half ?? Object.fromEntries(pairs)) as WeightsChoice;
  try {
    chosenFormats(choice);
    return choice;
  } catch (e) {
    throw new InvalidArgumentError((e as Error).message);
  }
}

export const choiceCount = (choices: TunedChoices): number =>
  Object.values(choices).reduce((sum, byShape) => sum + Object.keys(byShape).length, 0);

/** @param tuned to what `headlight tune` has found on this adapter, if anything. */
export async function announceGpu(
  context: Context,
  { tuned = false, arithmetic }: { tuned?: boolean; arithmetic?: Arithmetic } = {},
): Promise<Gpu> {
  const gpu = await context.openGpu({
    ...(arithmetic && { arithmetic }),
    ...(tuned && { tuning: (capabilities) => keptTuning(capabilities, { onNotice: (line) => context.note(line) }) }),
  });
  const kind = gpu.capabilities.software ? ' (software: right results, no GPU speed; see headlight doctor)' : '';
  context.note(`adapter: ${adapterName(gpu.capabilities)}${kind}`);
  const choices = choiceCount(gpu.tuning.choices);
  if (choices)
    context.note(
      `tuned: ${choices} kernels chosen by ${await tuningLocation(gpu.capabilities)} (--no-tuning leaves them out)`,
    );
  return gpu;
}

/** Opens the GPU and loads the checkpoint, with progress. Ctrl-C ends what it runs. */
export async function openModel(
  context: Context,
  { model, profile, weights, kvCache, arithmetic, tuning = true }: ModelOptions,
): Promise<VisionLanguageModel> {
  const folder = await openCheckpointFolder(model);
  const gpu = await announceGpu(context, { tuned: tuning, arithmetic });
  let progress: ReturnType<Context['progress']> | undefined;
  try {
    const loaded = await VisionLanguageModel.load(folder, {
      gpu,
      weights,
      kvCache,
      signal: context.signal,
      onWarning: (message) => context.note(message),
      onProgress: (done, total, part) => {
        if (part === 'settings') return;
        progress ??= context.progress('loading the checkpoint', total);
        progress.update(done, `${Math.round(done / 2 ** 20)} of ${Math.round(total / 2 ** 20)} MiB`);
      },
    });
    return loaded.with({ signal: context.signal, profiler: profile ? openProfiler(context, gpu) : undefined });
  } finally {
    progress?.stop();
  }
}

/** What a report calls the model. */
export const modelName = ({ model }: ModelOptions, { precision }: VisionLanguageModel): string =>
  `${model ?? 'tiny-llava (embedded)'}${precision ? `, ${precision}` : ''}`;

/** For commander: gathers an option that may be given several times. */
export const collect = (value: string, values: string[] = []): string[] => [...values, value];

/** For commander: a whole number of at least `min`. */
export const integer =
  (min: number) =>
  (value: string): number => {
    const n = Number(value);
    if (!Number.isInteger(n) || n < min) throw new InvalidArgumentError(`Give a whole number of at least ${min}.`);
    return n;
  };

/** For commander: a number within [min, max]. */
export const number =
  (min: number, max = Number.POSITIVE_INFINITY) =>
  (value: string): number => {
    const n = Number(value);
    if (!(n >= min && n <= max) || value.trim() === '')
      throw new InvalidArgumentError(`Give a number from ${min} to ${max}.`);
    return n;
  };

/** For commander: an image's size, 640x480. */
export function imageSize(value: string): Size {
  const [, width, height] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(value) ?? [];
  if (!width) throw new InvalidArgumentError('Give a width and a height in pixels, as in 640x480.');
  return { width: Number(width), height: Number(height) };
}
