import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FileError } from './errors.ts';
import { cacheFolder } from './node-cache-folder.ts';
import { writeWhole } from './node-write.ts';
import type { KeptTexts } from './types.ts';

/** What is larger was not written here. */
const maxBytes = 2 ** 20;

/** Files in a folder of this user's cache folder. */
export function keptTexts(name: string): KeptTexts {
  const location = (key: string) => join(cacheFolder(), name, `${key}.json`);
  return {
    location,
    async get(key) {
      const file = location(key);
      try {
        const { size } = await stat(file);
        if (size > maxBytes) throw new Error(`${size} bytes are too many: at most ${maxBytes}`);
        return await readFile(file, 'utf8');
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw new FileError(`${file}: ${(e as Error).message}`, { cause: e });
      }
    },
    put: (key, text) => writeWhole(location(key), text),
  };
}
