import { FileError } from './errors.ts';
import { folderOf, openPicked } from './folder-source.ts';
import type { Folder, FolderSource, PickedFolder } from './types.ts';

/**
 * A folder behind a URL, read by HTTP requests, or as the page got it. A server need not have byte ranges, nor answer HEAD; 404 says that
 * a file is not there.
 * @param location a URL, absolute or relative to the page; files, a directory handle, or a dropped entry.
 * @throws FileError for what is no folder; when reading: the file is missing, or the server gives neither the file nor 404.
 */
export async function openFolder(location: string | URL | PickedFolder): Promise<Folder> {
  if (!(typeof location === 'string' || location instanceof URL)) return openPicked(location);
  const { HttpFolder } = await import('./http-folder.ts');
  return new HttpFolder(new URL(location, self.location.href));
}

/**
 * What a checkpoint may be named by. `tiny-llava` is fetched from beside this module, which works where the package's files
 * are served as they are (a CDN of npm packages, a server without a bundler). @throws FileError as `openFolder`.
 */
export const openSource = (source: FolderSource): Promise<Folder> =>
  folderOf(source, openFolder, new URL(/* @vite-ignore */ '../../', import.meta.url));

/**
 * A whole file.
 * @throws FileError naming it.
 */
export async function readFileBytes(location: string | URL): Promise<Uint8Array> {
  const url = new URL(location, self.location.href).href;
  const { readWhole } = await import('./http-file.ts');
  const bytes = await readWhole(url);
  if (!bytes) throw new FileError(`${url}: there is no such file`);
  return bytes;
}

/**
 * SHA-256 of a file, as lower-case hexadecimal digits.
 * @throws FileError naming it.
 */
export async function fileSha256(location: string | URL): Promise<string> {
  const bytes = (await readFileBytes(location)) as Uint8Array<ArrayBuffer>;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
