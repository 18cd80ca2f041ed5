import { PieceWriter, pieceBytes } from './kept-pieces.ts';
import { type KeptFile, type KeptRecord, sweep, writeRecord } from './kept-record.ts';

/** A name for a directory, in any file system. */
async function keyOf(name: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(name));
  return Array.from(new Uint8Array(digest).subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

const isKey = (name: string) => /^[0-9a-f]{32}$/.test(name);

/** The directory in which checkpoints are kept, each in one of its own. */
export interface Root {
  readonly directory: FileSystemDirectoryHandle;
  /** Whether it is the browser's own (OPFS), which has a limit for each site. */
  readonly isPrivate: boolean;
}

/** Where one checkpoint is kept. */
export class Place {
  readonly #root: Root;
  readonly #key: Promise<string>;

  constructor(root: Root, key: Promise<string>) {
    this.#root = root;
    this.#key = key;
  }

  static of = (root: Root, name: string): Place => new Place(root, keyOf(name));

  /** All places that there are. */
  static async *all(root: Root): AsyncGenerator<Place> {
    const names: string[] = [];
    for await (const [name] of root.directory.entries()) names.push(name);
    for (const name of names) if (isKey(name)) yield new Place(root, Promise.resolve(name));
  }

  /** Its directory, if it has one. @throws DOMException where the browser refuses. */
  async find(): Promise<FileSystemDirectoryHandle | undefined> {
    return this.#root.directory.getDirectoryHandle(await this.#key).catch(unlessAbsent);
  }

  /** The same, made where there is none. */
  async make(): Promise<FileSystemDirectoryHandle> {
    // Without it the browser may empty the disk when it has need of room. Firefox asks its user, and is not waited for.
    if (this.#root.isPrivate) navigator.storage.persist?.().catch(() => {});
    return this.#root.directory.getDirectoryHandle(await this.#key, { create: true });
  }

  /** Removes it and all in it. */
  async remove(): Promise<void> {
    await this.#root.directory.removeEntry(await this.#key, { recursive: true }).catch(unlessAbsent);
  }

  /** Bytes that the browser still takes; undefined where nothing tells. */
  async room(): Promise<number | undefined> {
    if (!this.#root.isPrivate) return undefined;
    const { quota, usage } = await navigator.storage.estimate();
    return quota !== undefined && usage !== undefined ? quota - usage : undefined;
  }

  /**
   * The right to write here, for one load of one tab at a time.
   * @returns what gives it back; undefined where another has it.
   */
  async lock(): Promise<(() => void) | undefined> {
    const locks = globalThis.navigator?.locks;
    if (!locks) return () => {}; // Node before 24
    const name = `headlight ${await this.#key}`;
    return new Promise((resolve, reject) => {
      locks
        .request(name, { ifAvailable: true }, (lock) =>
          lock ? new Promise<void>((release) => resolve(release)) : resolve(undefined),
        )
        .catch(reject);
    });
  }
}

function unlessAbsent(e: DOMException): undefined {
  if (e.name !== 'NotFoundError') throw e;
}

/** Writes to one place, whose lock its maker has. Each call is awaited before the next. */
export class Keeper {
  readonly #place: Place;
  readonly #directory: FileSystemDirectoryHandle;
  readonly #pieces: PieceWriter;
  readonly #fits = new Set<KeptFile>();

  /** @param directory of the place. */
  constructor(place: Place, directory: FileSystemDirectoryHandle) {
    this.#place = place;
    this.#directory = directory;
    this.#pieces = new PieceWriter(directory);
  }

  /** Keeps bytes of a file. @returns whether it is time to `commit`. @throws DOMException where the browser does not write. */
  async put(file: KeptFile, at: number, bytes: Uint8Array): Promise<boolean> {
    await this.#checkRoom(file);
    return this.#pieces.put(file, at, bytes);
  }

  /** Says what is there, and then removes what is not said. @throws DOMException where the browser does not write. */
  async commit(record: KeptRecord): Promise<void> {
    await this.#pieces.close();
    await writeRecord(this.#directory, record);
    await sweep(this.#directory, record).catch(() => {}); // the next one will
  }

  /** Leaves the piece that is being written. */
  abort = () => this.#pieces.abort();

  /** Once for each large file: better said at once than when the disk is full. */
  async #checkRoom(file: KeptFile): Promise<void> {
    if (file.size <= pieceBytes || this.#fits.has(file)) return;
    const missing = file.pieces.reduce((rest, { start, end }) => rest - (end - start), file.size);
    const room = await this.#place.room();
    if (room !== undefined && room < missing)
      throw new DOMException(`${missing} bytes are to be kept, and there is room for ${room}`, 'QuotaExceededError');
    this.#fits.add(file);
  }
}
