import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { FileError } from './errors.ts';

/**
 * Where files go that can be fetched or unpacked again: `HEADLIGHT_HOME`, or else this user's cache folder as the system has it.
 * @throws FileError where there is none.
 */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env, platform = process.platform): string {
  const { HEADLIGHT_HOME, XDG_CACHE_HOME, LOCALAPPDATA } = env;
  if (HEADLIGHT_HOME) return HEADLIGHT_HOME;
  if (platform === 'win32') return join(LOCALAPPDATA || join(home(env), 'AppData', 'Local'), 'headlight', 'Cache');
  if (platform === 'darwin') return join(home(env), 'Library', 'Caches', 'headlight');
  // A relative one is to be ignored, says its specification.
  return join(XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(home(env), '.cache'), 'headlight');
}

/** This user's own folder. @throws FileError where there is none. */
export function home(env: NodeJS.ProcessEnv = process.env): string {
  try {
    const folder = env.HOME || homedir();
    if (folder) return folder;
  } catch {
    // A user without an entry in the system's list.
  }
  throw new FileError('this user has no home folder; set HEADLIGHT_HOME to a folder for what is downloaded');
}
