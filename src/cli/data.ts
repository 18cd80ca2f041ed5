// Options and reading of data, shared by every command that takes some.

import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { openFolder, readFileBytes } from '#platform';
import type { Folder } from '../platform/types.ts';
import { readExamples } from '../sav/data.ts';
import { DataError } from '../sav/errors.ts';
import type { FeatureStore } from '../sav/feature-cache.ts';
import { type Example, extractFeatures, type HeadFeatures, type HeadVectorSource } from '../sav/features.ts';
import type { ExampleFolder } from '../sav/picture-files.ts';
import { readPictureFolder } from '../sav/picture-folder.ts';
import { type Project, projectExamples } from '../sav/project.ts';
import { decodeProject, projectExtension } from '../sav/project-file.ts';
import { type PromptSet, type PromptSetName, promptSetByName, promptSets } from '../sav/prompt-sets.ts';
import { findUnreadable } from '../sav/unreadable.ts';
import { type Context, UsageError } from './context.ts';
import { directoryStore } from './files.ts';
import { isFolder, isStream, readStream } from './stream.ts';

export interface DataOptions {
  promptSet?: PromptSetName;
  question?: string;
  imageFolder?: string;
  allowFolder?: string;
  skipBad?: boolean;
  cache?: string;
  sharePrefix?: boolean;
}

/** What `--train`, `--test` and `--data` take, for help texts. */
export const dataKinds = `a folder of class folders, a project (${projectExtension}), a CSV, JSON Lines, or - for standard input`;

/** What is asked of pictures that come without a question. */
export const defaultQuestion = 'What is in the image?';

/** @param fitted whether a classifier says how rows become prompts, and what they ask. */
export function withDataOptions(command: Command, fitted = false): Command {
  const question = fitted ? 'the classifier’s' : `“${defaultQuestion}”`;
  return command
    .addOption(
      new Option('--prompt-set <name>', `how rows become prompts: ${Object.keys(promptSets).join(', ')}`)
        .argParser(promptSetName)
        .default('general')
        .hideHelp(fitted),
    )
    .option('--question <text>', `what to ask about pictures that have no question of their own (default: ${question})`)
    .option('--image-folder <dir>', 'the folder that image paths start from (default: the folder of the data file)')
    .option(
      '--allow-folder <dir>',
      'another folder that the pictures of a data file may be in; pictures elsewhere are refused',
    )
    .option('--skip-bad', 'leave out rows and pictures that cannot be used (default: stop with an error)')
    .option(
      '--cache <dir>',
      'a folder that keeps head vectors and answers: an example seen before costs no forward pass (default: none)',
    );
}

/** The option of commands that read head vectors of many examples. */
export const withSharePrefixOption = (command: Command): Command =>
  command.option(
    '--share-prefix',
    'run the common beginning of questions about the same pictures once: faster; head vectors differ by about 1e-6 (default: off)',
  );

export interface ReadDataOptions {
  /** 'optional' for queries, whose answers nobody may know yet. Default: 'required'. */
  readonly labels?: 'required' | 'optional';
  /** The whole prompt of rows without a question: a classifier's own. */
  readonly prompt?: string;
  /** Labels that a row's candidates may be among: a classifier's. */
  readonly known?: readonly string[];
  /** The location's project, where it has been read. */
  readonly project?: Project;
}

const pathOf = (location: string) => (/^file:/i.test(location) ? fileURLToPath(location) : location);

/** What a project file holds; undefined for a location that is not named as one. @throws DataError as `decodeProject`. */
export async function readProject(location: string): Promise<Project | undefined> {
  const path = pathOf(location);
  if (!path.endsWith(projectExtension) || (await isFolder(path))) return undefined;
  return decodeProject(await readFileBytes(path), location);
}

/**
 * Examples of a folder, a project, a file or standard input, all of which can be shown to a model as far as can be told before: bad ones
 * are an error that lists them, or left out with `--skip-bad`.
 */
