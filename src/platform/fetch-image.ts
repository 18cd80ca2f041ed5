import { FileError, ImageError } from './errors.ts';
import { maxFileBytes, tooLarge } from './image-source.ts';
import { type StallOptions, watchStall } from './stall.ts';
import { wholeAnswer } from './whole-answer.ts';

/** How long an answer is waited for. */
export interface FetchImageOptions extends StallOptions {
  /** Ends the request. */
  readonly signal?: AbortSignal;
}

/**
 * The file behind an `http:`, `https:`, `data:` or `blob:` URL, no more of it than a picture may have.
 * @throws FileError naming it, also where the server sends too little for too long; ImageError where it is too large; the signal's
 *   reason when aborted.
 */
export async function fetchImage(url: string, label: string, options: FetchImageOptions = {}): Promise<Uint8Array> {
  const { signal } = options;
  const failed = (what: string) => new FileError(`${label}: ${what}`);
  const explain = (what: string) => (e: Error) => {
    signal?.throwIfAborted();
    throw e instanceof ImageError ? e : failed(`${what} (${e.message})`);
  };
  signal?.throwIfAborted();
  const watch = watchStall(options);
  const either = signal ? AbortSignal.any([signal, watch.signal]) : watch.signal;
  try {
    const response = await fetch(url, { signal: either }).catch(explain('the request failed'));
    if (!response.ok || !response.body) throw failed(`the server answers ${response.status}`);
    const how = { signal: either, watch, most: maxFileBytes, tooMany: (size: number) => tooLarge(label, size) };
    return await wholeAnswer(response.body, how).catch(explain('the connection broke off'));
  } finally {
    watch.stop();
  }
}
