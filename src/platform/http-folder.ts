import { FileError } from './errors.ts';
import { checkName, checkRange } from './file-name.ts';
import { type Patience, readWhole, StreamedFile } from './http-file.ts';
import type { Folder, Visit } from './types.ts';
import { inVisit } from './visiting.ts';

/** What is streamed. All else is small, and read as a whole. */
const weights = /\.(safetensors|bin|pt|pth|ckpt|gguf|h5|msgpack|onnx)$/i;

/** A folder behind a URL. Every call is a visit of its own. */
export class HttpFolder implements Folder {
  readonly location: string;
  readonly #base: URL;
  readonly #patience: Patience;

  /** @param patience how long its server is waited for. */
  constructor(base: URL, patience: Omit<Patience, 'signal'> = {}) {
    this.#patience = patience;
    this.#base = new URL(base);
    if (!this.#base.pathname.endsWith('/')) this.#base.pathname += '/';
    this.location = this.#base.href;
  }

  has = (name: string) => inVisit(this.visit(), (visit) => visit.has(name));
  size = (name: string) => inVisit(this.visit(), (visit) => visit.size(name));
  read = (name: string, start?: number, end?: number) => inVisit(this.visit(), (visit) => visit.read(name, start, end));

  version = (name: string) => inVisit(this.visit(), (visit) => visit.version(name));

  visit(signal?: AbortSignal): HttpVisit {
    return new HttpVisit(this.#base, { ...this.#patience, signal });
  }
}

/**
 * Asks for each small file once, and streams one file of weights at a time: browsers open six connections to a server, and one that is
 * kept waiting blocks others.
 */
class HttpVisit implements Visit {
  readonly location: string;
  readonly #base: URL;
  readonly #ended = new AbortController();
  readonly #patience: Patience;
  readonly #small = new Map<string, Promise<Uint8Array | undefined>>();
  readonly #streams = new Map<string, Promise<StreamedFile | undefined>>();
  #running: StreamedFile | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(base: URL, { signal, ...patience }: Patience) {
    this.#base = base;
    this.location = base.href;
    const ended = this.#ended.signal;
    this.#patience = { ...patience, signal: signal ? AbortSignal.any([signal, ended]) : ended };
  }

  async has(name: string): Promise<boolean> {
    return (await (weights.test(name) ? this.#stream(name) : this.#whole(name))) !== undefined;
  }

  async size(name: string): Promise<number> {
    return weights.test(name) ? (await this.#streamed(name)).size : (await this.#content(name)).length;
  }

  /** Of files of weights alone: others are small, and read anew. */
  async version(name: string): Promise<string | undefined> {
    return weights.test(name) ? (await this.#streamed(name)).version : undefined;
  }

  async read(name: string, start = 0, end?: number): Promise<Uint8Array> {
    if (!weights.test(name)) {
      const content = await this.#content(name);
      checkRange(this.#url(name), start, end ?? content.length, content.length);
      return content.subarray(start, end);
    }
    const file = await this.#streamed(name);
    checkRange(file.url, start, end ?? file.size, file.size);
    return this.#inTurn(() => {
      this.#run(file);
      return file.read(start, end ?? file.size);
    });
  }

  async close(): Promise<void> {
    this.#running?.pause();
    this.#ended.abort();
    this.#small.clear();
    this.#streams.clear();
  }

  #url(name: string): string {
    const at = new URL(this.#base);
    at.pathname += checkName(name, this.location).split('/').map(encodeURIComponent).join('/');
    return at.href;
  }

  #whole(name: string): Promise<Uint8Array | undefined> {
    return known(this.#small, name, () => readWhole(this.#url(name), this.#patience));
  }

  #stream(name: string): Promise<StreamedFile | undefined> {
    return known(this.#streams, name, () =>
      this.#inTurn(async () => {
        const file = await StreamedFile.open(this.#url(name), this.#patience);
        if (file) this.#run(file);
        return file;
      }),
    );
  }

  async #content(name: string): Promise<Uint8Array> {
    return this.#there(name, await this.#whole(name));
  }

  async #streamed(name: string): Promise<StreamedFile> {
    return this.#there(name, await this.#stream(name));
  }

  #there<T>(name: string, found: T | undefined): T {
    if (found === undefined) throw new FileError(`${this.#url(name)}: there is no such file`);
    return found;
  }

  #run(file: StreamedFile): void {
    if (this.#running !== file) this.#running?.pause();
    this.#running = file;
  }

  /** Reads of one stream must not cross. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** What was asked for once; what failed is asked for again. */
function known<T>(map: Map<string, Promise<T>>, name: string, ask: () => Promise<T>): Promise<T> {
  let found = map.get(name);
  if (!found) {
    found = ask();
    map.set(name, found);
    found.catch(() => map.delete(name));
  }
  return found;
}
