// The part of a browser's FileSystemDirectoryHandle that Headlight uses, in memory.

const absent = (name: string) => new DOMException(`${name} is not there`, 'NotFoundError');

/** What is about to happen to a file or folder of the name; may throw in its place. */
export type Intercept = (action: 'make' | 'read' | 'open' | 'write' | 'close' | 'remove', name: string) => void;

class MemoryFile {
  readonly kind = 'file';
  readonly name: string;
  readonly #intercept: Intercept;
  bytes = new Uint8Array();

  constructor(name: string, intercept: Intercept) {
    this.name = name;
    this.#intercept = intercept;
  }

  async getFile(): Promise<File> {
    this.#intercept('read', this.name);
    return new File([this.bytes], this.name);
  }

  async createWritable() {
    this.#intercept('open', this.name);
    const parts: (string | Uint8Array<ArrayBuffer>)[] = [];
    return {
      write: async (part: string | Uint8Array<ArrayBuffer>) => {
        this.#intercept('write', this.name);
        parts.push(typeof part === 'string' ? part : part.slice());
      },
      close: async () => {
        this.#intercept('close', this.name);
        this.bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
      },
      abort: async () => {},
    };
  }
}

export class MemoryDirectory {
  readonly kind = 'directory';
  readonly name: string;
  readonly children = new Map<string, MemoryFile | MemoryDirectory>();
  readonly #intercept: Intercept;

  constructor(name = '', intercept: Intercept = () => {}) {
    this.name = name;
    this.#intercept = intercept;
  }

  /** As what it stands for. */
  get handle(): FileSystemDirectoryHandle {
    return this as unknown as FileSystemDirectoryHandle;
  }

  /** All files in it and in what it holds, by their paths. */
  get files(): Record<string, MemoryFile> {
    const found: Record<string, MemoryFile> = {};
    for (const [name, child] of this.children)
      if (child.kind === 'file') found[name] = child;
      else for (const [path, file] of Object.entries(child.files)) found[`${name}/${path}`] = file;
    return found;
  }

  async getDirectoryHandle(name: string, options?: { create?: boolean }): Promise<MemoryDirectory> {
    return this.#get(name, options, MemoryDirectory);
  }

  async getFileHandle(name: string, options?: { create?: boolean }): Promise<MemoryFile> {
    return this.#get(name, options, MemoryFile);
  }

  async removeEntry(name: string): Promise<void> {
    this.#intercept('remove', name);
    if (!this.children.delete(name)) throw absent(name);
  }

  async *entries(): AsyncGenerator<[string, MemoryFile | MemoryDirectory]> {
    yield* [...this.children];
  }

  #get<T extends MemoryFile | MemoryDirectory>(
    name: string,
    { create = false }: { create?: boolean } = {},
    kind: new (name: string, intercept: Intercept) => T,
  ): T {
    if (name === '' || name === '.' || name === '..' || name.includes('/')) throw new TypeError(`${name} is no name`);
    let child = this.children.get(name);
    if (!child) {
      if (!create) throw absent(name);
      this.#intercept('make', name);
      child = new kind(name, this.#intercept);
      this.children.set(name, child);
    }
    if (!(child instanceof kind)) throw new DOMException(`${name} is of another kind`, 'TypeMismatchError');
    return child;
  }
}
