// Finding out before a run which examples would end it.

import { decodeImage } from '#platform';
import { VideoError } from '../platform/errors.ts';
import type { VideoSource } from '../platform/types.ts';
import { type Example, showKnown } from './features.ts';

/** How closely pictures are looked at, and who is told how far it is. */
export interface UnreadableOptions {
  /** Decode every picture: what is damaged inside is found too. Default: its header and the structure of its file. */
  readonly decode?: boolean;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** An example that a model cannot be shown. */
export interface Unreadable {
  readonly index: number;
  /** On one line, naming the example. */
  readonly problem: string;
}

/** Examples looked at together: their pixels are in memory. */
const atOnce = 2;

/**
 * Examples whose pictures are not there, are no pictures, or are damaged as far as is looked. What is kept of the
 * others is a hash, so that a cache that has an example need not read it again.
 */
export async function findUnreadable(
  examples: readonly Example[],
  { decode = false, signal, onProgress }: UnreadableOptions = {},
): Promise<Unreadable[]> {
  const found: Unreadable[] = [];
  for (let at = 0; at < examples.length; at += atOnce) {
    signal?.throwIfAborted();
    const part = examples.slice(at, at + atOnce);
    const problems = await Promise.all(part.map((example) => problemOf(example, decode)));
    for (const [i, problem] of problems.entries()) if (problem !== undefined) found.push({ index: at + i, problem });
    onProgress?.(at + part.length, examples.length);
  }
  return found;
}

/** Loaded when pictures are looked at, as a model does. */
const decoders = () => import('../platform/decode-image.ts');

async function problemOf(example: Example, decode: boolean): Promise<string | undefined> {
  try {
    const shown = await showKnown(example);
    const check = async (bytes: Uint8Array, label: string) => {
      if (decode) await decodeImage(bytes, label);
      else await (await decoders()).checkImage(bytes, label);
    };
    for (const [i, bytes] of shown.images.entries()) await check(bytes, shown.imageNames![i]);
    for (const video of shown.videos ?? []) await checkVideo(video, check);
    return undefined;
  } catch (error) {
    const { message } = error as Error;
    return message.startsWith(example.source) ? message : `${example.source}: ${message}`;
  }
}

async function checkVideo(
  video: VideoSource<Uint8Array>,
  check: (bytes: Uint8Array, label: string) => Promise<void>,
): Promise<void> {
  if ('file' in video) {
    if (video.file.length === 0) throw new VideoError(`${video.name ?? 'video'}: the file is empty`);
    return;
  }
  for (const [i, bytes] of video.frames.entries()) await check(bytes, `frame ${i + 1}`);
}
