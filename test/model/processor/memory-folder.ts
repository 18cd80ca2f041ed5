import { readdirSync, readFileSync } from 'node:fs';
import type { Folder } from '../../../src/platform/types.ts';
import { fixturePath } from '../../fixtures.ts';

/** A folder of texts, for tests. */
export function memoryFolder(files: Readonly<Record<string, string>>): Folder {
  const bytes = (name: string) => new TextEncoder().encode(files[name]);
  return {
    location: 'memory',
    has: async (name) => Object.hasOwn(files, name),
    size: async (name) => bytes(name).length,
    read: async (name, start, end) => bytes(name).slice(start, end),
  };
}

/** The JSON and text files of a fixture checkpoint, to be changed by a test. */
export const checkpointFiles = (name: string) => textFiles(`checkpoints/${name}`);

/** The same of any folder of fixtures. */
export function textFiles(name: string): Record<string, string> {
  const folder = fixturePath(name);
  const files = readdirSync(folder).filter((file) => /\.(json|jinja)$/.test(file) && file !== 'expected.json');
  return Object.fromEntries(files.map((file) => [file, readFileSync(`${folder}/${file}`, 'utf8')]));
}
