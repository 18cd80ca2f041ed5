// Head vectors that outlive the page: a picture is shown to a model once, whenever that was.
import { type FeatureStore, MemoryFeatureStore } from 'headlight-vlm/sav';
import { database } from './database.ts';

/** Keeps vectors in this browser; where it lets nothing be kept, for as long as the page is open. */
export class KeptFeatures implements FeatureStore {
  readonly #memory = new MemoryFeatureStore();
  readonly #onNote: (note: string) => void;
  #keeps = true;

  /** @param onNote told once, where nothing can be kept. */
  constructor(onNote: (note: string) => void) {
    this.#onNote = onNote;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    return (await this.#try(async () => (await database()).get('features', key))) ?? this.#memory.get(key);
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    await this.#try(async () => (await database()).put('features', bytes, key));
    if (!this.#keeps) await this.#memory.put(key, bytes);
  }

  async #try<T>(action: () => Promise<T>): Promise<T | undefined> {
    if (!this.#keeps) return undefined;
    try {
      return await action();
    } catch (error) {
      this.#keeps = false;
      this.#onNote(`This browser keeps nothing more for the page (${(error as Error).message}): it runs from memory.`);
      return undefined;
    }
  }
}
