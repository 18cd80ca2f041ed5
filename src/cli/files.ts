import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { readFileBytes } from '#platform';
import { FileError } from '../platform/errors.ts';
import { writeWhole } from '../platform/node-write.ts';
import type { FeatureStore } from '../sav/feature-cache.ts';
import { UsageError } from './context.ts';

/**
 * What a file of the command line holds.
 * @param maxBytes that such a file may have.
 * @throws UsageError naming it where it is larger; FileError where it cannot be read.
 */
export async function readBytes(file: string, maxBytes: number): Promise<Uint8Array> {
  const { size } = await stat(file).catch(() => ({ size: 0 })); // what is not there is for the reading to name
  if (size > maxBytes) throw new UsageError(`${file}: ${size} bytes are too many for such a file: at most ${maxBytes}`);
  return readFileBytes(file);
}

/**
 * What a JSON file of the command line says.
 * @throws UsageError naming it where it is none; FileError where it cannot be read.
 */
export async function readJsonFile(file: string): Promise<unknown> {
  const bytes = await readFileBytes(file);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (e) {
    throw new UsageError(`${file}: not JSON (${(e as Error).message})`);
  }
}

/** The file of an option that names what is to be written: better refused now than after minutes of work. */
export function outputFile(file: string): string {
  if (!file) throw new InvalidArgumentError('Name the file to write.');
  const path = resolve(file);
  let nearest = path;
  while (!existsSync(nearest)) nearest = dirname(nearest);
  const isFolder = statSync(nearest).isDirectory();
  if (nearest === path && isFolder) throw new InvalidArgumentError('It is a folder; name the file to write.');
  if (nearest !== path && !isFolder) throw new InvalidArgumentError(`${nearest} is no folder.`);
  const beside = nearest === path && statSync(path).isFile() ? [dirname(path)] : [];
  for (const needed of [nearest, ...beside])
    try {
      accessSync(needed, constants.W_OK);
    } catch {
      throw new InvalidArgumentError(`${needed} cannot be written.`);
    }
  return file;
}

/** A feature cache in a folder, a file per example. Entries carry a checksum, so they need not wait for the disk. */
export function directoryStore(folder: string): FeatureStore {
  const path = (key: string) => join(folder, key.slice(0, 2), key);
  return {
    async get(key) {
      try {
        return new Uint8Array(await readFile(path(key)));
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw new FileError(`${path(key)}: this entry of the cache cannot be read: ${(e as Error).message}`, {
          cause: e,
        });
      }
    },
    put: (key, bytes) => writeWhole(path(key), bytes, { lasting: false }),
  };
}
