/** What an adapter may be asked for. */
export interface AdapterOptions {
  powerPreference?: GPUPowerPreference;
  /** Insist on a software adapter. */
  software?: boolean;
}

/** A folder of files, wherever it is: on disk, behind a URL, picked in a page, or in memory. */
export interface Folder {
  /** Where it is, for messages: a path or a URL. */
  readonly location: string;
  /** `name` is relative to the folder, with `/` between segments. */
  has(name: string): Promise<boolean>;
  /** Bytes of a file. Throws where there is none. */
  size(name: string): Promise<number>;
  /** Bytes [start, end) of a file, by default all of them. */
  read(name: string, start?: number, end?: number): Promise<Uint8Array>;
}
