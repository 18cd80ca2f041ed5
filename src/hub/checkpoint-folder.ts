// Where models are: the one place that decides.

import { readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { openSource } from '#platform';
import { parseIndex, shardNames } from '../checkpoint/checkpoint-files.ts';
import { CheckpointError } from '../checkpoint/errors.ts';
import { checkIsCheckpoint, indexFile, singleFile } from '../checkpoint/not-a-checkpoint.ts';
import { cacheFolder, home } from '../platform/node-cache-folder.ts';
import type { Folder } from '../platform/types.ts';
import { readRecord } from './download-record.ts';
import { isHubId } from './hub.ts';

/** Where downloads once went, under the current folder. What is there is used, and completed there. */
const oldFolder = (id: string): string => join('weights', ...id.split('/'));

/** Where `headlight download` puts a model of the hub, and `--model` looks for it. */
export async function downloadFolder(id: string): Promise<string> {
  const record = await readRecord(oldFolder(id));
  return record?.repo === id ? oldFolder(id) : join(cacheFolder(), 'models', ...id.split('/'));
}

/** Where other programs keep a model of the hub, by commit. */
const snapshotsFolder = (id: string): string => join(hubCache(), `models--${id.replace('/', '--')}`, 'snapshots');

/** The snapshot of a commit that huggingface_hub has on this machine, as far as it goes: it may lack files. */
export const snapshotFolder = (id: string, commit: string): string => join(snapshotsFolder(id), commit);

function hubCache(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const cache = () => (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(home(), '.cache'));
  return HF_HUB_CACHE || HUGGINGFACE_HUB_CACHE || join(HF_HOME || join(cache(), 'huggingface'), 'hub');
}

/**
 * What `--model` names: a folder, `tiny-llava` for the one that comes with the package, or a model of the hub that was downloaded, by Headlight or into the cache of huggingface_hub.
 * @throws CheckpointError for what is neither, or not yet all there, with where it was looked for and the command that gets it.
 */
export async function openCheckpointFolder(model = 'tiny-llava'): Promise<Folder> {
  const path = (await isFolder(model)) || !isHubId(model) ? model : await folderOfId(model);
  const folder = await openSource(path);
  const record = await readRecord(path);
  if (record && !record.complete)
    throw new CheckpointError(
      `${path}: the download is not complete; continue it with: ${await downloadCommandOf(path, record)}`,
    );
  await checkIsCheckpoint(folder);
  return folder;
}

/** The first place that has all of a model; else one that has some of it. */
async function folderOfId(id: string): Promise<string> {
  const own = [...new Set([oldFolder(id), await downloadFolder(id)])];
  let partial: string | undefined;
  for (const path of own) {
    if (!(await isFolder(path))) continue;
    const record = await readRecord(path);
    // The folder of a download that has not begun is none, and one that no download wrote is taken as it is.
    if (record ? record.complete : await isFile(join(path, 'config.json'))) return path;
    if (record) partial ??= path;
  }
  const cached = await currentSnapshot(id);
  if (cached !== undefined && (await isWhole(cached))) return cached;
  if (partial) return partial;
  const places = [...own, cached === undefined ? snapshotsFolder(id) : `${cached} (which lacks files)`];
  throw new CheckpointError(
    `${id}: no such folder, and no such model in ${places.join(', ')}; if it is a model of the hub, get it with: headlight download ${id}`,
  );
}

/** The snapshot that `main` stands for, or the only one. */
async function currentSnapshot(id: string): Promise<string | undefined> {
  const snapshots = snapshotsFolder(id);
  const main = await readFile(join(snapshots, '..', 'refs', 'main'), 'utf8').catch(() => '');
  const all: string[] = await readdir(snapshots).catch(() => []);
  const commit = all.includes(main.trim()) ? main.trim() : all.length === 1 ? all[0] : undefined;
  return commit && join(snapshots, commit);
}

/** Whether a folder has what a checkpoint is loaded from. In the cache of huggingface_hub there may be a few files only. */
async function isWhole(path: string): Promise<boolean> {
  const has = (name: string) => isFile(join(path, name));
  if (!(await has('config.json'))) return false;
  if (await has(singleFile)) return true;
  try {
    const index = await readFile(join(path, indexFile));
    for (const shard of shardNames(parseIndex(index, path), path)) if (!(await has(shard))) return false;
    return true;
  } catch {
    return false;
  }
}

const isFolder = (path: string) =>
  stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );

const isFile = (path: string) =>
  stat(path).then(
    (s) => s.isFile(),
    () => false,
  );

async function downloadCommandOf(
  path: string,
  { repo, revision }: { repo: string; revision: string },
): Promise<string> {
  const options = [
    ...(revision === 'main' ? [] : ['--revision', JSON.stringify(revision)]),
    ...(path === (await downloadFolder(repo)) ? [] : ['--out', JSON.stringify(path)]),
  ];
  return ['headlight download', repo, ...options].join(' ');
}
