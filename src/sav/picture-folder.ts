// A folder of pictures as a task: its subfolders are the classes, or every picture is a query.

import { quote } from '../base/quote.ts';
import type { FolderEntry } from '../platform/types.ts';
import { promptOfPicture, type QuestionOptions } from './data.ts';
import { DataError } from './errors.ts';
import type { Example } from './features.ts';
import {
  type ExampleFolder,
  type ExampleFolderSource,
  folderOfExamples,
  isPictureName,
  readPlace,
} from './picture-files.ts';

/** Whether a folder has classes, and what is asked of its pictures. */
export interface PictureFolderOptions extends QuestionOptions {
  /** 'required': the folder's subfolders are the classes. 'optional': all pictures in it are queries. Default: 'required'. */
  labels?: 'required' | 'optional';
}

/** Whether a name is that of what systems leave beside pictures. */
export const isHiddenName = (name: string) => /^(\.|~\$|__MACOSX$|Thumbs\.db$|desktop\.ini$)/i.test(name);

/** The parts that data sets come in: folders of classes, not classes. */
const isPart = (name: string) => /^(train(ing)?|test(ing)?|val(id(ation)?)?|dev)$/i.test(name);

/** Pictures of one folder, folders in it included: more are rather the wrong folder. */
const maxFiles = 2 ** 20;

/**
 * Examples of a folder of class folders: `photos/cat/1.jpg` has the label `cat`, however deep it lies in `cat`. Classes come in
 * the order of their names, and pictures in that of their paths, both by code points. Hidden files are passed over; links are
 * followed; of files whose names are not those of pictures, `onNotice` is told.
 * @param given what `openFolder` takes (a path or URL; in a page also the files of a folder, a directory handle, a dropped entry) or returns
 * @throws DataError naming the folder: no pictures, pictures beside class folders, `train` and `test` for classes.
 */
export async function readPictureFolder(
  given: ExampleFolderSource,
  options: PictureFolderOptions = {},
): Promise<Example[]> {
  const folder = await folderOfExamples(given);
  const { location } = folder;
  const walk: Walk = { folder, pictures: [], others: [], onNotice: options.onNotice };
  if (options.labels === 'optional') {
    await collect(walk, '', []);
    say(walk, options);
    if (!walk.pictures.length) throw new DataError(`${location}: no pictures in it${aside(walk.others)}`);
    const prompt = promptOfPicture(options);
    return walk.pictures.sort(byCodePoints).map((name) => exampleOf(folder, name, prompt));
  }
  const entries = (await listed(walk, '')).sort((a, b) => byCodePoints(a.name, b.name));
  const classes = entries.filter(({ kind }) => kind === 'folder');
  const loose = entries.filter(({ name, kind }) => kind !== 'folder' && isPictureName(name));
  for (const { name, kind } of entries) if (kind !== 'folder' && !isPictureName(name)) walk.others.push(name);
  if (!classes.length)
    throw new DataError(
      `${location}: no class folders in it${loose.length ? `, but ${loose.length} pictures: put each in the folder of its class` : ''}, as in ${location}/cat/1.jpg`,
    );
  if (loose.length)
    throw new DataError(
      `${location}: ${loose.length} ${loose.length === 1 ? 'picture lies' : 'pictures lie'} beside the class folders (${some(loose.map(({ name }) => name))}): put each in the folder of its class`,
    );
  if (classes.every(({ name }) => isPart(name)))
    throw new DataError(
      `${location}: holds ${classes.map(({ name }) => name).join(', ')}, which are no classes; name one of them, as ${location}/${(classes.find(({ name }) => /^train/i.test(name)) ?? classes[0]).name}`,
    );
  const prompt = promptOfPicture(options);
  const examples: Example[] = [];
  const empty: string[] = [];
  for (const { name, realPath } of classes) {
    walk.pictures = [];
    await collect(walk, name, [realPath]);
    if (!walk.pictures.length) empty.push(name);
    const label = name.trim().normalize('NFC');
    for (const picture of walk.pictures.sort(byCodePoints)) examples.push(exampleOf(folder, picture, prompt, label));
  }
  say(walk, options);
  if (empty.length)
    options.onNotice?.(
      `${location}: ${empty.length} class ${empty.length === 1 ? 'folder has' : 'folders have'} no pictures: ${some(empty)}`,
    );
  if (!examples.length) throw new DataError(`${location}: no pictures in its class folders${aside(walk.others)}`);
  return examples;
}

const exampleOf = (folder: ExampleFolder, name: string, prompt: string, label?: string): Example => ({
  source: `${folder.location.replace(/\/+$/, '')}/${name}`,
  prompt,
  images: [name],
  loadImages: async () => [await readPlace({ folder, name }, name)],
  label,
});

interface Walk {
  readonly folder: ExampleFolder;
  pictures: string[];
  readonly others: string[];
  onNotice?: (message: string) => void;
}

async function listed({ folder }: Walk, name: string): Promise<FolderEntry[]> {
  if (!folder.list)
    throw new DataError(`${folder.location}: its files cannot be listed here; give a CSV or JSON Lines`);
  return (await folder.list(name)).filter((entry) => !isHiddenName(entry.name));
}

/** @param above where the folders above really are: one that links to them would never end. */
async function collect(walk: Walk, folder: string, above: readonly (string | undefined)[]): Promise<void> {
  for (const { name, kind, realPath } of await listed(walk, folder)) {
    const path = folder ? `${folder}/${name}` : name;
    if (kind !== 'folder') (isPictureName(name) ? walk.pictures : walk.others).push(path);
    else if (above.some((of) => holds(realPath, of)))
      walk.onNotice?.(`${walk.folder.location}/${path}: links to a folder that holds it; left out`);
    else await collect(walk, path, [...above, realPath]);
    if (walk.pictures.length > maxFiles)
      throw new DataError(`${walk.folder.location}: more than ${maxFiles} pictures in it; name a smaller folder`);
  }
}

/** Whether a folder is another, or holds it; by where they really are. */
const holds = (outer: string | undefined, inner: string | undefined): boolean =>
  outer !== undefined && (inner === outer || ['/', '\\'].some((slash) => inner?.startsWith(outer + slash) ?? false));

function say({ folder, others }: Walk, { onNotice }: PictureFolderOptions): void {
  if (others.length)
    onNotice?.(
      `${folder.location}: ${others.length} ${others.length === 1 ? 'file is not named as a picture and is' : 'files are not named as pictures and are'} left out: ${some(others)}`,
    );
}

const aside = (others: readonly string[]) =>
  others.length ? `, but ${others.length} other files: ${some(others)}` : '';

/** The first of some names. */
const some = (names: readonly string[]): string => {
  const shown = names.slice(0, 5).map(quote).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
};

/** The order of code points, which is also that of UTF-8: JavaScript's own differs beyond the first 65,536. */
export function byCodePoints(a: string, b: string): number {
  const [left, right] = [a[Symbol.iterator](), b[Symbol.iterator]()];
  for (;;) {
    const [x, y] = [left.next(), right.next()];
    if (x.done || y.done) return x.done && y.done ? 0 : x.done ? -1 : 1;
    if (x.value !== y.value) return x.value.codePointAt(0)! - y.value.codePointAt(0)!;
  }
}
