// A checkpoint from the hub into a folder of this machine: what is needed of it, resumable, verified.
import { mkdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { indexFile } from '../checkpoint/not-a-checkpoint.ts';
import { writeProblem } from '../platform/node-write.ts';
import { downloadFolder, snapshotFolder } from './checkpoint-folder.ts';
import { type FetchOptions, fetchPart, isHubs, partOf, partsOf, place, sizeOf } from './download-file.ts';
import { FolderLock } from './download-lock.ts';
import { type DownloadRecord, readRecord, writeRecord } from './download-record.ts';
import { DownloadError, HubError } from './errors.ts';
import { Hub, type HubFile, type HubOptions, type HubSnapshot, isHubId } from './hub.ts';
import { neededFiles, neededShards, showSnapshot } from './hub-files.ts';
import { withTries } from './tries.ts';

export interface DownloadOptions extends Pick<FetchOptions, 'backoffSeconds' | 'minRate'>, HubOptions {
  /** The folder to put it in. */
  out?: string;
  revision: string;
}

/** Who waits for a download. */
export interface DownloadWatcher {
  /** Ends it; the same download continues later. */
  readonly signal: AbortSignal;
  /** Told what is worth knowing: tries, waiting for another process. */
  note(text: string): void;
  /** Of work that takes time, in bytes. */
  progress(label: string, total: number): { update(done: number, detail?: string): void; stop(): void };
}

/** What is there when a download is done. */
export interface Downloaded {
  readonly snapshot: HubSnapshot;
  readonly folder: string;
  readonly files: readonly HubFile[];
  /** Those of them that were not there before. */
  readonly fetched: readonly HubFile[];
  /** What loads it: the model's id, or the folder. */
  readonly model: string;
}

/**
 * Brings a model's checkpoint into a folder, or what is missing of it. Interrupted, it continues where it stopped.
 * @throws HubError for what is no id, is not there, or is not what Headlight reads; Error naming the folder that cannot be filled.
 */
export async function download(watcher: DownloadWatcher, id: string, options: DownloadOptions): Promise<Downloaded> {
  if (!isHubId(id)) throw new HubError(`${id} is no model's id; give owner/name, such as llava-hf/llava-1.5-7b-hf`);
  const { out, revision, backoffSeconds } = options;
  const { signal } = watcher;
  const note = (text: string) => watcher.note(text);
  const hub = new Hub(options);
  const folder = out ?? (await downloadFolder(id));
  await recordOf(folder, id);
  const snapshot = await hub.snapshot(id, revision, signal, (request) =>
    withTries(request, { signal, note, backoffSeconds }),
  );
  if (out === undefined && !(await recordOf(folder, id))) {
    const cached = await inCache(watcher, snapshot);
    if (cached) return cached;
  }

  await neededFiles(snapshot); // what cannot be loaded leaves no folder
  let lock: FolderLock | undefined;
  try {
    await mkdir(folder, { recursive: true });
    lock = await FolderLock.take(folder, { signal, note });
    return await fill(watcher, hub, snapshot, folder, lock, options);
  } catch (e) {
    // What failed is a call of the system's, which says little.
    if (!(e as NodeJS.ErrnoException).syscall) throw e;
    throw new DownloadError(
      `${folder}: cannot be written: ${writeProblem(e)}, with --out or HEADLIGHT_HOME; what was fetched is kept, the same command continues`,
      { cause: e },
    );
  } finally {
    await lock?.release();
  }
}

/** Fetches what a folder lacks, as its only process. */
async function fill(
  watcher: DownloadWatcher,
  hub: Hub,
  snapshot: HubSnapshot,
  folder: string,
  lock: FolderLock,
  options: DownloadOptions,
): Promise<Downloaded> {
  const { repo, revision, commit } = snapshot;
  const before = await recordOf(folder, repo);
  const fetcher = new Fetcher(watcher, hub, snapshot, folder, lock, options);
  const { settings, weights } = await neededFiles(snapshot);
  const shards = weights.path === indexFile ? neededShards(snapshot, await fetcher.peek(weights)) : [];
  const files = [...settings, weights, ...shards];

  const missing = await missingFiles(watcher, folder, files, before, showSnapshot(snapshot));
  const record = { repo, revision, commit, files };
  await lock.check();
  if (missing.length > 0) {
    await checkSpace(folder, missing);
    await clear(folder, files, missing, before);
    await writeRecord(folder, { ...record, complete: false });
    await fetcher.fetch(missing);
  } else await clear(folder, files, missing, before);
  await lock.check();
  for (const { path, size } of files)
    if ((await sizeOf(join(folder, path))) !== size)
      throw new DownloadError(`${folder}: ${path} was changed while the download ran; run again to fetch it afresh`);
  await writeRecord(folder, { ...record, complete: true });
  return { snapshot, folder, files, fetched: missing, model: options.out === undefined ? repo : folder };
}

/** What an earlier download left in a folder. @throws DownloadError where it is of another model. */
async function recordOf(folder: string, id: string): Promise<DownloadRecord | undefined> {
  const record = await readRecord(folder);
  if (record && record.repo !== id)
    throw new DownloadError(`${folder} holds ${record.repo}; give another folder with --out, or delete this one`);
  return record;
}

/** What huggingface_hub has on this machine, if that is all of a snapshot, by its hashes. */
async function inCache(watcher: DownloadWatcher, snapshot: HubSnapshot): Promise<Downloaded | undefined> {
  const folder = snapshotFolder(snapshot.repo, snapshot.commit);
  const { settings, weights } = await neededFiles(snapshot);
  const files = [...settings, weights];
  for (const { path, size } of files) if ((await sizeOf(join(folder, path))) !== size) return undefined;
  if (weights.path === indexFile) {
    if (!(await isHubs(join(folder, weights.path), weights, watcher.signal))) return undefined;
    for (const shard of neededShards(snapshot, await readFile(join(folder, weights.path)))) files.push(shard);
  }
  const progress = watcher.progress('verifying what is there', bytesOf(files));
  try {
    let done = 0;
    for (const file of files) {
      const update = (n: number) => progress.update(done + n);
      if (!(await isHubs(join(folder, file.path), file, watcher.signal, update))) return undefined;
      done += file.size;
    }
  } finally {
    progress.stop();
  }
  // `--model` takes the snapshot of main.
  const model = snapshot.revision === 'main' ? snapshot.repo : folder;
  return { snapshot, folder, files, fetched: [], model };
}

/**
 * The files that are not in the folder as the hub has them.
 * @throws DownloadError where others have the place of one that no download put there.
 */
async function missingFiles(
  watcher: DownloadWatcher,
  folder: string,
  files: readonly HubFile[],
  before: DownloadRecord | undefined,
  source: string,
): Promise<HubFile[]> {
  const there: HubFile[] = [];
  for (const file of files) if ((await sizeOf(join(folder, file.path))) !== undefined) there.push(file);
  const different: HubFile[] = [];
  if (there.length > 0) {
    const progress = watcher.progress('verifying what is there', bytesOf(there));
    try {
      let done = 0;
      for (const file of there) {
        const same = await isHubs(join(folder, file.path), file, watcher.signal, (n) => progress.update(done + n));
        if (!same) different.push(file);
        done += file.size;
      }
    } finally {
      progress.stop();
    }
  }
  const names = different.map((file) => file.path).join(', ');
  if (different.length > 0 && !before)
    throw new DownloadError(
      `${folder}: ${names}: there already, but not as in ${source}, and not from a download; give another folder with --out, or move them away`,
    );
  if (different.length > 0) watcher.note(`not as in ${source}, fetched again: ${names}`);
  return files.filter((file) => !there.includes(file) || different.includes(file));
}

/** @throws DownloadError where the disk has less room than the files need beyond what is there of them. */
async function checkSpace(folder: string, missing: readonly HubFile[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  let needed = bytesOf(missing);
  for (const file of missing) needed -= (await sizeOf(partOf(join(folder, file.path), file))) ?? 0;
  const { bavail, bsize } = await statfs(folder);
  if (needed > bavail * bsize)
    throw new DownloadError(
      `${folder}: ${showSize(needed)} are still to be fetched, but the disk has ${showSize(bavail * bsize)} free; make room, or give another folder with --out`,
    );
}

/**
 * Deletes what an earlier download left that is not of this one. It happens before the first new file comes, so that an
 * interrupted change of versions leaves files missing, which is noticed, not files of two versions, which is not.
 */
async function clear(
  folder: string,
  files: readonly HubFile[],
  missing: readonly HubFile[],
  before: DownloadRecord | undefined,
): Promise<void> {
  const at = (file: HubFile) => join(folder, file.path);
  const keep = new Set(files.filter((file) => !missing.includes(file)).map(at));
  for (const file of missing) keep.add(partOf(at(file), file));
  for (const file of [...(before?.files ?? []), ...missing])
    for (const path of [at(file), ...partsOf(at(file), file)]) if (!keep.has(path)) await rm(path, { force: true });
}

/** Brings files of a snapshot into a folder. */
class Fetcher {
  readonly #watcher: DownloadWatcher;
  readonly #hub: Hub;
  readonly #snapshot: HubSnapshot;
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #options: DownloadOptions;

  constructor(
    watcher: DownloadWatcher,
    hub: Hub,
    snapshot: HubSnapshot,
    folder: string,
    lock: FolderLock,
    options: DownloadOptions,
  ) {
    this.#watcher = watcher;
    this.#hub = hub;
    this.#snapshot = snapshot;
    this.#folder = folder;
    this.#lock = lock;
    this.#options = options;
  }

  /** The bytes of a small file that is needed to know what else is; as a part, it is not yet taken for the checkpoint's. */
  async peek(file: HubFile): Promise<Uint8Array> {
    const path = join(this.#folder, file.path);
    if (await isHubs(path, file, this.#watcher.signal)) return readFile(path);
    await this.#part(
      file,
      () => {},
      (text) => this.#watcher.note(text),
    );
    return readFile(partOf(path, file));
  }

  async fetch(files: readonly HubFile[]): Promise<void> {
    const total = bytesOf(files);
    const start = () => this.#watcher.progress(`downloading ${showSize(total)}`, total);
    let progress = start();
    try {
      let done = 0;
      for (const file of files) {
        const update: FetchOptions['onProgress'] = (n, stage) =>
          stage === 'checking'
            ? progress.update(done + file.size, `checking ${file.path}, ${showSize(n)} of ${showSize(file.size)}`)
            : progress.update(done + n, `${showSize(done + n)} of ${showSize(total)}, ${file.path}`);
        await this.#part(file, update, (text) => {
          progress.stop(); // a bar and a line would write over each other
          this.#watcher.note(text);
          progress = start();
        });
        const path = join(this.#folder, file.path);
        await this.#lock.check();
        await place(partOf(path, file), path);
        done += file.size;
      }
    } finally {
      progress.stop();
    }
  }

  #part(file: HubFile, onProgress: FetchOptions['onProgress'], note: (text: string) => void): Promise<void> {
    return fetchPart(partOf(join(this.#folder, file.path), file), file, {
      source: (offset, signal) => this.#hub.open(this.#snapshot, file.path, offset, signal),
      signal: this.#watcher.signal,
      backoffSeconds: this.#options.backoffSeconds,
      minRate: this.#options.minRate,
      mayWrite: () => this.#lock.check(),
      onProgress,
      note,
    });
  }
}

export const bytesOf = (files: readonly HubFile[]) => files.reduce((sum, file) => sum + file.size, 0);

/** Bytes for people. */
export const showSize = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
