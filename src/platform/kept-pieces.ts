import { type KeptFile, pieceName } from './kept-record.ts';

/** The most of a piece: what a page that is closed meanwhile loses. */
export const pieceBytes = 2 ** 26;

/** Of a file in OPFS, in workers alone. (TypeScript has it in the library of workers.) */
interface SyncAccessHandle {
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** A file that is written from its beginning. What is written may only be read once it is closed. */
interface Sink {
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
  /** Closes it; what is in it does not matter. */
  abort(): Promise<void>;
}

/** In a worker the synchronous way, which measured 6 to 10 times as fast in Chromium (on a disk; 2 times in a private window). */
async function openSink(directory: FileSystemDirectoryHandle, name: string): Promise<Sink> {
  const handle = await directory.getFileHandle(name, { create: true });
  const inWorker = handle as { createSyncAccessHandle?(): Promise<SyncAccessHandle> };
  // Refused for a folder of the user's own disk.
  const access = await inWorker.createSyncAccessHandle?.().catch(() => undefined);
  return access ? syncSink(access) : writableSink(await handle.createWritable());
}

function syncSink(access: SyncAccessHandle): Sink {
  access.truncate(0);
  let at = 0;
  return {
    write: async (bytes) => {
      const written = access.write(bytes, { at });
      if (written !== bytes.length) throw new DOMException('the disk is full', 'QuotaExceededError');
      at += written;
    },
    close: async () => {
      access.flush();
      access.close();
    },
    abort: async () => access.close(),
  };
}

const writableSink = (writable: FileSystemWritableFileStream): Sink => ({
  write: (bytes) => writable.write(bytes as BufferSource),
  close: () => writable.close(),
  abort: () => writable.abort(),
});

/** Writes pieces, one after the other. Each call is awaited before the next. */
export class PieceWriter {
  readonly #directory: FileSystemDirectoryHandle;
  #open: { readonly file: KeptFile; readonly start: number; end: number; readonly sink: Sink } | undefined;

  constructor(directory: FileSystemDirectoryHandle) {
    this.#directory = directory;
  }

  /**
   * Adds bytes of a file, without those that it has. A piece is the file's once it is closed: by bytes from elsewhere, at `pieceBytes`,
   * and at the file's end.
   * @returns whether a full piece was closed.
   * @throws DOMException where the browser does not write.
   */
  async put(file: KeptFile, at: number, bytes: Uint8Array): Promise<boolean> {
    const from = this.#keptUpTo(file, at);
    const end = at + bytes.length;
    if (from >= end) return false;
    if (this.#open && (this.#open.file !== file || this.#open.end !== from)) await this.close();
    if (!this.#open)
      this.#open = { file, start: from, end: from, sink: await openSink(this.#directory, pieceName(file, from)) };
    const open = this.#open;
    await open.sink.write(bytes.subarray(from - at));
    open.end = end;
    const isFull = end - open.start >= pieceBytes;
    if (isFull || end === file.size) await this.close();
    return isFull;
  }

  /** Closes the piece that is open. */
  async close(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    if (!open) return;
    await open.sink.close();
    open.file.pieces.push({ start: open.start, end: open.end });
  }

  /** Leaves the piece that is open. */
  async abort(): Promise<void> {
    const open = this.#open;
    this.#open = undefined;
    await open?.sink.abort().catch(() => {});
  }

  #keptUpTo(file: KeptFile, at: number): number {
    const pieces: readonly KeptFile['pieces'][number][] =
      this.#open?.file === file ? [...file.pieces, this.#open] : file.pieces;
    for (let found: (typeof pieces)[number] | undefined; ; at = found.end) {
      found = pieces.find(({ start, end }) => start <= at && at < end);
      if (!found) return at;
    }
  }
}
