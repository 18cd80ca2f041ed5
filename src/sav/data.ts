// Reading a task: a file of rows, JSON Lines or CSV, or a folder of pictures.

import { quote } from '../base/quote.ts';
import { InputError } from '../model/errors.ts';
import { DataError } from './errors.ts';
import { contentOf, type Example, fingerprint } from './features.ts';
import {
  type ExampleFolderSource,
  findPlace,
  folderOfExamples,
  type PictureFolders,
  type Place,
  readPlace,
} from './picture-files.ts';
import { fillTemplate, type PromptSet, promptSets, templateFields } from './prompt-sets.ts';
import { type BadRow, fieldNames, parseRows, questionField, type Row } from './rows.ts';
import { twinsOf } from './same-vectors.ts';

/** How examples are asked. */
export interface QuestionOptions {
  /** Default: general, that is {image, question, label}. */
  promptSet?: PromptSet;
  /** The question of what has none of its own. */
  question?: string;
  /** Instead: the whole prompt of what has no question of its own, as a classifier keeps it. */
  prompt?: string;
  /** Where there is none of these and nothing in the file has a question: this one. */
  defaultQuestion?: string;
  /** A thing the user should see: that the default question stands in, files that are left out. */
  onNotice?: (message: string) => void;
}

/** What a data file may have, and where its pictures are. */
export interface ReadOptions extends QuestionOptions {
  /** 'optional' for queries, whose answers nobody may know yet. Default: 'required'. */
  labels?: 'required' | 'optional';
  /** Where image paths are looked up. Default: beside the data file. */
  imageFolder?: ExampleFolderSource;
  /** A folder in which pictures may be too, given by absolute paths or by `..`. */
  allowedFolder?: ExampleFolderSource;
  /** Told of each row that cannot be used, which is then left out. Default: the first such row is an error. */
  onBadRow?: BadRow;
}

/**
 * Examples of a file, in its order: JSON Lines, or CSV whose header names the fields. Empty lines are passed over.
 *
 * A row of the general kind may have images, a video (`video`: a file, or a list of frames), or neither.
 * Paths are relative to the data file's own folder and may not leave it, so that a data file from a stranger
 * cannot pull private pictures into a report; images kept elsewhere need `imageFolder` or `allowedFolder`.
 * An optional field `candidates` (list of labels) limits the vote for that row.
 * @param given the file's folder: what `openFolder` takes or returns
 * @throws DataError `file:line: …` for the first line that is not what it should be.
 */
export async function readExamples(
  given: ExampleFolderSource,
  file: string,
  options: ReadOptions = {},
): Promise<Example[]> {
  if (typeof file !== 'string')
    throw new InputError("expected a data file's name after its folder: readExamples('data', 'train.jsonl')");
  const folder = await folderOfExamples(given);
  const { imageFolder, allowedFolder } = options;
  const promptSet: PromptSet = options.promptSet ?? promptSets.general;
  const bad = options.onBadRow ?? fail;
  const pictures: PictureFolders = {
    folder: imageFolder === undefined ? folder : await folderOfExamples(imageFolder),
    base: imageFolder !== undefined ? '' : file.slice(0, file.lastIndexOf('/') + 1),
    allowed: allowedFolder === undefined ? undefined : await folderOfExamples(allowedFolder),
  };
  const rows = parseRows(await folder.read(file), file, { promptSet, labels: options.labels ?? 'required', bad });
  const promptOf = prompts(rows, promptSet, options);
  const examples: Example[] = [];
  for (const row of rows) {
    try {
      examples.push(await exampleOf(row, promptOf(row), promptSet, pictures));
    } catch (error) {
      bad(`${row.source}: ${(error as Error).message}`);
    }
  }
  return examples;
}

const fail: BadRow = (problem) => {
  throw new DataError(problem);
};

async function exampleOf(
  { source, fields }: Row,
  prompt: string,
  promptSet: PromptSet,
  pictures: PictureFolders,
): Promise<Example> {
  const images = promptSet.imageFields.flatMap((field) => (fields[field] || []) as string | string[]);
  const imagePlaces = await places(images, pictures);
  const video = promptSet.videoField === undefined ? undefined : fields[promptSet.videoField];
  const clip = [(video ?? []) as string | string[]].flat();
  const clipPlaces = await places(clip, pictures);
  const label = fields[promptSet.labelField] as string | undefined;
  const candidates = (fields.candidates ?? undefined) as string[] | undefined;
  if (label !== undefined && candidates && !candidates.includes(label))
    throw new DataError(`label '${label}' is not among its candidates (${candidates.join(', ')})`);
  const read = (found: readonly Place[], paths: readonly string[]) =>
    Promise.all(found.map((place, i) => readPlace(place, paths[i]))).catch((error: Error) => {
      throw new DataError(`${source}: ${error.message}`, { cause: error });
    });
  return {
    source,
    prompt,
    images,
    loadImages: () => read(imagePlaces, images),
    ...(clip.length && {
      loadVideos: async () => {
        const files = await read(clipPlaces, clip);
        return [typeof video === 'string' ? { name: video, file: files[0] } : { frames: files }];
      },
    }),
    label,
    candidates,
    group: promptSet.groupField && (fields[promptSet.groupField] as string),
  };
}

