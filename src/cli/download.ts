import { mkdir, readFile, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Hub, type HubFile, type HubOptions, type HubSnapshot, isHubId } from '../checkpoint/hub.ts';
import { neededFiles, neededShards, showSnapshot } from '../checkpoint/hub-files.ts';
import { indexFile } from '../checkpoint/not-a-checkpoint.ts';
import { downloadFolder } from './checkpoint-folder.ts';
import type { Register } from './command.ts';
import { type Context, UsageError } from './context.ts';
import { type FetchOptions, fetchPart, isHubs, partOf, sizeOf } from './download-file.ts';
import { type DownloadRecord, readRecord, writeRecord } from './download-record.ts';

interface Options {
  out?: string;
  revision: string;
  json?: boolean;
  debug?: boolean;
}

export interface DownloadOptions extends Pick<FetchOptions, 'backoffSeconds'>, HubOptions {
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
    .option('--out <dir>', 'folder to put it in (default: weights/<owner>/<name>, where --model finds it by its id)')
    .option('--revision <name>', 'branch, tag or commit', 'main')
    .option('--json', 'machine-readable result on stdout')
    .option('--debug', 'stack traces')
    .addHelpText(
      'after',
      `
Environment:
  HF_ENDPOINT  another hub than https://huggingface.co, such as a mirror
  HF_TOKEN     for private and gated models; sent to the hub only, not to where it redirects

Examples:
  headlight download llava-hf/llava-1.5-7b-hf
  headlight demo --model llava-hf/llava-1.5-7b-hf
  headlight download llava-hf/llava-1.5-7b-hf --revision refs/pr/3 --out ~/models/llava`,
    )
    .action((id: string, options: Options) =>
      run<Options>(async (context) => {
        const { HF_ENDPOINT, HF_TOKEN } = process.env;
        const hub = { endpoint: HF_ENDPOINT || 'https://huggingface.co', token: HF_TOKEN?.trim() || undefined };
        try {
          await download(context, id, { ...options, ...hub });
        } catch (e) {
          if (context.signal.aborted) throw new Error('interrupted; the same command continues where it stopped');
          throw e;
        }
      })(options),
    );
};

/** Brings a model's checkpoint into a folder, or what is missing of it. */
export async function download(context: Context, id: string, options: DownloadOptions): Promise<void> {
  if (!isHubId(id)) throw new UsageError(`${id} is no model's id; give owner/name, such as llava-hf/llava-1.5-7b-hf`);
  const { out, revision } = options;
  const hub = new Hub(options);
  const folder = out ?? downloadFolder(id);
  const before = await readRecord(folder);
  if (before && before.repo !== id)
    throw new Error(`${folder} holds ${before.repo}; give another folder with --out, or delete this one`);

  const snapshot = await hub.snapshot(id, revision, context.signal);
  const fetcher = new Fetcher(context, hub, snapshot, folder, options);
  const { settings, weights } = await neededFiles(snapshot);
  const shards = weights.path === indexFile ? neededShards(snapshot, await fetcher.peek(weights)) : [];
  const files = [...settings, weights, ...shards];

  const missing = await missingFiles(context, folder, files, before, showSnapshot(snapshot));
  const record = { repo: id, revision, commit: snapshot.commit, files };
  if (missing.length > 0) {
    await checkSpace(folder, missing);
    await clear(folder, files, missing, before);
    await writeRecord(folder, { ...record, complete: false });
    await fetcher.fetch(missing);
  } else await clear(folder, files, missing, before);
  await writeRecord(folder, { ...record, complete: true });

  const total = bytesOf(files);
  const fetched = new Set(missing);
  context.print(
    `${showSnapshot(snapshot)}: ${files.length} files, ${size(total)}, verified; ${missing.length === 0 ? 'all of it was there' : `${missing.length} of them fetched now`}`,
  );
  context.print(`in ${folder}; use it with: --model ${out === undefined ? id : folder}`);
  context.result({
    ...record,
    folder,
    bytes: total,
    files: files.map((file) => ({ ...file, fetched: fetched.has(file) })),
  });
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
    for (const path of [at(file), partOf(at(file), file)]) if (!keep.has(path)) await rm(path, { force: true });
}

/** Brings files of a snapshot into a folder. */
class Fetcher {
  readonly #context: Context;
  readonly #hub: Hub;
  readonly #snapshot: HubSnapshot;
  readonly #folder: string;
  readonly #options: DownloadOptions;

  constructor(context: Context, hub: Hub, snapshot: HubSnapshot, folder: string, options: DownloadOptions) {
    this.#context = context;
    this.#hub = hub;
    this.#snapshot = snapshot;
    this.#folder = folder;
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
        const update = (n: number) => progress.update(done + n, `${size(done + n)} of ${size(total)}, ${file.path}`);
        await this.#part(file, update, (text) => {
          progress.stop(); // a bar and a line would write over each other
          this.#context.note(text);
          progress = start();
        });
        const path = join(this.#folder, file.path);
        await rename(partOf(path, file), path);
        done += file.size;
      }
    } finally {
      progress.stop();
    }
  }

  #part(file: HubFile, onProgress: (bytes: number) => void, note: (text: string) => void): Promise<void> {
    return fetchPart(partOf(join(this.#folder, file.path), file), file, {
      source: (offset, signal) => this.#hub.open(this.#snapshot, file.path, offset, signal),
      signal: this.#context.signal,
      backoffSeconds: this.#options.backoffSeconds,
      onProgress,
      note,
    });
  }
}

const bytesOf = (files: readonly HubFile[]) => files.reduce((sum, file) => sum + file.size, 0);

const size = (bytes: number) =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
