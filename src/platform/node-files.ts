import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileError } from './errors.ts';
import { checkName, checkRange } from './file-name.ts';
import { folderOf } from './folder-source.ts';
import type { Folder, FolderSource } from './types.ts';

/**
 * A folder on disk. Symbolic links are followed: the Hugging Face cache consists of them.
 * @param location a path or a `file:` URL.
 * @throws FileError if there is no such folder; reading throws it too, naming the file.
 */
export async function openFolder(location: string | URL): Promise<Folder> {
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
    list: () => readdir(path),
    size: async (name) => (await stat(file(name)).catch(explain(file(name)))).size,
    read: async (name, start = 0, end) => readRange(file(name), start, end),
  };
}

/** What a checkpoint may be named by. @throws FileError as `openFolder`. */
export const openSource = (source: FolderSource): Promise<Folder> =>
  folderOf(source, openFolder, new URL('../../', import.meta.url));

/**
 * A whole file.
 * @throws FileError naming it.
 */
export async function readFileBytes(location: string | URL): Promise<Uint8Array> {
  const path = pathOf(location);
  return new Uint8Array(await readFile(path).catch(explain(path)));
}

/**
 * SHA-256 of a file of any size, as lower-case hexadecimal digits.
 * @throws FileError naming it.
 */
export async function fileSha256(location: string | URL): Promise<string> {
  const path = pathOf(location);
  const hash = createHash('sha256');
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  } catch (e) {
    explain(path)(e as NodeJS.ErrnoException);
  }
  return hash.digest('hex');
}

async function readRange(path: string, start: number, end: number | undefined): Promise<Uint8Array> {
  const handle = await open(path).catch(explain(path));
  try {
    const info = await handle.stat();
    if (!info.isFile()) throw new FileError(`${path}: not a file`);
    const { size } = info;
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
