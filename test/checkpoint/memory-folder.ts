import type { Folder } from '../../src/platform/types.ts';

/** A folder whose files are in memory. Counts what is read, so that tests can say how much was. */
export class MemoryFolder implements Folder {
  readonly location = 'memory';
  readonly files: Map<string, Uint8Array>;
  readonly reads: { name: string; start: number; end: number }[] = [];

  constructor(files: Record<string, Uint8Array | string>) {
    this.files = new Map(
      Object.entries(files).map(([name, content]) => [
        name,
        typeof content === 'string' ? new TextEncoder().encode(content) : content,
      ]),
    );
  }

  async has(name: string): Promise<boolean> {
    return this.files.has(name);
  }

  async size(name: string): Promise<number> {
    return this.#get(name).length;
  }

  async read(name: string, start = 0, end = this.#get(name).length): Promise<Uint8Array> {
    this.reads.push({ name, start, end });
    return this.#get(name).subarray(start, end);
  }

  #get(name: string): Uint8Array {
    const file = this.files.get(name);
    if (!file) throw new Error(`${name}: no such file`);
    return file;
  }
}
