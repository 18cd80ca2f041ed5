// What head vectors and embeddings depend on beside the weights: caches and classifiers hold it, so that none outlives a
// change of it in silence.
import type { Folder } from '../platform/types.ts';
import { sha256Hex } from './sha256.ts';

/** What head vectors and embeddings depend on beside the weights. */
export interface MadeWith {
  /** Which numbers this code computes (`numericsVersion` of src/model/numerics.ts). */
  readonly numerics: number;
  /** The checkpoint's files that say how input is prepared, and the SHA-256 of what each one says. */
  readonly files: Readonly<Record<string, string>>;
}

/**
 * A folder that remembers which files were read whole, and what they said. So the record names just what a processor read,
 * whatever files a family has. JSON counts as it is parsed: spaces and line ends are no change.
 */
export class RecordingFolder implements Folder {
  readonly location: string;
  readonly #folder: Folder;
  readonly #hashes = new Map<string, string>();

  constructor(folder: Folder) {
    this.location = folder.location;
    this.#folder = folder;
  }

  has(name: string): Promise<boolean> {
    return this.#folder.has(name);
  }

  size(name: string): Promise<number> {
    return this.#folder.size(name);
  }

  async read(name: string, start?: number, end?: number): Promise<Uint8Array> {
    const bytes = await this.#folder.read(name, start, end);
    if (start === undefined && end === undefined) this.#hashes.set(name, await sha256Hex(said(name, bytes)));
    return bytes;
  }

  /** The files that were read, but for config.json, which `modelId` covers; by name. */
  get files(): Record<string, string> {
    const entries = [...this.#hashes].filter(([name]) => name !== 'config.json');
    return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}

function said(name: string, bytes: Uint8Array): string | Uint8Array {
  if (!name.endsWith('.json')) return bytes;
  try {
    return JSON.stringify(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return bytes; // whoever reads it says what is wrong with it
  }
}

/** Names of the files that differ between two records, in which one may lack a file that the other has. */
export function changedFiles(before: MadeWith, now: MadeWith): string[] {
  const names = new Set([...Object.keys(before.files), ...Object.keys(now.files)]);
  return [...names].filter((name) => before.files[name] !== now.files[name]).sort();
}
