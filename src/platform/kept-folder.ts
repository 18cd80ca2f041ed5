import { FileError } from './errors.ts';
import { checkName, checkRange } from './file-name.ts';
import { Keeper, type Place } from './kept-place.ts';
import { emptyRecord, type KeptFile, type KeptPiece, type KeptRecord, pieceName, readRecord } from './kept-record.ts';
import type { Folder, Visit } from './types.ts';
import { inVisit } from './visiting.ts';

/** Why something is not kept where nothing is wrong: another load has the right to. */
export const busy = new Error('another tab or another load keeps it now');

/** What a kept folder consists of. */
interface Parts {
  readonly name: string;
  readonly place: Place;
  /** Where the files are from; undefined where only what is kept can be read. */
  readonly source: Folder | undefined;
  /** Told why something is not kept. The read goes on. */
  readonly onUnkept: (reason: unknown) => void;
}

/** A folder whose files are kept while they are read. Every call is a visit of its own. */
export class KeptFolder implements Folder {
  readonly location: string;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.location = parts.source?.location ?? parts.name;
    this.#parts = parts;
  }

  has = (name: string) => inVisit(this.visit(), (visit) => visit.has(name));
  size = (name: string) => inVisit(this.visit(), (visit) => visit.size(name));
  read = (name: string, start?: number, end?: number) => inVisit(this.visit(), (visit) => visit.read(name, start, end));

  visit(signal?: AbortSignal): Visit {
    return new KeptVisit(this.location, this.#parts, signal);
  }
}

/** Of one read of a source: what is lost of a connection that breaks off. */
const fetchedBytes = 2 ** 20;

/** What a visit knows once it has begun. */
interface State {
  record: KeptRecord;
  /** Where it may write, and what gives that right back. */
  writing: { readonly keeper: Keeper; readonly release: () => void } | undefined;
}

/**
 * Reads what is kept, and keeps what it has to ask its source for.
 *
 * A record that is whole is taken as it is: the source is not asked at all. Of one that is not, pieces of a file are taken where the
 * source says the same size and version as then. So two versions of a checkpoint never meet.
 */
class KeptVisit implements Visit {
  readonly location: string;
  readonly #parts: Parts;
  readonly #signal: AbortSignal | undefined;
  readonly #files = new Map<string, Promise<KeptFile>>();
  readonly #blobs = new Map<KeptPiece, Promise<Blob>>();
  #begun: Promise<State> | undefined;
  #source: Folder | Visit | undefined;
  #unchanged: Promise<void> | undefined;
  /** The last two writes: one may run while the next bytes come. */
  #writes: readonly [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()];
  /** Whether the record says more, or less, than what is written. */
  #isChanged = false;
  #isClosed = false;

  constructor(location: string, parts: Parts, signal: AbortSignal | undefined) {
    this.location = location;
    this.#parts = parts;
    this.#signal = signal;
  }

