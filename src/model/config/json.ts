import { printableLine } from '../../base/printable.ts';
import * as s from '../../base/schema.ts';
import type { Folder } from '../../platform/types.ts';
import { ConfigError } from '../errors.ts';

const maxJsonBytes = 100_000_000;
/** Problems that an error names. */
const maxProblems = 20;

/**
 * Reads a text file of a checkpoint, or undefined where there is none.
 * @throws ConfigError for a file too large to be what its name says, or not UTF-8.
 */
export async function readText(folder: Folder, name: string): Promise<string | undefined> {
  if (!(await folder.has(name))) return undefined;
  const size = await folder.size(name);
  if (size > maxJsonBytes)
    throw new ConfigError(`${name}: ${size} bytes are too many for such a file (${folder.location})`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await folder.read(name));
  } catch (e) {
    if (e instanceof TypeError) throw new ConfigError(`${name}: not UTF-8 text (${folder.location})`);
    throw e;
  }
}

/** Reads a JSON file of a checkpoint, or undefined where there is none. */
export async function readJson(folder: Folder, name: string): Promise<unknown> {
  const text = await readText(folder, name);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (e) {
    if (text.startsWith('version https://git-lfs'))
      throw new ConfigError(
        `${name}: a Git LFS pointer, not the file itself (${folder.location}); fetch it with: git lfs pull, or headlight download`,
      );
    throw new ConfigError(`${name}: not valid JSON (${(e as Error).message}; ${folder.location})`);
  }
}

/** Reads a JSON file that every checkpoint has. @throws ConfigError also where there is none. */
export async function requireJson(folder: Folder, name: string): Promise<unknown> {
  const json = await readJson(folder, name);
  if (json === undefined)
    throw new ConfigError(`${folder.location}: ${name} is missing; is this a checkpoint's folder?`);
  return json;
}

/**
 * Checks parsed JSON against a schema.
 * @param where the part of the file that `json` is.
 * @throws ConfigError naming the file and the settings that are wrong.
 */
export function parse<T extends s.GenericSchema>(
  schema: T,
  json: unknown,
  file: string,
  where?: string,
): s.InferOutput<T> {
  const { value, problems } = s.check(schema, json);
  if (!problems) return value;
  const named = problems
    .slice(0, maxProblems)
    .map(({ path, message }) => s.describe({ path: [...(where ? [where] : []), ...path], message }, 'the file'));
  const more = problems.length > maxProblems ? `; and ${problems.length - maxProblems} more` : '';
  throw new ConfigError(printableLine(`${file}: ${named.join('; ')}${more}`));
}
