// Where the pictures of a row are, and that they are where the reader of the data file allows.

import { openFolder } from '#platform';
import { InputError } from '../model/errors.ts';
import type { Folder, PickedFolder } from '../platform/types.ts';
import { DataError } from './errors.ts';

/** The part of a platform Folder that reading a task needs. */
export type ExampleFolder = Pick<Folder, 'location' | 'read' | 'list' | 'nameOf'>;

/** A folder of examples as callers name it: what `openFolder` takes, or returns. */
export type ExampleFolderSource = string | URL | PickedFolder | ExampleFolder;

/** @throws FileError where there is no such folder. */
export async function folderOfExamples(given: ExampleFolderSource): Promise<ExampleFolder> {
  if (isOpened(given)) return given;
  if (typeof given === 'string' || Object(given) === given) return openFolder(given);
  throw new InputError(
    "expected a data file's folder: its path or URL, its files or directory handle, or what openFolder returns",
  );
}

const isOpened = (given: ExampleFolderSource): given is ExampleFolder =>
  typeof (given as ExampleFolder | undefined)?.read === 'function';

/** Where a data file's pictures may be. */
export interface PictureFolders {
  /** Where relative paths start: a folder, and a folder inside it (`''`, or one that ends in `/`). */
  readonly folder: ExampleFolder;
  readonly base: string;
  /** A folder in which they may be too. */
  readonly allowed?: ExampleFolder;
}

/** Whether a file's name is one that pictures have. What is in the file is another matter. */
export const isPictureName = (name: string): boolean =>
  /\.(png|jpe?g|jpe|jfif|webp|gif|bmp|tiff?|avif|heic|heif)$/i.test(name);

/** A file in a folder. */
export interface Place {
  readonly folder: ExampleFolder;
  readonly name: string;
}

/**
 * The file that a row's path means. Paths are relative, absolute or `file:` URLs, with `/` or `\`, and may hold `.` and `..`.
 * They may not leave the folders: a data file from a stranger must not pull private pictures into a report.
 * @throws DataError for a path that leaves them, naming the way out; the source is not in the message.
 */
export async function findPlace(path: string, { folder, base, allowed }: PictureFolders): Promise<Place> {
  const isUrl = /^file:/i.test(path);
  const text = isUrl ? path : path.replaceAll('\\', '/');
  if (path.includes('\0')) throw new DataError(`${JSON.stringify(path)} is no path`);
  if (/^[a-z][\w+.-]+:\/\//i.test(text) && !isUrl)
    throw new DataError(
      `'${path}' is an address, outside the data file's folder; download the file, and give its path`,
    );
  const isWhole = isUrl || /^(\/|[a-z]:)/i.test(text);
  if (!isWhole) {
    const name = withoutDots(base, text);
    if (name !== undefined) return { folder, name };
  }
  const whole = isWhole ? text : `${folder.location}/${base}${text}`;
  const name = await folder.nameOf?.(whole);
  if (name?.startsWith(base)) return { folder, name };
  const elsewhere = await allowed?.nameOf?.(whole);
  if (allowed && elsewhere !== undefined) return { folder: allowed, name: elsewhere };
  throw new DataError(
    `'${path}' is outside the data file's folder${allowed ? ` and outside ${allowed.location}` : ''}; use a path inside it, or allow a folder that holds the pictures (--allow-folder, allowedFolder)`,
  );
}

/** `base/path` without empty, `.` and `..` segments; undefined where that is not inside base. */
function withoutDots(base: string, path: string): string | undefined {
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment !== '..') segments.push(segment);
    else if (segments.pop() === undefined) return undefined;
  }
  return segments.length ? base + segments.join('/') : undefined;
}

/**
 * The bytes of a file. A name that is not there is looked for in its other Unicode forms: data files say é in one letter, file
 * systems of macOS in two.
 * @throws DataError naming it; the source is not in the message.
 */
export async function readPlace({ folder, name }: Place, path: string): Promise<Uint8Array> {
  try {
    return await folder.read(name);
  } catch (error) {
    const other = await otherForm(folder, name);
    if (other !== undefined) return folder.read(other);
    throw new DataError(`cannot read '${path}' in ${folder.location}: ${(error as Error).message}`, { cause: error });
  }
}

/** What stands in the folder under a name that differs in its Unicode form alone. */
async function otherForm(folder: ExampleFolder, name: string): Promise<string | undefined> {
  if (!folder.list || name.normalize('NFC') === name.normalize('NFD')) return undefined;
  let found = '';
  for (const segment of name.split('/')) {
    const entries = await folder.list(found).catch(() => []);
    const here = entries.filter((entry) => entry.name.normalize('NFC') === segment.normalize('NFC'));
    if (here.length === 0) return undefined;
    const entry = here.find((each) => each.name === segment) ?? here[0];
    found += `${found && '/'}${entry.name}`;
  }
  return found === name ? undefined : found;
}
