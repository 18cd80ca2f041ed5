import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FeatureStore } from '../sav/feature-cache.ts';

/**
 * Writes a file whole or not at all: beside, then renamed. Devices, pipes and links (`/dev/stdout`) are written into: a rename
 * would put a file in their place.
 */
export async function writeWhole(file: string, data: string | Uint8Array): Promise<void> {
  const there = await lstat(file).catch(() => undefined);
  if (there?.isDirectory()) throw new Error(`${file}: it is a folder; name the file to write`);
  if (there && !there.isFile()) return writeFile(file, data);
  const beside = join(dirname(file), `.${basename(file)}.${randomUUID()}.part`);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(beside, data);
    await rename(beside, file);
  } catch (e) {
    await rm(beside, { force: true }).catch(() => {}); // where its folder is none
    throw new Error(`${file || 'an empty name'}: cannot be written: ${(e as Error).message}`, { cause: e });
  }
}

/** A feature cache in a folder, a file per example. */
export function directoryStore(folder: string): FeatureStore {
  const path = (key: string) => join(folder, key.slice(0, 2), key);
  return {
    async get(key) {
      try {
        return new Uint8Array(await readFile(path(key)));
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw e;
      }
    },
    put: (key, bytes) => writeWhole(path(key), bytes),
  };
}
