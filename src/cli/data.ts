// Options and reading of data files, shared by fit, classify and eval.
import { basename, dirname } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { openFolder } from '#platform';
import { readExamples } from '../sav/data.ts';
import type { FeatureStore } from '../sav/feature-cache.ts';
import { type Example, extractFeatures, type HeadFeatures, type HeadVectorSource } from '../sav/features.ts';
import { type PromptSet, type PromptSetName, promptSetByName, promptSets } from '../sav/prompt-sets.ts';
import type { Context } from './context.ts';
import { directoryStore } from './files.ts';

export interface DataOptions {
  promptSet?: PromptSetName;
  imageFolder?: string;
  cache?: string;
}

export function withDataOptions(command: Command): Command {
  return command
    .option(
      '--prompt-set <name>',
      `how rows become prompts: ${Object.keys(promptSets).join(', ')}`,
      promptSetName,
      'general',
    )
    .option('--image-folder <dir>', 'where image paths start (default: beside the data file)')
    .option('--cache <dir>', 'keep head vectors here: an example seen before costs no forward pass');
}

/** @param labels 'optional' for queries, whose answers nobody may know yet. */
export async function readData(
  file: string,
  options: DataOptions,
  labels: 'required' | 'optional' = 'required',
): Promise<Example[]> {
  return readExamples(await openFolder(dirname(file)), basename(file), {
    promptSet: promptSet(options),
    labels,
    imageFolder: options.imageFolder === undefined ? undefined : await openFolder(options.imageFolder),
  });
}

/** Head vectors of examples, with a bar that says how many of them the cache had. */
export async function readHeadVectors(
  context: Context,
  model: HeadVectorSource,
  examples: readonly Example[],
  options: DataOptions,
  label = 'head vectors',
): Promise<HeadFeatures> {
  const progress = context.progress(label, examples.length);
  return extractFeatures(model, examples, {
    store: featureStore(options),
    signal: context.signal,
    onProgress: (done, _, cached) => progress.update(done, cached ? `${cached} from the cache` : ''),
    onNotice: (message) => context.note(message),
  }).finally(() => progress.stop());
}

export const promptSet = (options: DataOptions): PromptSet => promptSets[options.promptSet ?? 'general'];

const stores = new Map<string, FeatureStore>();

/** One for each folder, so that a folder that cannot be written is told about once. */
export function featureStore({ cache }: DataOptions): FeatureStore | undefined {
  if (!cache) return undefined;
  if (!stores.has(cache)) stores.set(cache, directoryStore(cache));
  return stores.get(cache);
}

function promptSetName(name: string): string {
  try {
    return promptSetByName(name).name;
  } catch (e) {
    throw new InvalidArgumentError((e as Error).message);
  }
}

/** The prompt that all examples share, or nothing where they differ. */
export const commonPrompt = (examples: readonly Example[]): string | undefined =>
  examples.every(({ prompt }) => prompt === examples[0].prompt) ? examples[0].prompt : undefined;

/** For commander: a number of heads, or auto. */
export function headCount(text: string): number | 'auto' {
  if (text === 'auto') return text;
  const k = Number(text);
  if (!Number.isInteger(k) || k < 1) throw new InvalidArgumentError('Give a number of heads, or auto.');
  return k;
}

/** For commander: one of several words. */
export const oneOf =
  <T extends string>(...words: readonly T[]) =>
  (text: string): T => {
    if (!words.includes(text as T)) throw new InvalidArgumentError(`Give one of ${words.join(', ')}.`);
    return text as T;
  };
