// Checkpoints that a browser keeps from one visit of a page to the next.
import { FileError } from './errors.ts';
import { checkName } from './file-name.ts';
import { busy, KeptFolder } from './kept-folder.ts';
import { Keeper, Place, type Root } from './kept-place.ts';
import { emptyRecord, type KeptFile, type KeptRecord, keptBytes, readRecord, sweep } from './kept-record.ts';
import type { CheckpointStoreOptions, Folder, KeptCheckpoint, StoreNote, WritePieces } from './types.ts';

/** Of ours, in the one that is the whole site's. */
const directoryName = 'headlight';

/** Checkpoints that are kept. `openCheckpointStore` makes it. */
export class CheckpointStore {
  readonly #root: Root | undefined;
  readonly #onNote: (note: StoreNote) => void;

  private constructor(root: Root | undefined, onNote: (note: StoreNote) => void) {
    this.#root = root;
    this.#onNote = onNote;
  }

  /** As `openCheckpointStore`. */
  static async open(options: CheckpointStoreOptions = {}): Promise<CheckpointStore> {
    const { directory, onNote = ({ message }) => console.warn(message) } = options;
    try {
      const above = directory ?? (await navigator.storage.getDirectory());
      const own = await above.getDirectoryHandle(directoryName, { create: true });
      return new CheckpointStore({ directory: own, isPrivate: !directory }, onNote);
    } catch (e) {
      onNote(noteOf('checkpoints', e));
      return new CheckpointStore(undefined, onNote);
    }
  }

  /**
   * A folder that keeps what is read of it. Give it to `load` in the place of `folder`: weights are kept while they are loaded, a load that
   * broke off is continued by the next one, and once one has ended well, the next asks `folder` for nothing. So a newer version is not
   * noticed: `free` it, or have the revision in the URL. What began and has changed since is begun anew.
   * @param name what it is kept by. Default: the folder's location.
   */
  keep(folder: Folder, name: string = folder.location): Folder {
    return this.#root ? this.#kept(this.#root, name, folder) : folder;
  }

  /** What is kept by a name, to be loaded without a network; undefined where it is not there, or not whole. */
  async open(name: string): Promise<Folder | undefined> {
    const directory = this.#root && (await Place.of(this.#root, name).find());
    const record = directory && (await readRecord(directory));
    return record?.whole ? this.#kept(this.#root!, name) : undefined;
  }

  /**
   * Writes a checkpoint, whole or not at all: `write(name, (write) => quantize(folder, { write, weights: 'q4' }))`. What was kept by the
   * name stays until all is written.
   * @param fill writes the files.
   * @throws FileError where the browser does not write, or the name is in use; what `fill` throws.
   */
  async write<T>(name: string, fill: (write: WritePieces) => Promise<T>): Promise<T> {
    if (!this.#root) throw new FileError(`${name}: cannot be written: this browser keeps nothing for this page`);
    const place = Place.of(this.#root, name);
    const release = await lockOf(place, name);
    try {
      const directory = await place.make().catch(refused(name));
      const before = await readRecord(directory);
      const keeper = new Keeper(place, directory);
      const record = emptyRecord(name);
      try {
        const result = await fill((file, pieces) => writeFile(keeper, record, file, pieces));
        record.whole = true;
        await keeper.commit(record).catch(refused(name));
        return result;
      } catch (e) {
        await keeper.abort();
        await (before ? sweep(directory, before) : place.remove()).catch(() => {});
        throw e;
      }
    } finally {
      release();
    }
  }

  /** What is kept, in no order. Directories that say nothing, which a page has left that was closed at once, are removed. */
  async list(): Promise<KeptCheckpoint[]> {
    const found: KeptCheckpoint[] = [];
    if (!this.#root) return found;
    for await (const place of Place.all(this.#root)) {
      const directory = await place.find();
      const record = directory && (await readRecord(directory));
      if (record) found.push({ name: record.name, bytes: keptBytes(record), whole: record.whole });
      else await remove(place).catch(() => {}); // the next one will
    }
    return found;
  }

  /** Removes what is kept by a name. @throws FileError where it is being loaded or written. */
  async free(name: string): Promise<void> {
    if (this.#root) await remove(Place.of(this.#root, name), name);
  }

  #kept(root: Root, name: string, source?: Folder): Folder {
    const onUnkept = (reason: unknown) => this.#onNote(noteOf(name, reason));
    return new KeptFolder({ name, place: Place.of(root, name), source, onUnkept });
  }
}

async function lockOf(place: Place, name: string): Promise<() => void> {
  const release = await place.lock();
  if (!release) throw new FileError(`${name}: it is being loaded or written, here or in another tab; end that first`);
  return release;
}

async function remove(place: Place, name = 'what says nothing'): Promise<void> {
  const release = await lockOf(place, name);
  try {
    await place.remove();
  } finally {
    release();
  }
}

async function writeFile(keeper: Keeper, record: KeptRecord, name: string, pieces: AsyncIterable<Uint8Array>) {
  const file: KeptFile = { name: checkName(name, record.name), id: crypto.randomUUID(), size: 0, pieces: [] };
  for await (const piece of pieces) {
    await keeper.put(file, file.size, piece).catch(refused(`${record.name}: ${name}`));
    file.size += piece.length;
  }
  record.files.set(name, file);
}

const refused = (name: string) => (e: DOMException) => {
  throw new FileError(
    e.name === 'QuotaExceededError'
      ? `${name}: cannot be written: this site has no more room (${e.message}); free what is kept of other checkpoints`
      : `${name}: cannot be written: ${e.message}`,
    { cause: e },
  );
};

/** What a note says of a failure. */
function noteOf(name: string, reason: unknown): StoreNote {
  if (reason === busy) return { code: 'busy', message: `${name}: not kept by this load: ${busy.message}` };
  const { name: kind, message } = reason as DOMException;
  if (kind === 'QuotaExceededError')
    return {
      code: 'full',
      message: `${name}: not kept, as this site has no more room (${message}); free what is kept of other checkpoints, or choose fewer bits`,
    };
  return {
    code: 'unavailable',
    message: `${name}: not kept, as this browser keeps nothing for this page (${message})`,
  };
}
