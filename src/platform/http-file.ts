// Files behind URLs, from servers as they are: with and without byte ranges, and with a page for whatever is not there.
import { FileError } from './errors.ts';
import { unlessAborted } from './next-chunk.ts';
import { defaultStallSeconds, type StallOptions, watchStall } from './stall.ts';
import { wholeAnswer } from './whole-answer.ts';

/** How long a server is waited for, and until when. */
export interface Patience extends Pick<StallOptions, 'stallSeconds'> {
  /** Ends what runs. */
  readonly signal?: AbortSignal;
}

/** Reads an answer. What `next` gives holds until it is called again; nothing is the end. */
interface Reader {
  next(): Promise<Uint8Array | undefined>;
  cancel(): Promise<void>;
}

/** A chunk for each read would wait for the garbage collection, in Chromium 100 MB of them and more: one buffer is filled again and again. */
const bufferBytes = 2 ** 20;

function readerOf(body: ReadableStream<Uint8Array<ArrayBuffer>>): Reader {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: 'byob' });
  } catch {
    // not in every browser
    const plain = body.getReader();
    return { next: async () => (await plain.read()).value, cancel: () => plain.cancel() };
  }
  let buffer = new ArrayBuffer(bufferBytes);
  return {
    async next() {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (done || !value) return undefined;
      buffer = value.buffer;
      return value;
    },
    cancel: () => reader.cancel(),
  };
}

