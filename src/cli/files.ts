import { randomUUID } from 'node:crypto';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { mkdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { InvalidArgumentError } from 'commander';
import { readFileBytes } from '#platform';
import type { FeatureStore } from '../sav/feature-cache.ts';
import { UsageError } from './context.ts';

/** What a JSON file of the command line says. @throws UsageError naming it where it is none. */
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
  try {
    accessSync(nearest, constants.W_OK);
  } catch {
    throw new InvalidArgumentError(`${nearest} cannot be written.`);
  }
  return file;
}

/**
 * Writes a file whole or not at all: beside, then renamed. A link's target is; devices and pipes (`/dev/stdout`) are written
 * into: a rename would put a file in their place.
 */
export async function writeWhole(file: string, data: string | Uint8Array): Promise<void> {
  const target = await realpath(file).catch(() => file);
  const there = await stat(target).catch(() => undefined);
  if (there?.isDirectory()) throw new Error(`${file}: it is a folder; name the file to write`);
  if (there && !there.isFile()) return writeFile(target, data);
  const beside = join(dirname(target), `.${basename(target)}.${randomUUID()}.part`);
  try {
    await mkdir(dirname(target), { recursive: true });
    await writeFile(beside, data);
    await rename(beside, target);
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
