// What this browser keeps for the page: pictures, the project that they belong to, and head vectors.
import { type DBSchema, type IDBPDatabase, openDB } from 'idb';
import type { FitSettings, ModelSource } from '../worker/work.ts';

/** The project as it is kept; its pictures are kept by id. */
export interface KeptProject {
  readonly question: string;
  readonly classes: readonly { readonly id: number; readonly name: string; readonly pictures: readonly number[] }[];
  readonly queries: readonly number[];
  readonly fit: FitSettings;
  /** Whether there was a classifier of these pictures. */
  readonly fitted: boolean;
  /** The checkpoint that was open, where it has an address. */
  readonly model?: ModelSource;
  /** A classifier that was read from a file. */
  readonly classifier?: { readonly name: string; readonly bytes: Uint8Array };
}

interface KeptPicture {
  readonly name: string;
  readonly file: Blob;
}

interface Kept extends DBSchema {
  /** One, under the key `project`. */
  projects: { key: string; value: KeptProject };
  pictures: { key: number; value: KeptPicture };
  /** Head vectors by the key that the library gives them. */
  features: { key: string; value: Uint8Array };
}

const stores = ['projects', 'pictures', 'features'] as const;

let opened: Promise<IDBPDatabase<Kept>> | undefined;

/** @throws where the browser keeps nothing for this page, as in some private windows. */
export function database(): Promise<IDBPDatabase<Kept>> {
  opened ??= openDB<Kept>('headlight', 2, {
    upgrade(db) {
      for (const name of db.objectStoreNames) db.deleteObjectStore(name); // of before the first release
      for (const name of stores) db.createObjectStore(name);
    },
    // Another tab wants a newer version: let it.
    blocking: () => void opened?.then((db) => db.close()),
  });
  return opened;
}

/** Deletes head vectors of all models. */
export async function forgetFeatures(): Promise<void> {
  await (await database()).clear('features');
}
