import { randomUUID } from 'node:crypto';
import { constants, rmSync } from 'node:fs';
import {
  access,
  type FileHandle,
  mkdir,
  open,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FileError } from './errors.ts';
import type { WritePieces } from './types.ts';

/** What is written beside now: a second Ctrl-C ends the process at once, and must not leave it. */
const unfinished = new Set<string>();
process.on('exit', () => {
  for (const path of unfinished) rmSync(path, { force: true, recursive: true });
});

/**
 * Writes a file whole or not at all, even where the machine loses its power: beside, brought to the disk, then renamed. It keeps
 * the permissions of what was there. Of a link the target is replaced; devices and pipes (`/dev/stdout`) are written into: a
 * rename would put a file in their place.
 * @param options.lasting false for what can be made again and shows by itself whether it is whole: it need not wait for the disk.
 * @throws FileError in one line: the file, what stands in the way, and the way out.
 */
export async function writeWhole(
  file: string,
  data: string | Uint8Array,
  { lasting = true }: { lasting?: boolean } = {},
): Promise<void> {
  let beside: string | undefined;
  try {
    if (file === '') throw new FileError('name the file to write');
    const there = await stat(file).catch(absent);
    if (there?.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' }); // as the system would; told below
    if (there && !there.isFile()) return await writeInto(file, data, there.isFIFO());
    const target = await linkTarget(file);
    if (there) await access(target, constants.W_OK);
    await mkdir(dirname(target), { recursive: true });
    // A name of its own: the target's with something added could be too long.
    beside = join(dirname(target), `.headlight-${randomUUID()}.part`);
    unfinished.add(beside);
    const handle = await open(beside, 'wx');
    try {
      await handle.writeFile(data);
      if (there) {
        await handle.chown(there.uid, there.gid).catch(() => {}); // only root may give files away
        await handle.chmod(there.mode & 0o7777);
      }
      if (lasting) await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, target);
    if (lasting) await syncFolder(dirname(target));
  } catch (e) {
    if (beside) await rm(beside, { force: true }).catch(() => {}); // where its folder is none
    throw new FileError(`${file || 'an empty name'}: cannot be written: ${writeProblem(e)}`, { cause: e });
  } finally {
    if (beside) unfinished.delete(beside);
  }
}

/**
 * Writes a folder whole or not at all: beside, brought to the disk, then renamed. One that is there must be empty, or else it is
 * replaced: then there is a moment without it, and never a mixture.
 * @param fill writes the files.
 * @throws FileError in one line where the system does not write; what `fill` throws.
 */
export async function writeFolder<T>(
  folder: string,
  fill: (write: WritePieces) => Promise<T>,
  { replace = false }: { replace?: boolean } = {},
): Promise<T> {
  const name = `.headlight-${randomUUID()}`;
  let beside: string | undefined;
  try {
    const target = await linkTarget(folder);
    beside = join(dirname(target), `${name}.part`);
    unfinished.add(beside);
    await mkdir(beside, { recursive: true });
    const result = await fill((file, pieces) => writeFileOf(join(beside!, file), pieces));
    await syncFolder(beside);
    if (replace) await replaceFolder(target, beside, join(dirname(target), `${name}.old`));
    else {
      await rmdir(target).catch(absent); // what is in it is not deleted
      await rename(beside, target);
    }
    await syncFolder(dirname(target));
    return result;
  } catch (e) {
    if (beside) await rm(beside, { force: true, recursive: true }).catch(() => {});
    if (!(e as NodeJS.ErrnoException).syscall) throw e;
    throw new FileError(`${folder}: cannot be written: ${writeProblem(e)}`, { cause: e });
  } finally {
    if (beside) unfinished.delete(beside);
  }
}

async function writeFileOf(path: string, pieces: AsyncIterable<Uint8Array>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'wx');
  try {
    await writeFile(handle, pieces);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function replaceFolder(target: string, by: string, old: string): Promise<void> {
  const wasThere = await rename(target, old).then(() => true, absent);
  try {
    await rename(by, target);
  } catch (e) {
    if (wasThere) await rename(old, target);
    throw e;
  }
  if (wasThere) await rm(old, { recursive: true });
}

/** Makes a rename last. Not every system can: Windows opens no folders, some network disks do not sync them. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, 'r');
    await handle.sync();
  } catch {
    // The file itself is on the disk; its name will be.
  } finally {
    await handle?.close();
  }
}

const problems: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; make room there, or name another place',
  EDQUOT: 'the quota of this user is used up; make room there, or name another place',
  EFBIG: 'its file system takes no file of that size; name another place',
  EACCES: 'this user may not write there; name another place',
  EPERM: 'this user may not write there; name another place',
  EROFS: 'it is on a file system that can only be read; name another place',
  ENOTEMPTY: 'it is not empty any more; name another place',
  EISDIR: 'it is a folder; name the file to write',
  EEXIST: 'a part of its path is a file, not a folder; name another place',
  ENOTDIR: 'a part of its path is a file, not a folder; name another place',
  ENAMETOOLONG: 'the name is too long; give a shorter one',
  ELOOP: 'its links lead in a circle; name another place',
  EBUSY: 'something else holds it; name another place',
  EPIPE: 'the reader of the pipe has gone',
  EIO: 'the disk reports an error; name another place',
  EMFILE: 'too many files are open',
};

/** Why a write failed and the way out, for the end of a line. */
export function writeProblem(e: unknown): string {
  const { code = '', message } = e as NodeJS.ErrnoException;
  return Object.hasOwn(problems, code) ? `${problems[code]} (${code})` : message;
}

const absent = (e: NodeJS.ErrnoException): undefined => {
  if (e.code !== 'ENOENT') throw e;
};

/** The file that a path stands for, through links, also one that leads to nothing yet. */
async function linkTarget(path: string, hops = 0): Promise<string> {
  const real = await realpath(path).catch(absent);
  if (real !== undefined) return real;
  const link = await readlink(path).catch(() => undefined);
  if (link === undefined) return path;
  if (hops === 40) throw Object.assign(new Error(), { code: 'ELOOP' }); // as the system would
  return linkTarget(resolve(await realpath(dirname(path)), link), hops + 1);
}

async function writeInto(path: string, data: string | Uint8Array, isPipe: boolean): Promise<void> {
  // To open a pipe waits for its reader, in a thread that nothing can end; so ask until there is one.
  const reader = isPipe ? await pipeWithReader(path) : undefined;
  try {
    const handle = await open(path, 'w');
    try {
      await handle.writeFile(data);
    } finally {
      await handle.close();
    }
  } finally {
    await reader?.close();
  }
}

async function pipeWithReader(path: string): Promise<FileHandle> {
  for (;;)
    try {
      return await open(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'ENXIO') throw e;
      await sleep(100);
    }
}
