import type { Folder } from '../../platform/types.ts';
import { requireJson } from '../config/json.ts';
import type { Architecture } from './family.ts';
import { parseConfig } from './index.ts';

/** A checkpoint's config.json: as it stands there, and what it describes. Read once a load, and handed on. */
export interface ReadConfig {
  readonly json: unknown;
  readonly config: Architecture;
}

/** @throws FileError where it is not there; ConfigError as `parseConfig`. */
export async function readConfig(folder: Folder): Promise<ReadConfig> {
  const json = await requireJson(folder, 'config.json');
  return { json, config: parseConfig(json, `${folder.location}/config.json`) };
}
