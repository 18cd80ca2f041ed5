import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { openSource } from '#platform';
import { isHubId } from '../checkpoint/hub.ts';
import { checkIsCheckpoint } from '../checkpoint/not-a-checkpoint.ts';
import type { Folder } from '../platform/types.ts';
import { readRecord } from './download-record.ts';

/** Where `headlight download` puts a model of the hub, and `--model` looks for it: under the current folder. */
export const downloadFolder = (id: string): string => join('weights', ...id.split('/'));

/**
 * What `--model` names: a folder, `tiny-llava` for the one that comes with the package, or a model of the hub that was downloaded to its usual place.
 * @throws Error for what is neither, or not yet all there, with the command that gets it.
 */
export async function openCheckpointFolder(model = 'tiny-llava'): Promise<Folder> {
  const path = !(await isFolder(model)) && isHubId(model) ? downloadFolder(model) : model;
  if (path !== model && !(await isFolder(path)))
    throw new Error(`${model}: no such folder; if it is a model of the hub, get it with: headlight download ${model}`);
  const folder = await openSource(path);
  const record = await readRecord(path);
  if (record && !record.complete)
    throw new Error(`${path}: the download is not complete; continue it with: ${downloadCommandOf(path, record)}`);
  await checkIsCheckpoint(folder);
  return folder;
}

const isFolder = (path: string) =>
  stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );

function downloadCommandOf(path: string, { repo, revision }: { repo: string; revision: string }): string {
  const options = [
    ...(revision === 'main' ? [] : ['--revision', JSON.stringify(revision)]),
    ...(path === downloadFolder(repo) ? [] : ['--out', JSON.stringify(path)]),
  ];
  return ['headlight download', repo, ...options].join(' ');
}
