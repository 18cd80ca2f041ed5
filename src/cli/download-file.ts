import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HubFile, networkReason } from '../checkpoint/hub.ts';
import { HubError } from '../checkpoint/hub-error.ts';

export interface FetchOptions {
  /** A response with the bytes from `offset` on (206), or with all of them (200). */
  source: (offset: number, signal: AbortSignal) => Promise<Response>;
  signal: AbortSignal;
  /** Bytes of the file that are there; falls back to 0 where it has to start again. */
  onProgress: (bytes: number) => void;
  /** Told about every interruption. */
  note: (text: string) => void;
  /** Before the `n`th try in a row that brought nothing new, n from 1. */
  backoffSeconds?: (n: number) => number;
  /** A connection that brings nothing for so long is given up. */
  stallSeconds?: number;
}

/** Tries in a row that bring nothing new. */
const maxTries = 5;

/** Where a file gathers until it is whole. Its name holds the content's hash, so parts of two versions cannot mix. */
export const partOf = (path: string, { hash }: HubFile): string => `${path}.${hash.slice(0, 16)}.part`;

/**
 * Whether a file on disk is the hub's, by size and hash.
 * @returns undefined where there is no such file.
 */
export async function isHubs(
  path: string,
  file: HubFile,
  signal: AbortSignal,
  onProgress: (bytes: number) => void = () => {},
): Promise<boolean | undefined> {
  const size = await sizeOf(path);
  if (size !== file.size) return size === undefined ? undefined : false;
  const hash = newHash(file);
  await hashFile(path, hash, signal, onProgress);
  return hash.digest('hex') === file.hash;
}

/** Bytes of a file, or undefined where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw e;
  }
}

/**
 * Fetches a file to `path`, continuing what is there already, until it has the size and hash that the hub lists.
 *
 * A broken connection is taken up again where it broke. Wrong bytes are deleted, since nobody can say which of them are
 * wrong. An abort, like any other failure, leaves the part for the next run.
 *
 * @throws HubError when the tries are used up or the bytes are wrong; the signal's reason when aborted.
 */
export async function fetchPart(path: string, file: HubFile, options: FetchOptions): Promise<void> {
  const { signal, note, backoffSeconds = (n) => 2 ** (n - 1) } = options;
  const part = await Part.open(path, file, options);
  try {
    let best = part.size;
    for (let tries = 0; part.size < file.size; ) {
      try {
        await receive(part, options);
      } catch (e) {
        signal.throwIfAborted();
        if (!(e instanceof HubError && e.transient)) throw e;
        // Progress is what never was there before: a server that cuts and cannot continue would else keep us for ever.
        tries = part.size > best ? 1 : tries + 1;
        best = Math.max(best, part.size);
        if (tries > maxTries)
          throw new HubError(`${e.message}; given up after ${maxTries} tries, run again to continue`, { cause: e });
        const seconds = backoffSeconds(tries);
        note(`${e.message}; on from byte ${part.size} of ${file.size} in ${seconds} s (try ${tries} of ${maxTries})`);
        await sleep(seconds * 1000, undefined, { signal });
      }
    }
    await part.verify();
  } finally {
    await part.close();
  }
}

/** One request: appends what comes until the file is whole. @throws HubError, transient if the connection broke. */
async function receive(part: Part, options: FetchOptions): Promise<void> {
  const { source, signal, note, stallSeconds = 60 } = options;
  const { file } = part;
  const cut = new AbortController();
  const timer = setTimeout(() => cut.abort(new Error(`nothing came for ${stallSeconds} s`)), stallSeconds * 1000);
  try {
    const response = await source(part.size, AbortSignal.any([signal, cut.signal]));
    if (response.status === 200 && part.size > 0) {
      note(`${file.path}: the server cannot continue a file; starting it again`);
      await part.restart();
    }
    checkExtent(response, file, part.size);
    const reader = response.body!.getReader();
    for (;;) {
      const { done, value } = await reader.read().catch((e) => {
        throw new HubError(`${file.path}: the connection broke (${networkReason(e)})`, { transient: true, cause: e });
      });
      if (done) break;
      timer.refresh();
      await part.append(value);
    }
    if (part.size < file.size) throw new HubError(`${file.path}: the connection ended early`, { transient: true });
  } finally {
    clearTimeout(timer);
    cut.abort(); // ends a response that is not read to its end
  }
}

/** What the response says it will send, against what the hub lists: better known now than after 14 GB. */
function checkExtent(response: Response, file: HubFile, offset: number): void {
  const fail = (has: string) => {
    throw new HubError(
      `${file.path}: the hub lists ${file.size} bytes, but ${has}; the repository or its mirror is broken`,
    );
  };
  if (response.status === 206) {
    const range = response.headers.get('content-range') ?? '';
    const [, start, , total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
    if (Number(start) !== offset) fail(`asked for bytes from ${offset} on, the server sends ${JSON.stringify(range)}`);
    if (total !== '*' && Number(total) !== file.size) fail(`the server has ${total}`);
  } else if (!response.headers.has('content-encoding')) {
    const length = response.headers.get('content-length');
    if (length !== null && Number(length) !== file.size) fail(`the server has ${length}`);
  }
}

/** A file that grows, and the hash of what it has. */
class Part {
  readonly file: HubFile;
  size = 0;
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #onProgress: (bytes: number) => void;
  #hash: Hash;

  private constructor(path: string, file: HubFile, handle: FileHandle, onProgress: (bytes: number) => void) {
    this.#path = path;
    this.file = file;
    this.#handle = handle;
    this.#onProgress = onProgress;
    this.#hash = newHash(file);
  }

  /** With what is there already, hashed. */
  static async open(path: string, file: HubFile, { signal, onProgress }: FetchOptions): Promise<Part> {
    await mkdir(dirname(path), { recursive: true });
    const part = new Part(path, file, await open(path, 'a'), onProgress);
    try {
      if ((await sizeOf(path))! > file.size) await part.restart();
      part.size = await hashFile(path, part.#hash, signal, onProgress);
      return part;
    } catch (e) {
      await part.close();
      throw e;
    }
  }

  async append(bytes: Uint8Array): Promise<void> {
    if (this.size + bytes.length > this.file.size) await this.#discard('it is longer than the hub lists');
    await this.#handle.appendFile(bytes);
    this.#hash.update(bytes);
    this.size += bytes.length;
    this.#onProgress(this.size);
  }

  async restart(): Promise<void> {
    await this.#handle.truncate(0);
    this.#hash = newHash(this.file);
    this.size = 0;
    this.#onProgress(0);
  }

  /** Compares hashes and brings the bytes to the disk. */
  async verify(): Promise<void> {
    const { algorithm, hash } = this.file;
    const digest = this.#hash.digest('hex');
    if (digest !== hash) await this.#discard(`its ${algorithm} is ${digest}, the hub lists ${hash}`);
    await this.#handle.sync();
  }

  close(): Promise<void> {
    return this.#handle.close();
  }

  async #discard(problem: string): Promise<never> {
    await rm(this.#path, { force: true });
    throw new HubError(
      `${this.file.path}: ${problem}; what was fetched of it is deleted, run again to fetch it afresh (and if that fails too, the repository or its mirror is broken)`,
    );
  }
}

const newHash = ({ algorithm, size }: HubFile): Hash =>
  algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);

/** Feeds a file to a hash. @returns its bytes. */
async function hashFile(
  path: string,
  hash: Hash,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<number> {
  let size = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>) {
    signal.throwIfAborted();
    hash.update(chunk);
    size += chunk.length;
    onProgress(size);
  }
  return size;
}
