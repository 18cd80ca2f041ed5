// What classify is asked to label: pictures, folders of them, rows, or one query put together from options.
import { openFolder, readFileBytes } from '#platform';
import type { SavClassifier } from '../sav/classifier.ts';
import type { Example } from '../sav/features.ts';
import { readPictureFolder } from '../sav/picture-folder.ts';
import {
  fillTemplate,
  type PromptSet,
  type PromptSetName,
  promptSetByName,
  templateFields,
} from '../sav/prompt-sets.ts';
import { type Context, UsageError } from './context.ts';
import { type DataOptions, readData, usable } from './data.ts';
import { type PictureOptions, readPictures } from './prompt.ts';
import { isFolder } from './stream.ts';

export interface QueryOptions extends DataOptions, PictureOptions {
  data?: string;
  /** Named without an option: a query each, or folders of such. */
  pictures: string[];
}

/** @throws UsageError for queries of two kinds, or none. */
export function checkQueryOptions({ data, pictures, image, video, question }: QueryOptions): void {
  const isOne = image !== undefined || video !== undefined;
  const kinds = [data !== undefined, pictures.length > 0, isOne].filter(Boolean).length;
  if (kinds > 1 || (kinds === 0 && question === undefined))
    throw new UsageError(
      'give either --data or a query: pictures or folders of them, --image and --video, or a --question alone (see --help)',
    );
  const file = pictures.find((name) => /\.(jsonl|ndjson|csv|tsv)$/i.test(name));
  if (file !== undefined) throw new UsageError(`${file}: holds rows, it is no picture: give it by --data`);
}

/** Queries that can be shown to the model as far as can be told before. */
export async function readQueries(
  context: Context,
  options: QueryOptions,
  { data: { promptSet: name, prompt, labels: known, images } }: SavClassifier,
): Promise<Example[]> {
  const set = promptSetByName(name);
  const skip = (rows: readonly Example[], from: string) => usable(context, from, rows, options);
  if (options.data !== undefined) {
    const asked = { ...options, promptSet: set.name as PromptSetName };
    return readData(context, options.data, asked, { labels: 'optional', prompt, known });
  }
  const asked = promptOf(set, options.question, prompt);
  if (options.pictures.length) return skip(await ofPictures(context, options.pictures, asked, set), 'pictures');
  const each = options.image && options.image.length > 1 && !options.video && images === 1 ? options.image : undefined;
  if (each)
    return skip(
      each.map((file) => ofPicture(file, asked)),
      '--image',
    );
  const given = options.image?.length ?? 0;
  if (!options.video && images !== undefined && images !== given)
    throw new UsageError(
      `the classifier was fitted on ${images} ${images === 1 ? 'picture' : 'pictures'} an example, and ${given || 'none'} ${given === 1 ? 'is' : 'are'} given: ${images === 0 ? 'leave --image out' : images === 1 ? 'give one by --image' : `give --image ${images} times, or many such queries as rows of --data`}`,
    );
  return skip([await ofOptions(options, asked)], 'query');
}

/** A question in the words of the training prompts; that of the classifier where none is given. */
function promptOf(set: PromptSet, question: string | undefined, fitted: string | undefined): string {
  const fields = templateFields(set);
  if (question !== undefined)
    return fields.join() === 'question' ? fillTemplate(set, new Map([['question', question]])) : question;
  if (fitted === undefined) throw new UsageError('this classifier was fitted with several questions: give --question');
  return fitted;
}

async function ofPictures(context: Context, names: readonly string[], prompt: string, promptSet: PromptSet) {
  const found: Example[] = [];
  const onNotice = (message: string) => context.note(message);
  for (const name of names) {
    if (await isFolder(name))
      for (const example of await readPictureFolder(await openFolder(name), {
        promptSet,
        prompt,
        labels: 'optional',
        onNotice,
      }))
        found.push(example);
    else found.push(ofPicture(name, prompt));
  }
  return found;
}

const ofPicture = (file: string, prompt: string): Example => ({
  source: file,
  prompt,
  images: [file],
  loadImages: async () => [await readFileBytes(file)],
});

async function ofOptions(options: QueryOptions, prompt: string): Promise<Example> {
  const { images, imageNames, videos } = await readPictures(options);
  return {
    source: [...imageNames, ...(options.video ?? [])].join(', ') || prompt,
    prompt,
    images: imageNames,
    loadImages: async () => images,
    ...(videos.length && { loadVideos: async () => videos }),
  };
}
