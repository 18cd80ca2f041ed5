// Reading a task: JSON Lines, one example a line, hostile until checked.
import { z } from 'zod';
import { quote } from '../checkpoint/errors.ts';
import { contentOf, type Example, fingerprint } from './features.ts';
import { vectorKey } from './groups.ts';
import { fillTemplate, type PromptSet, promptSets, templateFields } from './prompt-sets.ts';

/** The part of a platform Folder that reading a task needs. */
export interface ExampleFolder {
  readonly location: string;
  read(name: string): Promise<Uint8Array>;
}

export interface ReadOptions {
  /** Default: general, that is {image, question, label}. */
  promptSet?: PromptSet;
  /** 'optional' for queries, whose answers nobody may know yet. Default: 'required'. */
  labels?: 'required' | 'optional';
  /** Where image paths are looked up. Default: beside the data file. */
  imageFolder?: ExampleFolder;
}

/**
 * Examples of a JSON Lines file, in file order; empty lines are passed over.
 *
 * A row of the general kind may have images, a video (`video`: a file, or a list of frames), or neither.
 * Paths are relative to the data file's own folder and may not leave it, so that a data file from a stranger
 * cannot pull private pictures into a report; images kept elsewhere need `imageFolder`.
 * An optional field `candidates` (list of labels) limits the vote for that row.
 * @throws {Error} `file:line: …` for the first line that is not what it should be.
 */
export async function readExamples(folder: ExampleFolder, file: string, options: ReadOptions = {}): Promise<Example[]> {
  const promptSet: PromptSet = options.promptSet ?? promptSets.general;
  const imageFolder = options.imageFolder ?? folder;
  const base = options.imageFolder ? '' : file.slice(0, file.lastIndexOf('/') + 1);
  const rowSchema = schemaOf(promptSet, options.labels ?? 'required');
  const lines = decodeUtf8(await folder.read(file), file).split(/\r?\n/);
  const rows: { row: Record<string, unknown>; source: string }[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const source = `${file}:${index + 1}`;
    rows.push({ row: parseRow(line, rowSchema, source), source });
  }
  checkPictures(rows, promptSet);
  const examples: Example[] = [];
  for (const { row, source } of rows) {
    const images = insidePaths(
      promptSet.imageFields.flatMap((field) => (row[field] || []) as string | string[]),
      source,
    );
    const video = promptSet.videoField === undefined ? undefined : row[promptSet.videoField];
    const clip = insidePaths([(video ?? []) as string | string[]].flat(), source);
    const read = (paths: readonly string[]) =>
      Promise.all(paths.map((path) => readPicture(imageFolder, base + path, source)));
    const text = new Map(templateFields(promptSet).map((field) => [field, row[field] as string]));
    const label = row[promptSet.labelField] as string | undefined;
    const candidates = row.candidates as string[] | undefined;
    if (label !== undefined && candidates && !candidates.includes(label)) {
      throw new Error(`${source}: label '${label}' is not among its candidates (${candidates.join(', ')})`);
    }
    examples.push({
      source,
      prompt: fillTemplate(promptSet, text),
      images,
      loadImages: () => read(images),
      ...(clip.length && {
        loadVideos: async () => {
          const files = await read(clip);
          return [typeof video === 'string' ? { name: video, file: files[0] } : { frames: files }];
        },
      }),
      label,
      candidates,
      group: promptSet.groupField && (row[promptSet.groupField] as string),
    });
  }
  if (examples.length === 0) throw new Error(`${file}: no examples; expected one JSON object a line`);
  return examples;
}

/** The labels of examples that must all have one. */
export function labelsOf(examples: readonly Example[]): string[] {
  return examples.map(({ label, source }) => {
    if (label === undefined) throw new Error(`${source}: has no label`);
    return label;
  });
}

/** A test row that is also in the training set. */
export interface Leak {
  readonly train: Example;
  readonly test: Example;
  /** The picture is the same, the text is another. */
  readonly otherText?: boolean;
}

/**
 * Rows of `train` that the model would see again in `test`, whatever the files are called: the same pictures and text, the
 * same pictures with another text, or, where head vectors are given, the same vectors (the same pixels in another file).
 */
export async function findLeaks(
  train: readonly Example[],
  test: readonly Example[],
  vectors?: { train: readonly Float32Array[]; test: readonly Float32Array[] },
): Promise<Leak[]> {
  const keys = async (examples: readonly Example[], own: readonly Float32Array[] | undefined) =>
    Promise.all(
      examples.map(async (example, i) => [
        await fingerprint(example),
        own && vectorKey(own[i]),
        await contentOf(example),
      ]),
    );
  const seen = new Map<string, Example>();
  for (const [i, own] of (await keys(train, vectors?.train)).entries())
    for (const key of own) if (key !== undefined) seen.set(key, train[i]);
  const leaks: Leak[] = [];
  for (const [i, [input, vector, content]] of (await keys(test, vectors?.test)).entries()) {
    const twin = seen.get(input!) ?? (vector === undefined ? undefined : seen.get(vector));
    const pictured = seen.get(content!);
    if (twin) leaks.push({ train: twin, test: test[i] });
    else if (pictured) leaks.push({ train: pictured, test: test[i], otherText: true });
  }
  return leaks;
}

