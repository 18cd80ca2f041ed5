import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdir, open, rename, rm, stat, truncate } from 'node:fs/promises';
import { dirname } from 'node:path';
import { nextChunk } from '../platform/next-chunk.ts';
import { syncFolder } from '../platform/node-write.ts';
import { defaultMinRate, type StallOptions, watchStall } from '../platform/stall.ts';
import { type Answer, judge } from './download-answer.ts';
import { HubError } from './errors.ts';
import { type HubFile, networkReason } from './hub.ts';
import { Tries, type TryOptions } from './tries.ts';

export interface FetchOptions extends TryOptions, StallOptions {
  /** A response with the bytes from `offset` on (206), or with all of them (200). */
  source: (offset: number, signal: AbortSignal) => Promise<Response>;
  /** Bytes of the file that are there, or have been checked; falls back where it has to start again. */
  onProgress: (bytes: number, stage: 'fetching' | 'checking') => void;
  /** Asked before anything is written. @throws DownloadError where it must not be. */
  mayWrite?: () => Promise<void>;
}

/** Where a file gathers until it is whole. Its name holds the content's hash, so parts of two versions cannot mix. */
export const partOf = (path: string, { hash }: HubFile): string => `${path}.${hash.slice(0, 16)}.part`;

/** Where an answer gathers that does not continue the part: it takes the part's place once it is the better one. */
const freshOf = (part: string): string => part.replace(/part$/, 'fresh');

/** All files that a download of a file may leave. */
export const partsOf = (path: string, file: HubFile): string[] => [partOf(path, file), freshOf(partOf(path, file))];

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
  return (await digestOf(path, file, signal, onProgress)) === file.hash;
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
 * Fetches a file to `path`, continuing what is there already, until its bytes on the disk have the size and hash that the hub
 * lists.
 *
 * A broken connection is taken up again where it broke. Where the whole has a wrong hash, what the last answer brought is
 * fetched once more, and if that does not help, all is deleted, since nobody can say which bytes are wrong. An abort, like
 * any other failure, leaves the part for the next run.
 *
 * @throws HubError when the tries are used up or the bytes are wrong; the signal's reason when aborted.
 */
export async function fetchPart(path: string, file: HubFile, options: FetchOptions): Promise<void> {
  const { signal, note, onProgress, mayWrite, minRate = defaultMinRate } = options;
  await mkdir(dirname(path), { recursive: true });
  await mayWrite?.();
  await rm(freshOf(path), { force: true });
  if (((await sizeOf(path)) ?? 0) > file.size) await rm(path);
  await (await open(path, 'a')).close();

  const tries = new Tries(options);
  let best = (await sizeOf(path))!;
  let answerStart = 0;
  let isSecondTime = false;
  onProgress(best, 'fetching');
  for (;;) {
    for (let size = best, since = Date.now(); size < file.size; ) {
      try {
        answerStart = size;
        await receive(path, file, size, options);
        size = (await sizeOf(path))!;
      } catch (e) {
        size = (await sizeOf(path))!;
        // Progress is what never was there before, and enough of it: drops would else keep us for ever.
        const seconds = (Date.now() - since) / 1000;
        if (size - best >= Math.max(1, minRate * seconds)) tries.succeeded();
        [best, since] = [Math.max(best, size), Date.now()];
        await tries.failed(e, `on from byte ${size} of ${file.size}`);
      }
    }
    const handle = await open(path, 'r+');
    await handle.sync().finally(() => handle.close());
    const digest = await digestOf(path, file, signal, (n) => onProgress(n, 'checking'));
    if (digest === file.hash && (await sizeOf(path)) === file.size) return;
    await mayWrite?.();
    const problem = `${file.path}: its ${file.algorithm} is ${digest}, the hub lists ${file.hash}`;
    if (answerStart === 0 || isSecondTime) {
      await rm(path, { force: true });
      throw new HubError(
        `${problem}; what was fetched of it is deleted, run again to fetch it afresh (and if that fails too, the repository or its mirror is broken)`,
      );
    }
    note(`${problem}; what came last is fetched again, from byte ${answerStart}`);
    await truncate(path, answerStart);
    [best, isSecondTime] = [answerStart, true];
  }
}

