import { createHash } from 'node:crypto';
import { constants, type Dirent } from 'node:fs';
import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileError } from './errors.ts';
import { fetchImage } from './fetch-image.ts';
import { checkName, checkRange } from './file-name.ts';
import { folderOf, openPicked } from './folder-source.ts';
import { maxFileBytes, tooLarge } from './image-source.ts';
import type { DecodeOptions, Folder, FolderEntry, FolderSource, PickedFolder } from './types.ts';

/**
 * A folder on disk, or File objects. Symbolic links are followed: the Hugging Face cache consists of them.
 * @param location a path or a `file:` URL; or a folder as pages get it.
 * @throws FileError if there is no such folder; reading throws it too, naming the file.
 */
export async function openFolder(location: string | URL | PickedFolder): Promise<Folder> {
  if (!(typeof location === 'string' || location instanceof URL)) return openPicked(location);
  const path = pathOf(location);
  const there = await stat(path).catch(() => undefined);
  if (there && !there.isDirectory()) throw new FileError(`${path}: it is a file; give the folder that it is in`);
  if (!there) throw new FileError(`${path}: there is no such folder`);
  const file = (name: string) => join(path, checkName(name, path));
  return {
    location: path,
    has: async (name) =>
      stat(file(name)).then(
        (s) => s.isFile(),
        () => false,
      ),
    size: async (name) => (await stat(file(name)).catch(explain(file(name)))).size,
    read: async (name, start = 0, end) => readRange(file(name), start, end),
    list: async (name) => listFolder(name === '' ? path : file(name)),
    nameOf: async (wanted) => nameInside(path, wanted),
  };
}

async function listFolder(path: string): Promise<FolderEntry[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(explain(path));
  return Promise.all(entries.map((entry) => folderEntry(path, entry)));
}

/** Links are what they link to. */
async function folderEntry(folder: string, entry: Dirent): Promise<FolderEntry> {
  const { name } = entry;
  const info = entry.isSymbolicLink() ? await stat(join(folder, name)).catch(() => undefined) : entry;
  if (info?.isDirectory()) return { name, kind: 'folder', realPath: await realpath(join(folder, name)) };
  return { name, kind: info?.isFile() ? 'file' : 'other' };
}

/** By the path as it is written, then with links resolved: a working directory is often told in both ways. */
async function nameInside(folder: string, wanted: string): Promise<string | undefined> {
  let path: string;
  try {
    path = pathOf(wanted);
  } catch {
    return undefined; // an address
  }
  if (/^[a-z]:/i.test(path) && !isAbsolute(path)) return undefined; // of Windows, which this is not
  const file = resolve(path);
  const real = (of: string) => realpath(of).catch(() => resolve(of));
  return (
    relativeName(resolve(folder), file) ??
    relativeName(await real(folder), join(await real(dirname(file)), basename(file)))
  );
}

function relativeName(folder: string, file: string): string | undefined {
  const name = relative(folder, file);
  const segments = name.split(sep);
  return name === '' || segments[0] === '..' || isAbsolute(name) ? undefined : segments.join('/');
}

/** What a checkpoint may be named by. @throws FileError as `openFolder`. */
export const openSource = (source: FolderSource): Promise<Folder> =>
  folderOf(source, openFolder, new URL('../../', import.meta.url));

/**
 * A whole file.
 * @throws FileError naming it.
 */
export async function readFileBytes(location: string | URL): Promise<Uint8Array> {
  return readRange(pathOf(location), 0, undefined);
}

/**
 * A picture's file, wherever a path or URL (`file:`, `http:`, `https:`, `data:`) says it is.
 * @throws FileError naming it; ImageError where it is too large for a picture.
 */
export async function readImageFile(
  location: string | URL,
  label: string,
  { signal }: DecodeOptions = {},
): Promise<Uint8Array> {
  const text = String(location);
  if (/^(https?|data|blob):/i.test(text)) return fetchImage(text, label, { signal });
  const path = pathOf(location);
  const { size } = await stat(path).catch(explain(path));
  if (size > maxFileBytes) throw tooLarge(label, size);
  return readRange(path, 0, undefined);
}

/**
 * SHA-256 of a file of any size, as lower-case hexadecimal digits.
 * @throws FileError naming it.
 */
export async function fileSha256(location: string | URL): Promise<string> {
  const path = pathOf(location);
  const hash = createHash('sha256');
  const handle = await openFile(path);
  try {
    for await (const chunk of handle.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
  } catch (e) {
    explain(path)(e as NodeJS.ErrnoException);
  } finally {
    await handle.close();
  }
  return hash.digest('hex');
}

/** Opens a regular file and nothing else; O_NONBLOCK, or a named pipe would be waited for without end. */
async function openFile(path: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch(explain(path));
  const info = await handle.stat();
  if (info.isFile()) return handle;
  await handle.close();
  throw new FileError(`${path}: ${info.isDirectory() ? reasons.EISDIR : 'it is a pipe, socket or device, not a file'}`);
}

async function readRange(path: string, start: number, end: number | undefined): Promise<Uint8Array> {
  const handle = await openFile(path);
  try {
    const { size } = await handle.stat();
    const to = end ?? size;
    checkRange(path, start, to, size);
    const bytes = new Uint8Array(to - start);
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, at, Math.min(bytes.length - at, 2 ** 30), start + at);
      if (bytesRead === 0) throw new FileError(`${path}: it became shorter while it was read`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

function pathOf(location: string | URL): string {
  const text = String(location);
  if (text.startsWith('file:')) return fileURLToPath(text);
  if (/^[a-z]+:\/\//i.test(text)) throw new FileError(`${text}: give a path on this machine; download it first`);
  return text;
}

const reasons: Record<string, string> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder, not a file',
  EACCES: 'this user may not read it',
};

const explain =
  (path: string) =>
  (e: NodeJS.ErrnoException): never => {
    throw new FileError(`${path}: ${reasons[e.code ?? ''] ?? e.message}`);
  };