/** The leak in one line for people, or undefined where there is none. */
export function describeLeaks(leaks: readonly Leak[], testRows: number): string | undefined {
  if (leaks.length === 0) return undefined;
  const list = (some: readonly Leak[]) => {
    const shown = some.slice(0, 3).map(({ train, test }) => `${test.source} = ${train.source}`);
    const more = some.length > shown.length ? `, and ${some.length - shown.length} more` : '';
    return `(${shown.join(', ')}${more})`;
  };
  const same = leaks.filter(({ otherText }) => !otherText);
  const pictured = leaks.filter(({ otherText }) => otherText);
  const lines: string[] = [];
  if (same.length)
    lines.push(
      `${same.length} of ${testRows} test rows are also training rows ${list(same)}: the accuracy is too high`,
    );
  if (pictured.length)
    lines.push(
      `${pictured.length} of ${testRows} test rows show a picture of the training rows with another text ${list(pictured)}: the accuracy may be too high`,
    );
  return lines.join('; ');
}

const labelValue = z.union([z.string().trim().min(1), z.number(), z.boolean()]).transform(String);
const imagePath = z.string().min(1);

/** A row's fields; others are ignored, since published files carry many. Numbers and booleans pass as text. */
function schemaOf(set: PromptSet, labels: 'required' | 'optional') {
  const shape: Record<string, z.ZodType> = {};
  for (const field of templateFields(set)) shape[field] = z.union([z.string(), z.number()]).transform(String);
  for (const [i, field] of set.imageFields.entries()) {
    const paths = z.union([imagePath, z.array(imagePath)]);
    const first = set.videoField === undefined ? paths : paths.nullish();
    shape[field] = i === 0 ? first : imagePath.or(z.literal('')).nullish();
  }
  if (set.videoField) shape[set.videoField] = z.union([imagePath, z.array(imagePath).min(1)]).nullish();
  if (set.groupField) shape[set.groupField] = z.union([z.string(), z.number()]).transform(String);
  shape.candidates = z.array(labelValue).min(1).optional();
  shape[set.labelField] =
    labels === 'required' ? labelValue : labelValue.nullish().transform((label) => label ?? undefined);
  return z.object(shape);
}

function parseRow(line: string, schema: z.ZodType, source: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch (error) {
    throw new Error(`${source}: not a JSON object: ${(error as Error).message}`);
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const missing = issue.path.length === 1 && !Object.hasOwn(Object(json), issue.path[0]);
    const field = issue.path.join('.');
    if (missing) throw new Error(`${source}: has no field '${field}'; it has ${fieldsOf(json)}`);
    throw new Error(`${source}: ${field ? `field '${field}': ` : ''}${issue.message}`);
  }
  return result.data as Record<string, unknown>;
}

/** Names of a row's fields, as many as a line holds. */
function fieldsOf(row: unknown): string {
  const names = Object.keys(Object(row)).map((name) => quote(name));
  const more = names.length - 8;
  return `${names.slice(0, 8).join(', ') || 'none'}${more > 0 ? ` and ${more} more` : ''}`;
}

/**
 * A file of rows without any pictures is a task on text. One row that lacks what others have is rather a slip.
 * @throws Error naming the row.
 */
function checkPictures(
  rows: readonly { row: Record<string, unknown>; source: string }[],
  { imageFields: [image], videoField }: PromptSet,
): void {
  if (videoField === undefined) return;
  const speaks = ({ row }: (typeof rows)[number]) => row[image] !== undefined || row[videoField] !== undefined;
  const silent = rows.some(speaks) && rows.find((each) => !speaks(each));
  if (silent)
    throw new Error(`${silent.source}: has no field '${image}' or '${videoField}' (null, where it is text alone)`);
}

/** @throws Error for a path that leaves the data file's folder. */
function insidePaths(paths: readonly string[], source: string): readonly string[] {
  for (const path of paths) {
    const outside =
      path.split(/[\\/]/).includes('..') || /^([\\/]|[A-Za-z][\w+.-]*:)/.test(path) || path.includes('\0');
    if (outside) {
      throw new Error(
        `${source}: '${path}' is outside the data file's folder; use a path relative to that folder, or name the folder of the images`,
      );
    }
  }
  return paths;
}

async function readPicture(folder: ExampleFolder, path: string, source: string): Promise<Uint8Array> {
  try {
    return await folder.read(path);
  } catch (error) {
    throw new Error(`${source}: cannot read '${path}' in ${folder.location}: ${(error as Error).message}`);
  }
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error(`${file}: is not UTF-8 text`);
  }
}
