import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { FeatureStore } from '../sav/feature-cache.ts';

/** Writes a file whole or not at all: beside, then renamed. */
export async function writeWhole(file: string, data: string | Uint8Array): Promise<void> {
  const beside = join(dirname(file), `.${basename(file)}.${randomUUID()}.part`);
  await mkdir(dirname(file), { recursive: true });
  try {
    await writeFile(beside, data);
    await rename(beside, file);
  } catch (e) {
    await rm(beside, { force: true });
    throw e;
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