const places = (paths: readonly string[], pictures: PictureFolders): Promise<Place[]> =>
  Promise.all(paths.map((path) => findPlace(path, pictures)));

/** How a row's prompt is made. The function throws for a row that has no question and gets none. */
function prompts(rows: readonly Row[], promptSet: PromptSet, options: QuestionOptions): (row: Row) => string {
  const fieldsOfTemplate = templateFields(promptSet);
  const hasQuestion = ({ fields }: Row) => fields[questionField] !== undefined;
  const hasPicture = ({ fields }: Row) => promptSet.imageFields.some((field) => fields[field]) || fields.video;
  const isMute = fieldsOfTemplate.includes(questionField) && !rows.some(hasQuestion) && rows.some(hasPicture);
  const standIn = options.question ?? (isMute && options.prompt === undefined ? theDefault(options) : undefined);
  return (row) => {
    const isAsked = !fieldsOfTemplate.includes(questionField) || hasQuestion(row);
    if (!isAsked && !hasPicture(row))
      throw new DataError(
        `has neither a picture nor a field '${questionField}'; it has ${fieldNames(row.fields)}; a picture's file goes into '${promptSet.imageFields[0]}'`,
      );
    if (!isAsked && options.question === undefined && options.prompt !== undefined) return options.prompt;
    if (!isAsked && standIn === undefined)
      throw new DataError(
        `has no field '${questionField}'; it has ${fieldNames(row.fields)}; one question for all rows without is --question (question)`,
      );
    const text = (field: string) => (row.fields[field] ?? standIn) as string;
    return fillTemplate(promptSet, new Map(fieldsOfTemplate.map((field) => [field, text(field)])));
  };
}

function theDefault({ defaultQuestion, onNotice }: QuestionOptions): string | undefined {
  if (defaultQuestion !== undefined)
    onNotice?.(`no question is given: each picture is asked “${defaultQuestion}”; --question asks another`);
  return defaultQuestion;
}

/**
 * The prompt of a picture that comes without a row.
 * @throws InputError where the prompt set asks for more than a question, or there is none.
 */
export function promptOfPicture(options: QuestionOptions): string {
  const { promptSet = promptSets.general, question, prompt } = options;
  if (question === undefined && prompt !== undefined) return prompt;
  const other = templateFields(promptSet).find((field) => field !== questionField);
  if (other !== undefined)
    throw new InputError(
      `prompt set ${promptSet.name} needs a field ${quote(other)} with each picture; give a CSV or JSON Lines`,
    );
  const text = question ?? theDefault(options);
  if (text === undefined) throw new InputError('pictures come without a question; give one: --question (question)');
  return fillTemplate(promptSet, new Map([[questionField, text]]));
}

/** The labels of examples that must all have one. */
export function labelsOf(examples: readonly Example[]): string[] {
  return examples.map(({ label, source }) => {
    if (label === undefined) throw new DataError(`${source}: has no label`);
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
 * same pictures with another text, or, where head vectors are given, vectors that are equal but for rounding (the same pixels
 * in another file).
 */
export async function findLeaks(
  train: readonly Example[],
  test: readonly Example[],
  vectors?: { train: readonly Float32Array[]; test: readonly Float32Array[] },
): Promise<Leak[]> {
  const twins = vectors && Array.from(twinsOf([...vectors.train, ...vectors.test]), String);
  const keys = async (examples: readonly Example[], own: readonly string[] | undefined) =>
    Promise.all(examples.map(async (example, i) => [await fingerprint(example), own?.[i], await contentOf(example)]));
  const seen = new Map<string, Example>();
  for (const [i, own] of (await keys(train, twins)).entries())
    for (const key of own) if (key !== undefined) seen.set(key, train[i]);
  const leaks: Leak[] = [];
  for (const [i, [input, vector, content]] of (await keys(test, twins?.slice(train.length))).entries()) {
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