/** Gives a verified part its name, so that it lasts. */
export async function place(part: string, path: string): Promise<void> {
  await rename(part, path);
  await syncFolder(dirname(path));
}

/** One request. @throws HubError, transient if the connection broke or came to a crawl. */
async function receive(path: string, file: HubFile, offset: number, options: FetchOptions): Promise<void> {
  const { source, signal, note } = options;
  const watch = watchStall(options); // its reason comes back within a HubError
  const either = AbortSignal.any([signal, watch.signal]);
  const received = { ...options, either, count: watch.count };
  try {
    let response: Response;
    try {
      response = await source(offset, either);
    } catch (e) {
      if (!(e instanceof HubError && e.status === 416 && offset > 0)) throw e;
      response = await source(0, either); // it says that there is nothing from there on
    }
    const answer = judge(response, file, offset);
    if (answer !== 'continues' && offset > 0)
      note(`${file.path}: the server cannot continue a file; starting it again`);
    if (answer === 'continues' || (answer === 'whole' && offset === 0))
      await append(response, path, file, offset, received);
    else await replace(response, answer, path, file, offset, received);
  } finally {
    watch.stop();
  }
}

interface ReceiveOptions extends FetchOptions {
  /** Aborts where the user ends it, and where the connection is given up. */
  either: AbortSignal;
  /** Told how many bytes came. */
  count: (bytes: number) => void;
}

/** Receives an answer that starts at 0 beside the part, which it replaces once it has more, or where it must, all and right. */
async function replace(
  response: Response,
  answer: Answer,
  path: string,
  file: HubFile,
  offset: number,
  options: ReceiveOptions,
): Promise<void> {
  const fresh = freshOf(path);
  await rm(fresh, { force: true });
  try {
    await append(response, fresh, file, 0, options);
  } finally {
    const size = (await sizeOf(fresh)) ?? 0;
    const isBetter =
      answer === 'whole' ? size > offset : size === file.size && (await isHubs(fresh, file, options.signal));
    await options.mayWrite?.();
    if (isBetter) await rename(fresh, path);
    else await rm(fresh, { force: true });
    if (answer === 'unproven' && size === file.size && !isBetter)
      // biome-ignore lint/correctness/noUnsafeFinally: nothing else went wrong where all came
      throw new HubError(
        `${file.path}: what came is not what the hub lists (its ${file.algorithm} is another); what was there of it is kept, run again to continue (and if that fails too, the repository or its mirror is broken)`,
      );
  }
}

/**
 * Adds an answer's bytes to a file, until it has as many as the hub lists; its hash says later whether they are right. A chunk
 * that brings more takes all of the answer with it.
 */
async function append(
  response: Response,
  path: string,
  file: HubFile,
  offset: number,
  { either, count, mayWrite, onProgress }: ReceiveOptions,
): Promise<void> {
  const handle: FileHandle = await open(path, 'a');
  try {
    let size = offset;
    const reader = response.body?.getReader();
    while (reader && size < file.size) {
      const { value } = await nextChunk(reader, either).catch((e) => {
        throw new HubError(`${file.path}: the connection broke (${networkReason(e)})`, { transient: true, cause: e });
      });
      if (!value) break;
      count(value.length);
      await mayWrite?.();
      if (size + value.length > file.size) {
        await handle.truncate(offset);
        throw new HubError(
          `${file.path}: it is longer than the hub lists (${file.size} bytes); what this answer brought is deleted, run again to fetch it afresh (and if that fails too, the repository or its mirror is broken)`,
        );
      }
      await handle.appendFile(value);
      size += value.length;
      onProgress(size, 'fetching');
    }
    if (size < file.size) throw new HubError(`${file.path}: the connection ended early`, { transient: true });
  } finally {
    await handle.close();
  }
}

/** A file's hash as the hub counts it: SHA-256, or SHA-1 of a git blob. Lower-case hex. */
async function digestOf(
  path: string,
  { algorithm, size }: HubFile,
  signal: AbortSignal,
  onProgress: (bytes: number) => void,
): Promise<string> {
  const hash = algorithm === 'sha256' ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`);
  let done = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Uint8Array>) {
    signal.throwIfAborted();
    hash.update(chunk);
    done += chunk.length;
    onProgress(done);
  }
  return hash.digest('hex');
}
