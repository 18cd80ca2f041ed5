// Data that comes through a pipe.

import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { DataError } from '../sav/errors.ts';
import { UsageError } from './context.ts';

export const isFolder = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isDirectory() ?? false;

/** A pipe or a device, as of `<(command)`. */
export async function isStream(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  return info !== undefined && !info.isFile() && !info.isDirectory();
}

/** More than any file of rows that is taken. */
const maxBytes = 2 ** 29;

/** All that a pipe, or standard input (`-`), brings. An interrupt does not wait for it. */
export async function readStream(path: string, signal: AbortSignal): Promise<Uint8Array> {
  if (path === '-' && process.stdin.readableEnded)
    throw new UsageError('standard input is one data set: name a file for the other');
  const stream = path === '-' ? process.stdin : createReadStream(path);
  const name = path === '-' ? 'standard input' : path;
  const read = async () => {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes) throw new DataError(`${name}: more than ${maxBytes / 2 ** 20} MiB of rows; split them`);
    }
    return new Uint8Array(Buffer.concat(chunks, length));
  };
  return Promise.race([
    read(),
    new Promise<never>((_, reject) => {
      signal.throwIfAborted();
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    }),
  ]);
}