/** What comes, unless nothing does for `stallSeconds`. @throws what `coming` throws; the signal's reason. */
async function soon<T>(coming: Promise<T>, { signal, stallSeconds = defaultStallSeconds }: Patience): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came for ${stallSeconds} s`)), 1000 * stallSeconds);
  });
  try {
    return await Promise.race([signal ? unlessAborted(coming, signal) : coming, stalled]);
  } finally {
    clearTimeout(timer);
  }
}

/** A page that a host of single-page applications gives for every path that it does not have. */
const isPage = ({ headers }: Response, start: Uint8Array): boolean =>
  /^text\/html\b/i.test(headers.get('Content-Type') ?? '') &&
  /^\s*<(!doctype html|html|head|!--)/i.test(new TextDecoder().decode(start.subarray(0, 256)));

/** @throws FileError where nothing answers; the signal's reason. */
async function request(url: string, patience: Patience, headers?: HeadersInit): Promise<Response> {
  const { signal } = patience;
  const given = new AbortController();
  const either = signal ? AbortSignal.any([signal, given.signal]) : given.signal;
  try {
    return await soon(fetch(url, { headers, signal: either }), patience);
  } catch (e) {
    given.abort();
    signal?.throwIfAborted();
    throw new FileError(
      `${url}: the request failed (${(e as Error).message}); is the server up, and does it allow this page (CORS)?`,
    );
  }
}

const isAbsent = ({ status }: Response) => status === 404 || status === 410 || status === 403;

const refused = (url: string, { status }: Response) =>
  new FileError(
    `${url}: the server answers ${status}; it is to give the file, or 404 where there is none${status === 401 ? ' (this page sends no name and no password)' : ''}`,
  );

/** What went wrong while an answer came, as an error for whoever asked. */
const brokeOff = (url: string, signal: AbortSignal | undefined) => (e: Error) => {
  signal?.throwIfAborted();
  throw e instanceof FileError ? e : new FileError(`${url}: the connection broke off (${e.message})`);
};

/** Of a file that is read as a whole: settings, templates, vocabularies. */
const mostBytes = 2 ** 28;

/**
 * A whole file by one request, or nothing where there is none.
 * @throws FileError for any answer but the file and 404, 410 or 403; for an answer of more than 256 MiB.
 */
export async function readWhole(url: string, patience: Patience = {}): Promise<Uint8Array | undefined> {
  const response = await fileAt(url, patience);
  if (!response) return undefined;
  const { signal } = patience;
  const watch = watchStall({ ...patience, minRate: 0 }); // silence alone counts, as for weights
  const how = {
    signal: signal ? AbortSignal.any([signal, watch.signal]) : watch.signal,
    watch,
    most: mostBytes,
    tooMany: () => new FileError(`${url}: more than ${mostBytes} bytes, which no file of settings has`),
  };
  const whole = await wholeAnswer(response.body!, how)
    .catch(brokeOff(url, signal))
    .finally(() => watch.stop());
  return isPage(response, whole) ? undefined : whole;
}

/** The answer to a request for a whole file, or nothing where there is none. */
async function fileAt(url: string, patience: Patience): Promise<Response | undefined> {
  const response = await request(url, patience);
  if (response.ok) return response;
  response.body?.cancel().catch(() => {});
  if (isAbsent(response)) return undefined;
  throw refused(url, response);
}

/** How far ahead a running answer is read to get to what is asked for, instead of asking anew. */
const mostSkipped = 2 ** 20;

/** An answer that breaks off is asked for from where it broke off; so often, if nothing more comes. */
const mostTries = 3;

/**
 * A large file that is read mostly from its beginning to its end: by one request, continued by another where it breaks off or where
 * what lies ahead is asked for. What lies behind is asked for by itself.
 */
export class StreamedFile {
  readonly url: string;
  /** Of the file, in bytes. */
  readonly size: number;
  /** What tells this content of the file from others, where the server says it. */
  readonly version: string | undefined;
  readonly #patience: Patience;
  #reader: Reader | undefined;
  /** Where in the file the next byte of `#rest`, or else of the reader, is from. */
  #at = 0;
  #rest: Uint8Array;
  /** Until an answer to a range begins at the first byte. */
  #hasRanges = true;

  /**
   * Asks for the file. @returns nothing where there is none.
   * @throws FileError for any answer but the file and 404, 410 or 403; where the server does not say how large it is.
   */
  static async open(url: string, patience: Patience = {}): Promise<StreamedFile | undefined> {
    const response = await fileAt(url, patience);
    if (!response) return undefined;
    const reader = readerOf(response.body!);
    try {
      const first = (await soon(reader.next(), patience).catch(brokeOff(url, patience.signal))) ?? new Uint8Array();
      if (!isPage(response, first)) {
        const size = await sizeOf(url, response, patience);
        return new StreamedFile(url, size, { version: versionOf(response), reader, first, patience });
      }
    } catch (e) {
      reader.cancel().catch(() => {});
      throw e;
    }
    reader.cancel().catch(() => {});
    return undefined;
  }

  private constructor(
    url: string,
    size: number,
    of: { version: string | undefined; reader: Reader; first: Uint8Array; patience: Patience },
  ) {
    this.url = url;
    this.size = size;
    this.version = of.version;
    this.#reader = of.reader;
    this.#rest = of.first;
    this.#patience = of.patience;
  }

  /**
   * Bytes [start, end), one read after the other.
   * @throws FileError where the connection breaks off again and again, the file has changed, or the server gives another range.
   */
  async read(start: number, end: number): Promise<Uint8Array> {
    if (start < this.#at) return this.#aside(start, end);
    const out = new Uint8Array(end - start);
    let filled = 0;
    let tries = 0;
    while (filled < out.length) {
      const from = start + filled;
      try {
        if (!this.#reader || (this.#hasRanges && from - this.#at > mostSkipped)) await this.#goTo(from);
        if (!this.#rest.length) await this.#receive();
      } catch (e) {
        this.pause();
        if (!(e instanceof BrokenOff) || ++tries > mostTries) throw e;
        continue;
      }
      const skipped = Math.min(this.#rest.length, from - this.#at);
      this.#at += skipped;
      this.#rest = this.#rest.subarray(skipped);
      const taken = this.#rest.subarray(0, out.length - filled);
      if (!taken.length) continue;
      out.set(taken, filled);
      filled += taken.length;
      this.#at += taken.length;
      this.#rest = this.#rest.subarray(taken.length);
      tries = 0;
    }
    return out;
  }

  /** Ends the request that runs; another read asks anew. */
  pause(): void {
    this.#reader?.cancel().catch(() => {});
    this.#reader = undefined;
    this.#rest = new Uint8Array();
  }

  async #receive(): Promise<void> {
    this.#rest = await this.#next(this.#reader!, this.#at);
  }

  async #next(reader: Reader, at: number): Promise<Uint8Array> {
    const value = await soon(reader.next(), this.#patience).catch((e: Error) => {
      this.#patience.signal?.throwIfAborted();
      throw new BrokenOff(this.url, at, this.size, e.message);
    });
    if (!value) throw new BrokenOff(this.url, at, this.size, 'it ended early');
    return value;
  }

  /** Asks from a byte on; a server without ranges begins at the first one. */
  async #goTo(start: number): Promise<void> {
    this.pause();
    const { response, first } = await this.#ask(`bytes=${start}-`);
    this.#reader = readerOf(response.body!);
    this.#at = first;
  }

  /** Bytes that have gone by, by a request of their own. */
  async #aside(start: number, end: number): Promise<Uint8Array> {
    if (start === end) return new Uint8Array();
    const { response, first } = await this.#ask(`bytes=${start}-${end - 1}`);
    const reader = readerOf(response.body!);
    const out = new Uint8Array(end - start);
    try {
      for (let at = first; at < end; ) {
        const value = await this.#next(reader, at);
        out.set(value.subarray(Math.max(0, start - at), Math.max(0, end - at)), Math.max(0, at - start));
        at += value.length;
      }
    } finally {
      reader.cancel().catch(() => {});
    }
    return out;
  }

  async #ask(range: string): Promise<{ response: Response; first: number }> {
    const response = await request(this.url, this.#patience, { Range: range });
    const changed = () => new FileError(`${this.url}: the file changed while it was read`);
    if (!response.ok) {
      response.body?.cancel().catch(() => {});
      throw response.status === 416 ? changed() : refused(this.url, response);
    }
    const version = versionOf(response);
    if (this.version !== undefined && version !== undefined && version !== this.version) throw changed();
    this.#hasRanges = response.status === 206;
    if (!this.#hasRanges) return { response, first: 0 };
    // Where a server of another origin does not show Content-Range, it is believed.
    const [, first, total] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '') ?? [];
    const asked = /\d+/.exec(range)![0];
    if ((total !== undefined && Number(total) !== this.size) || (first !== undefined && first !== asked))
      throw changed();
    return { response, first: Number(asked) };
  }
}

