import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FileError } from './errors.ts';
import { fetchImage } from './fetch-image.ts';
import { checkName, checkRange } from './file-name.ts';
import { maxFileBytes, tooLarge } from './image-source.ts';
import type { Folder } from './types.ts';

/**
 * A folder on disk. Symbolic links are followed: the Hugging Face cache consists of them.
 * @param location a path or a `file:` URL.
 * @throws FileError if there is no such folder; reading throws it too, naming the file.
 */
export async function openFolder(location: string | URL): Promise<Folder> {
  const path = pathOf(location);
  const isFolder = await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new FileError(`${path}: there is no such folder`);
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
  };
}

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
export async function readImageFile(location: string | URL, label: string): Promise<Uint8Array> {
  const text = String(location);
  if (/^(https?|data|blob):/i.test(text)) return fetchImage(text, label);
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
