import type { Folder } from '../platform/types.ts';
import { ConfigError } from './errors.ts';

const maxJsonBytes = 16 << 20;

/** A JSON file of a checkpoint folder. @throws ConfigError when it is missing, too large or no JSON. */
export async function readJson(folder: Folder, name: string): Promise<unknown> {
  const where = `${folder.location}/${name}`;
  if (!(await folder.has(name))) throw new ConfigError(`${where} is missing: is this a checkpoint folder?`);
  const size = await folder.size(name);
  if (size > maxJsonBytes)
    throw new ConfigError(`${where} has ${size} bytes; no such file needs more than ${maxJsonBytes}`);
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(await folder.read(name)));
  } catch (e) {
    throw new ConfigError(`${where} is not JSON: ${(e as Error).message}`);
  }
}