/** May go on from where it was. */
class BrokenOff extends FileError {
  constructor(url: string, at: number, size: number, why: string) {
    super(`${url}: the connection broke off at byte ${at} of ${size} (${why})`);
  }
}

/**
 * Compared here, rather than sent as If-Range or If-None-Match: these have a browser ask servers of other origins first whether they may
 * be sent, and most say no. Such a server seldom lets a page see its ETag either; the date it always may.
 */
const versionOf = ({ headers }: Response): string | undefined =>
  headers.get('ETag') ?? headers.get('Last-Modified') ?? undefined;

/** From the answer itself, unless it is compressed (then its length is not the file's): from a one-byte range. */
async function sizeOf(url: string, { headers }: Response, patience: Patience): Promise<number> {
  const length = headers.get('Content-Length');
  if (length !== null && !headers.get('Content-Encoding')) return parseSize(url, length);
  const response = await request(url, patience, { Range: 'bytes=0-0' });
  response.body?.cancel().catch(() => {});
  const total = /\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1];
  if (total === undefined)
    throw new FileError(
      `${url}: the server does not say how large it is; it is to send Content-Length, and no Content-Encoding for files of weights`,
    );
  return parseSize(url, total);
}

function parseSize(url: string, text: string): number {
  const size = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(size))
    throw new FileError(`${url}: the server says its size is ${text}`);
  return size;
}
