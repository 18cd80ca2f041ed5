import { FileError } from './errors.ts';
import type { KeptTexts } from './types.ts';

const storeName = 'texts';

/** A database of this page's origin (IndexedDB). Browsers may drop it where they run out of space. */
export function keptTexts(name: string): KeptTexts {
  const database = `headlight ${name}`;
  const location = (key: string) => `IndexedDB "${database}", ${key}`;
  /** Ends when the transaction has: what was put is then kept. */
  const within = async <T>(key: string, mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest<T>) => {
    try {
      const opening = indexedDB.open(database, 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore(storeName);
      const opened = await ended(opening, 'success', () => opening.result);
      try {
        const transaction = opened.transaction(storeName, mode);
        const request = ask(transaction.objectStore(storeName));
        return await ended(transaction, 'complete', () => request.result);
      } finally {
        opened.close();
      }
    } catch (e) {
      throw new FileError(`${location(key)}: ${(e as Error | null)?.message ?? 'this page cannot use it'}`, {
        cause: e,
      });
    }
  };
  return {
    location,
    async get(key) {
      const found: unknown = await within(key, 'readonly', (store) => store.get(key));
      return found === undefined ? undefined : String(found);
    },
    async put(key, text) {
      await within(key, 'readwrite', (store) => store.put(text, key));
    },
  };
}

/** What it has when it fires `name`; rejects where it fails, is aborted, or waits for another tab. */
const ended = <T>(target: IDBOpenDBRequest | IDBTransaction, name: string, result: () => T): Promise<T> =>
  new Promise((resolve, reject) => {
    target.addEventListener(name, () => resolve(result()));
    for (const failure of ['error', 'abort', 'blocked']) target.addEventListener(failure, () => reject(target.error));
  });