export async function readData(
  context: Context,
  location: string,
  options: DataOptions,
  { labels = 'required', prompt, known, project: given }: ReadDataOptions = {},
): Promise<Example[]> {
  const project = given ?? (await readProject(location));
  const path = pathOf(location);
  const { question } = options;
  const onNotice = (message: string) => context.note(message);
  const asked = { promptSet: promptSet(options), question, prompt, defaultQuestion, onNotice };
  const problems: string[] = [];
  let rows: Example[];
  const isOfPictures = project ? 'a project' : path !== '-' && (await isFolder(path)) && 'a folder';
  if (isOfPictures && (options.imageFolder !== undefined || options.allowFolder !== undefined))
    throw new UsageError(`--image-folder and --allow-folder go with a data file; ${location} is ${isOfPictures}`);
  if (project) {
    rows = projectExamples(project, location, { ...asked, labels });
  } else if (isOfPictures) {
    rows = await readPictureFolder(await openFolder(path), { ...asked, labels });
  } else {
    const { folder, file } = await openDataFile(context, path);
    rows = await readExamples(folder, file, {
      ...asked,
      labels,
      imageFolder: await folderOf(options.imageFolder, '--image-folder'),
      allowedFolder: await folderOf(options.allowFolder, '--allow-folder'),
      onBadRow: (problem) => problems.push(problem),
    });
  }
  return usable(context, location, rows, options, { problems, known });
}

/** The folder of a data file, and its name there. Rows that come through a pipe have the working directory for theirs. */
async function openDataFile(context: Context, path: string): Promise<{ folder: ExampleFolder; file: string }> {
  if (path !== '-' && !(await isStream(path)))
    return { folder: await openFolder(resolve(dirname(path))), file: basename(path) };
  const file = path === '-' ? 'standard input' : basename(path);
  const bytes = await readStream(path, context.signal);
  const folder = await openFolder(resolve('.'));
  return { folder: { ...folder, read: async (name) => (name === file ? bytes : folder.read(name)) }, file };
}

async function folderOf(location: string | undefined, flag: string): Promise<Folder | undefined> {
  if (location === undefined) return undefined;
  return openFolder(resolve(location)).catch((error: Error) => {
    throw new UsageError(`${flag}: ${error.message}`);
  });
}

/** Bad rows that are listed; the others are counted. */
const shownProblems = 10;

/** Of more examples only the files' structure is looked at, unless bad ones are to be skipped: decoding takes as long as it takes. */
const decodedUpTo = 2000;

/** Below this many examples a look at their pictures needs no bar. */
const worthABar = 200;

/**
 * The examples that can be shown to a model.
 * @param problems of rows that are left out already
 * @throws DataError for bad ones, after listing them, unless they are to be skipped; where none is left.
 */
export async function usable(
  context: Context,
  location: string,
  rows: readonly Example[],
  { skipBad }: DataOptions,
  { problems = [], known }: { problems?: string[]; known?: readonly string[] } = {},
): Promise<Example[]> {
  const total = rows.length + problems.length;
  const progress = rows.length < worthABar ? undefined : context.progress('looking at the pictures', rows.length);
  const unreadable = await findUnreadable(rows, {
    decode: skipBad || rows.length <= decodedUpTo,
    signal: context.signal,
    onProgress: (done) => progress?.update(done),
  }).finally(() => progress?.stop());
  const bad = new Map(unreadable.map(({ index, problem }) => [index, problem]));
  for (const [i, { source, candidates }] of rows.entries()) {
    const stray = known && candidates?.find((label) => !known.includes(label));
    if (stray !== undefined && !bad.has(i))
      bad.set(i, `${source}: the classifier has no label '${stray}' of its candidates`);
  }
  const all = [...problems, ...bad.values()];
  const good = rows.filter((_, i) => !bad.has(i));
  if (all.length === 0) return good;
  if (all.length === 1 && !skipBad) throw new DataError(`${all[0]} (--skip-bad goes on without it)`);
  for (const problem of all.slice(0, shownProblems)) context.note(`  ${problem}`);
  if (all.length > shownProblems) context.note(`  and ${all.length - shownProblems} more`);
  const count = `${location === '-' ? 'standard input' : location}: ${all.length} of ${total} cannot be used`;
  if (!skipBad) throw new DataError(`${count} (listed above); mend them, or go on without them: --skip-bad`);
  if (good.length === 0) throw new DataError(`${count}: none is left`);
  context.note(`${count} and ${all.length === 1 ? 'is' : 'are'} left out (--skip-bad)`);
  return good;
}

/** Head vectors of examples, with a bar that says how many of them the cache had. */
export async function readHeadVectors(
  context: Context,
  model: HeadVectorSource,
  examples: readonly Example[],
  options: DataOptions,
  { label = 'head vectors', store = featureStore(options) }: { label?: string; store?: FeatureStore } = {},
): Promise<HeadFeatures> {
  const progress = context.progress(label, examples.length);
  return extractFeatures(model, examples, {
    store,
    sharePrefix: options.sharePrefix,
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

/** What all examples share, or nothing where they differ. */
export function common<T>(examples: readonly Example[], of: (example: Example) => T): T | undefined {
  const first = of(examples[0]);
  return examples.every((example) => of(example) === first) ? first : undefined;
}

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