  async has(name: string): Promise<boolean> {
    checkName(name, this.location);
    const { record } = await this.#begin();
    if (record.whole && record.files.has(name)) return true;
    if (!this.#parts.source || (record.whole && record.absent.has(name))) return false;
    const isThere = await (await this.#ask()).has(name);
    if (isThere) record.absent.delete(name);
    else record.absent.add(name);
    return isThere;
  }

  async size(name: string): Promise<number> {
    return (await this.#file(name)).size;
  }

  async read(name: string, start = 0, end?: number): Promise<Uint8Array> {
    const file = await this.#file(name);
    const stop = end ?? file.size;
    checkRange(`${this.location}: ${name}`, start, stop, file.size);
    const out = new Uint8Array(stop - start);
    for (let at = start; at < stop; ) {
      this.#signal?.throwIfAborted();
      const bytes = (await this.#kept(file, at, stop)) ?? (await this.#fetched(file, at, stop));
      if (bytes.length === out.length) return bytes;
      out.set(bytes, at - start);
      at += bytes.length;
    }
    return out;
  }

  /** Comes to its end when all that could be kept is. */
  async close(isDone = false): Promise<void> {
    this.#isClosed = true;
    if (this.#source && 'close' in this.#source) await this.#source.close();
    await Promise.all(this.#writes);
    const state = await this.#begun;
    if (!state?.writing) return;
    const { keeper, release } = state.writing;
    if (isDone) state.record.whole = true;
    if (isDone || this.#isChanged) await keeper.commit(state.record).catch(this.#parts.onUnkept);
    await keeper.abort(); // where that failed
    release();
  }

  #begin(): Promise<State> {
    this.#begun ??= this.#found();
    return this.#begun;
  }

  async #found(): Promise<State> {
    const state: State = { record: await this.#recorded(), writing: undefined };
    if (state.record.whole || !this.#parts.source) return state;
    await this.#startKeeping(state);
    state.record = await this.#recorded(); // what the one that had the lock has kept
    return state;
  }

  async #recorded(): Promise<KeptRecord> {
    const { name, place } = this.#parts;
    const directory = await place.find().catch(() => undefined); // told where it is written to
    return (directory && (await readRecord(directory))) ?? emptyRecord(name);
  }

  async #startKeeping(state: State): Promise<void> {
    const { place, onUnkept } = this.#parts;
    let release: (() => void) | undefined;
    try {
      release = await place.lock();
      if (!release) throw busy;
      state.writing = { keeper: new Keeper(place, await place.make()), release };
    } catch (e) {
      release?.();
      onUnkept(e);
    }
  }

  /** The source, once it is known to be what the kept files are from. */
  async #ask(): Promise<Folder> {
    const { source } = this.#parts;
    if (!source)
      throw new FileError(`${this.location}: what is kept of it is damaged; free it, and load or write it again`);
    const state = await this.#begin();
    this.#source ??= source.visit?.(this.#signal) ?? source;
    if (state.record.whole) this.#unchanged ??= this.#checkUnchanged(state, this.#source);
    await this.#unchanged;
    return this.#source;
  }

  /** @throws FileError where what is kept is of another version: it may have been given already. */
  async #checkUnchanged(state: State, source: Folder): Promise<void> {
    const files = [...state.record.files.values()].filter(({ version }) => version !== undefined);
    let isSame = files.length > 0;
    for (const file of files) isSame &&= await isOf(file, source);
    if (isSame) return this.#startKeeping(state);
    state.record = emptyRecord(this.#parts.name);
    this.#isChanged = true;
    await this.#startKeeping(state);
    throw new FileError(
      `${this.location}: it has changed, and not all that is asked for was kept; what was kept is freed: load it again`,
    );
  }

  #file(name: string): Promise<KeptFile> {
    let file = this.#files.get(name);
    if (!file) {
      file = this.#find(name);
      this.#files.set(name, file);
      file.catch(() => this.#files.delete(name));
    }
    return file;
  }

  async #find(name: string): Promise<KeptFile> {
    checkName(name, this.location);
    const { record } = await this.#begin();
    const known = record.files.get(name);
    if (record.whole && known) return known;
    if (!this.#parts.source || (record.whole && record.absent.has(name)))
      throw new FileError(`${this.location}: ${name}: there is no such file`);
    const source = await this.#ask();
    if (known && (await isOf(known, source))) return known;
    const [size, version] = [await source.size(name), await source.version?.(name)];
    const file: KeptFile = { name, id: crypto.randomUUID(), size, version, pieces: [] };
    record.files.set(name, file);
    return file;
  }

  /** Bytes from `at` to the end of a piece, or `stop`; undefined where none has them. */
  async #kept(file: KeptFile, at: number, stop: number): Promise<Uint8Array | undefined> {
    const piece = file.pieces.find(({ start, end }) => start <= at && at < end);
    if (!piece) return undefined;
    const blob = this.#blobs.get(piece) ?? this.#blob(file, piece);
    this.#blobs.set(piece, blob);
    const [start, end] = [at - piece.start, Math.min(stop, piece.end) - piece.start];
    const bytes = await blob.then((found) => found.slice(start, end).arrayBuffer()).catch(() => undefined);
    if (bytes?.byteLength === end - start) return new Uint8Array(bytes);
    // Freed meanwhile, or damaged: it is asked for again.
    file.pieces.splice(file.pieces.indexOf(piece), 1);
    return undefined;
  }

  async #blob(file: KeptFile, { start }: KeptPiece): Promise<Blob> {
    const directory = await this.#parts.place.find();
    return (await directory!.getFileHandle(pieceName(file, start))).getFile();
  }

  /** Some bytes from `at` on, to the next piece or `stop` at most, from the source. */
  async #fetched(file: KeptFile, at: number, stop: number): Promise<Uint8Array> {
    const source = await this.#ask();
    const end = Math.min(stop, at + fetchedBytes, ...file.pieces.map(({ start }) => (start > at ? start : stop)));
    await this.#writes[0];
    const bytes = await source.read(file.name, at, end);
    if (bytes.length !== end - at)
      throw new FileError(
        `${this.location}: ${file.name}: asked for bytes ${at} to ${end}, got ${bytes.length}: the file changed while it was read`,
      );
    const [, last] = this.#writes;
    if (!this.#isClosed) this.#writes = [last, last.then(() => this.#keep(file, at, bytes))];
    return bytes;
  }

  async #keep(file: KeptFile, at: number, bytes: Uint8Array): Promise<void> {
    const state = await this.#begin();
    if (!state.writing) return;
    const { keeper, release } = state.writing;
    this.#isChanged = true;
    try {
      if (await keeper.put(file, at, bytes)) await keeper.commit(state.record);
    } catch (e) {
      state.writing = undefined;
      this.#parts.onUnkept(e);
      await keeper.abort();
      await keeper.commit(state.record).catch(() => {}); // what is there goes on another time, if it can be said
      release();
    }
  }
}

/** Whether a file is still that of which pieces are kept. Without a version nothing tells. */
const isOf = async ({ name, size, version }: KeptFile, source: Folder): Promise<boolean> =>
  version !== undefined &&
  (await source.has(name)) &&
  (await source.size(name)) === size &&
  (await source.version?.(name)) === version;
