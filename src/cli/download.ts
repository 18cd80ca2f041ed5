import { mkdir, readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { printableLine } from '../base/printable.ts';
import { indexFile } from '../checkpoint/not-a-checkpoint.ts';
import {
  defaultMinRate,
  defaultStallSeconds,
  type FetchOptions,
  fetchPart,
  isHubs,
  partOf,
  partsOf,
  place,
  sizeOf,
} from '../hub/download-file.ts';
import { FolderLock } from '../hub/download-lock.ts';
import { type DownloadRecord, readRecord, writeRecord } from '../hub/download-record.ts';
import { Hub, type HubFile, type HubOptions, type HubSnapshot, isHubId } from '../hub/hub.ts';
import { neededFiles, neededShards, showSnapshot } from '../hub/hub-files.ts';
import { withTries } from '../hub/tries.ts';
import { writeProblem } from '../platform/node-write.ts';
import { downloadFolder, snapshotFolder } from './checkpoint-folder.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import { number } from './model.ts';

interface Options {
  out?: string;
  revision: string;
  minRate: number;
  json?: boolean;
  debug?: boolean;
}

export interface DownloadOptions extends Pick<FetchOptions, 'backoffSeconds' | 'minRate'>, HubOptions {
  /** The folder to put it in. */
  out?: string;
  revision: string;
}

export const downloadCommand: Register = (program, run) => {
  program
    .command('download')
    .argument('<hub-id>', "a model's id, owner/name")
    .description(
      'A checkpoint from the Hugging Face hub: the files that Headlight reads, verified. Run again, it continues.',
    )
    .option('--out <dir>', 'folder to put it in (default: in the cache folder, where --model finds it by its id)')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .option(
      '--min-rate <bytes>',
      `a connection that brings fewer bytes a second over ${defaultStallSeconds} s is given up and taken up again; 5 of them end the download`,
      number(0),
      defaultMinRate,
    )
    .option('--json', 'machine-readable result on stdout')
    .option('--debug', 'stack traces')
    .addHelpText(
      'after',
      `
Environment:
  HF_ENDPOINT  another hub than https://huggingface.co, such as a mirror
  HF_TOKEN     for private and gated models; sent to the hub only, not to where it redirects
  HEADLIGHT_HOME  another cache folder than the system's (Linux: ~/.cache/headlight, or under XDG_CACHE_HOME)
  HF_HOME, HF_HUB_CACHE  where huggingface_hub keeps models; what is there is used, and not fetched again

Examples:
  headlight download llava-hf/llava-1.5-7b-hf
  headlight demo --model llava-hf/llava-1.5-7b-hf
  headlight download llava-hf/llava-1.5-7b-hf --revision refs/pr/3 --out ~/models/llava`,
    )
    .action((id: string, options: Options, command: Command) =>
      run<Options>(async (context) => {
        const { HF_ENDPOINT, HF_TOKEN } = process.env;
        const hub = { endpoint: HF_ENDPOINT || 'https://huggingface.co', token: HF_TOKEN?.trim() || undefined };
        noteProxy(context);
        try {
          await download(context, id, { ...options, ...hub });
        } catch (e) {
          if (context.signal.aborted) throw new Error('interrupted; the same command continues where it stopped');
          throw e;
        }
      })(options, command),
    );
};

/** Brings a model's checkpoint into a folder, or what is missing of it. */
export async function download(context: Context, id: string, options: DownloadOptions): Promise<void> {
  if (!isHubId(id)) throw new UsageError(`${id} is no model's id; give owner/name, such as llava-hf/llava-1.5-7b-hf`);
  const { out, revision, backoffSeconds } = options;
  const { signal } = context;
  const note = (text: string) => context.note(text);
  const hub = new Hub(options);
  const folder = out ?? (await downloadFolder(id));
  await recordOf(folder, id);
  const snapshot = await hub.snapshot(id, revision, signal, (request) =>
    withTries(request, { signal, note, backoffSeconds }),
  );
  if (out === undefined && !(await recordOf(folder, id)) && (await isCached(context, snapshot))) return;

  await neededFiles(snapshot); // what cannot be loaded leaves no folder
  let lock: FolderLock | undefined;
  try {
    await mkdir(folder, { recursive: true });
    lock = await FolderLock.take(folder, { signal, note });
    await fill(context, hub, snapshot, folder, lock, options);
  } catch (e) {
    // What failed is a call of the system's, which says little.
    if (!(e as NodeJS.ErrnoException).syscall) throw e;
    throw new Error(
      `${folder}: cannot be written: ${writeProblem(e)}, with --out or HEADLIGHT_HOME; what was fetched is kept, the same command continues`,
      { cause: e },
    );
  } finally {
    await lock?.release();
  }
}

/** Fetches what a folder lacks, as its only process. */
async function fill(
  context: Context,
  hub: Hub,
  snapshot: HubSnapshot,
  folder: string,
  lock: FolderLock,
  options: DownloadOptions,
): Promise<void> {
  const { repo, revision, commit } = snapshot;
  const before = await recordOf(folder, repo);
  const fetcher = new Fetcher(context, hub, snapshot, folder, lock, options);
  const { settings, weights } = await neededFiles(snapshot);
  const shards = weights.path === indexFile ? neededShards(snapshot, await fetcher.peek(weights)) : [];
  const files = [...settings, weights, ...shards];

  const missing = await missingFiles(context, folder, files, before, showSnapshot(snapshot));
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
      throw new Error(`${folder}: ${path} was changed while the download ran; run again to fetch it afresh`);
  await writeRecord(folder, { ...record, complete: true });
  report(context, snapshot, folder, files, missing, options.out === undefined ? repo : folder);
}

/** What an earlier download left in a folder. @throws Error where it is of another model. */
async function recordOf(folder: string, id: string): Promise<DownloadRecord | undefined> {
  const record = await readRecord(folder);
  if (record && record.repo !== id)
    throw new Error(`${folder} holds ${record.repo}; give another folder with --out, or delete this one`);
  return record;
}

/** Whether huggingface_hub has all of a snapshot on this machine, by its hashes; said, if so. */
async function isCached(context: Context, snapshot: HubSnapshot): Promise<boolean> {
  const folder = snapshotFolder(snapshot.repo, snapshot.commit);
  const { settings, weights } = await neededFiles(snapshot);
  const files = [...settings, weights];
  for (const { path, size } of files) if ((await sizeOf(join(folder, path))) !== size) return false;
  if (weights.path === indexFile) {
    if (!(await isHubs(join(folder, weights.path), weights, context.signal))) return false;
    for (const shard of neededShards(snapshot, await readFile(join(folder, weights.path)))) files.push(shard);
  }
  const progress = context.progress('verifying what is there', bytesOf(files));
  try {
    let done = 0;
    for (const file of files) {
      const update = (n: number) => progress.update(done + n);
      if (!(await isHubs(join(folder, file.path), file, context.signal, update))) return false;
      done += file.size;
    }
  } finally {
    progress.stop();
  }
  // `--model` takes the snapshot of main.
  report(context, snapshot, folder, files, [], snapshot.revision === 'main' ? snapshot.repo : folder);
  return true;
}

function report(
  context: Context,
  snapshot: HubSnapshot,
  folder: string,
  files: readonly HubFile[],
  missing: readonly HubFile[],
  model: string,
): void {
  const { repo, revision, commit } = snapshot;
  const total = bytesOf(files);
  const fetched = new Set(missing);
  context.print(
    `${showSnapshot(snapshot)}: ${files.length} files, ${size(total)}, verified; ${missing.length === 0 ? 'all of it was there' : `${missing.length} of them fetched now`}`,
  );
  context.print(`in ${printableLine(folder)}; use it with: --model ${model}`);
  context.result({
    repo,
    revision,
    commit,
    folder,
    bytes: total,
    files: files.map((file) => ({ ...file, fetched: fetched.has(file) })),
  });
}

/** Node's `fetch` does not look at the variables that name a proxy, or only when told to. */
function noteProxy(context: Context): void {
  const { env, execArgv, version } = process;
  const names = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'];
  const set = names.find((name) => env[name]);
  const isUsed =
    env.NODE_USE_ENV_PROXY === '1' || [...execArgv, env.NODE_OPTIONS].join(' ').includes('--use-env-proxy');
  const [major, minor] = version.slice(1).split('.').map(Number);
  const canUse = major >= 24 || (major === 22 && minor >= 21);
  if (!set || (isUsed && canUse)) return;
  context.note(
    canUse
      ? `${set} is set, but Node uses a proxy only with NODE_USE_ENV_PROXY=1 (and HTTPS_PROXY or HTTP_PROXY); without it the connection is direct`
      : `${set} is set, but Node ${version} uses no proxy (22.21 and 24 do, with NODE_USE_ENV_PROXY=1); the connection is direct`,
  );
}

/**
 * The files that are not in the folder as the hub has them.
 * @throws Error where others have the place of one that no download put there.
 */
async function missingFiles(
  context: Context,
  folder: string,
  files: readonly HubFile[],
  before: DownloadRecord | undefined,
  source: string,
): Promise<HubFile[]> {
  const there: HubFile[] = [];
  for (const file of files) if ((await sizeOf(join(folder, file.path))) !== undefined) there.push(file);
  const different: HubFile[] = [];
  if (there.length > 0) {
    const progress = context.progress('verifying what is there', bytesOf(there));
    try {
      let done = 0;
      for (const file of there) {
        const same = await isHubs(join(folder, file.path), file, context.signal, (n) => progress.update(done + n));
        if (!same) different.push(file);
        done += file.size;
      }
    } finally {
      progress.stop();
    }
  }
  const names = different.map((file) => file.path).join(', ');
  if (different.length > 0 && !before)
    throw new Error(
      `${folder}: ${names}: there already, but not as in ${source}, and not from a download; give another folder with --out, or move them away`,
    );
  if (different.length > 0) context.note(`not as in ${source}, fetched again: ${names}`);
  return files.filter((file) => !there.includes(file) || different.includes(file));
}

/** @throws Error where the disk has less room than the files need beyond what is there of them. */
async function checkSpace(folder: string, missing: readonly HubFile[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  let needed = bytesOf(missing);
  for (const file of missing) needed -= (await sizeOf(partOf(join(folder, file.path), file))) ?? 0;
  const { bavail, bsize } = await statfs(folder);
  if (needed > bavail * bsize)
    throw new Error(
      `${folder}: ${size(needed)} are still to be fetched, but the disk has ${size(bavail * bsize)} free; make room, or give another folder with --out`,
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
  readonly #context: Context;
  readonly #hub: Hub;
  readonly #snapshot: HubSnapshot;
  readonly #folder: string;
  readonly #lock: FolderLock;
  readonly #options: DownloadOptions;

  constructor(
    context: Context,
    hub: Hub,
    snapshot: HubSnapshot,
    folder: string,
    lock: FolderLock,
    options: DownloadOptions,
  ) {
    this.#context = context;
    this.#hub = hub;
    this.#snapshot = snapshot;
    this.#folder = folder;
    this.#lock = lock;
    this.#options = options;
  }

  /** The bytes of a small file that is needed to know what else is; as a part, it is not yet taken for the checkpoint's. */
  async peek(file: HubFile): Promise<Uint8Array> {
    const path = join(this.#folder, file.path);
    if (await isHubs(path, file, this.#context.signal)) return readFile(path);
    await this.#part(
      file,
      () => {},
      (text) => this.#context.note(text),
    );
    return readFile(partOf(path, file));
  }

  async fetch(files: readonly HubFile[]): Promise<void> {
    const total = bytesOf(files);
    const start = () => this.#context.progress(`downloading ${size(total)}`, total);
    let progress = start();
    try {
      let done = 0;
      for (const file of files) {
        const update: FetchOptions['onProgress'] = (n, stage) =>
          stage === 'checking'
            ? progress.update(done + file.size, `checking ${file.path}, ${size(n)} of ${size(file.size)}`)
            : progress.update(done + n, `${size(done + n)} of ${size(total)}, ${file.path}`);
        await this.#part(file, update, (text) => {
          progress.stop(); // a bar and a line would write over each other
          this.#context.note(text);
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
      signal: this.#context.signal,
      backoffSeconds: this.#options.backoffSeconds,
      minRate: this.#options.minRate,
      mayWrite: () => this.#lock.check(),
      onProgress,
      note,
    });
  }
}

const bytesOf = (files: readonly HubFile[]) => files.reduce((sum, file) => sum + file.size, 0);

const size = (bytes: number) =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
