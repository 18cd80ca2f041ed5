// The feature cache: one entry per example, under a key that names the model, the prompt and the image content.
//
// Entries are f32, 400 kB per example of a 28x28x128 model. f16 would halve that, but then a run that hits the cache
// and a run that misses it would rank heads from different numbers; with f32 the two are the same to the last bit.
//
// Entry: magic 'HLFV', then u32 version, nLayers, nHeads, dHead, then the SHA-256 of the values, then the values;
// all little-endian, as on every machine that has WebGPU.
import { sha256 } from '../checkpoint/sha256.ts';

/** Where entries are kept. `put` must replace as a whole (write beside, then rename): a reader never sees half of one. */
export interface FeatureStore {
  /** The entry under a key; undefined where there is none. */
  get(key: string): Promise<Uint8Array | undefined>;
  /** Keeps an entry, in the place of one that is there. */
  put(key: string, bytes: Uint8Array): Promise<void>;
}

/** Stores that could not be written once: they are read on, and not tried again. */
const unwritable = new WeakSet<FeatureStore>();

/**
 * Keeps an entry. A store that cannot be written (a full disk) does not end the work that it was to spare.
 * @param onNotice told once for each store.
 */
async function keepEntry(
  store: FeatureStore,
  key: string,
  entry: Uint8Array,
  onNotice?: (message: string) => void,
): Promise<void> {
  if (unwritable.has(store)) return;
  try {
    await store.put(key, entry);
  } catch (e) {
    if (!unwritable.has(store)) onNotice?.(`feature cache: ${(e as Error).message}; from here on nothing is kept`);
    unwritable.add(store);
  }
}

/** A store that lasts as long as the process. */
export class MemoryFeatureStore implements FeatureStore {
  /** What is kept, by key. */
  readonly entries = new Map<string, Uint8Array>();

  /** See `FeatureStore`. */
  async get(key: string): Promise<Uint8Array | undefined> {
    return this.entries.get(key);
  }

  /** See `FeatureStore`. */
  async put(key: string, bytes: Uint8Array): Promise<void> {
    this.entries.set(key, bytes);
  }
}

/** Something that is computed once and then kept. */
export interface Kept<T> {
  /** Everything that the value of an item depends on. */
  key(index: number): Promise<string>;
  decode(bytes: Uint8Array): Promise<T | { problem: string }>;
  encode(value: T): Promise<Uint8Array>;
  /** Told of each item, after its key: whether its value is to be computed. */
  plan(index: number, missing: boolean): Promise<void> | void;
  /** Values of some items, each as soon as it is there, in any order. */
  compute(indices: readonly number[]): AsyncIterable<readonly [index: number, value: T]>;
  /** What is done again where an entry is bad, for the notice: `train.jsonl:3 is computed again`. */
  again(index: number): string;
}

/** Where values are kept, and who is told of what happens. */
export interface StoreOptions {
  /** Where values are kept; nowhere by default. */
  readonly store?: FeatureStore;
  /** Ends the work; what is done is kept. */
  readonly signal?: AbortSignal;
  /** After each item: how many are done, of how many, and how many of them came from the store. */
  readonly onProgress?: (done: number, total: number, cached: number) => void;
  /** A thing the user should see: a damaged entry whose value was computed again, a store that cannot be written. */
  readonly onNotice?: (message: string) => void;
}

/**
 * Values of `count` items: first those that the store has, then the others, which are computed and kept in it, each as soon as it
 * is there.
 */
export async function* throughStore<T extends object>(
  count: number,
  kept: Kept<T>,
  { store, signal, onProgress, onNotice }: StoreOptions,
): AsyncGenerator<readonly [index: number, value: T]> {
  const keys = new Map<number, string | undefined>(); // of what is missing
  let [done, cached] = [0, 0];
  for (let index = 0; index < count; index++) {
    signal?.throwIfAborted();
    const key = store && (await kept.key(index));
    const bytes = store && key ? await store.get(key) : undefined;
    const entry = bytes && (await kept.decode(bytes));
    const found = entry && !('problem' in entry) ? entry : undefined;
    await kept.plan(index, !found);
    if (found) {
      onProgress?.(++done, count, ++cached);
      yield [index, found];
      continue;
    }
    if (entry) onNotice?.(`feature cache entry ${key} ${(entry as { problem: string }).problem}; ${kept.again(index)}`);
    keys.set(index, key);
  }
  for await (const [index, value] of kept.compute([...keys.keys()])) {
    const key = keys.get(index);
    if (store && key) await keepEntry(store, key, await kept.encode(value), onNotice);
    onProgress?.(++done, count, cached);
    yield [index, value];
  }
}

export interface EntryShape {
  nLayers: number;
  nHeads: number;
  dHead: number;
}

const MAGIC = [0x48, 0x4c, 0x46, 0x56];
const VERSION = 1;
const HEADER_BYTES = 20;
const VALUES_OFFSET = HEADER_BYTES + 32;

/** Bytes of one entry. `values` is [nLayers, nHeads, dHead]. */
export async function encodeEntry(values: Float32Array, shape: EntryShape): Promise<Uint8Array> {
  const payload = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const bytes = new Uint8Array(VALUES_OFFSET + payload.length);
  bytes.set(MAGIC);
  const view = new DataView(bytes.buffer);
  [VERSION, shape.nLayers, shape.nHeads, shape.dHead].forEach((field, i) => {
    view.setUint32(4 + 4 * i, field, true);
  });
  bytes.set(await sha256(payload), HEADER_BYTES);
  bytes.set(payload, VALUES_OFFSET);
  return bytes;
}

/** The values of an entry, or what is wrong with it, to be read after "the entry …". */
export async function decodeEntry(
  bytes: Uint8Array,
  shape: EntryShape,
): Promise<{ values: Float32Array } | { problem: string }> {
  if (bytes.length < VALUES_OFFSET) return { problem: `is too short (${bytes.length} bytes)` };
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) return { problem: 'is not a feature entry (wrong magic)' };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [version, ...stored] = [0, 1, 2, 3].map((i) => view.getUint32(4 + 4 * i, true));
  if (version !== VERSION) return { problem: `has format version ${version}, this build reads ${VERSION}` };
  const expected = [shape.nLayers, shape.nHeads, shape.dHead];
  if (expected.some((size, i) => stored[i] !== size)) {
    return { problem: `has shape [${stored.join(', ')}] instead of [${expected.join(', ')}]` };
  }
  const wanted = VALUES_OFFSET + 4 * shape.nLayers * shape.nHeads * shape.dHead;
  if (bytes.length !== wanted) return { problem: `has ${bytes.length} bytes instead of ${wanted}` };
  // A copy, aligned whatever the store returned. (Not `slice`: a Node Buffer's shares the memory.)
  const payload = new Uint8Array(bytes.subarray(VALUES_OFFSET));
  const digest = await sha256(payload);
  if (digest.some((byte, i) => bytes[HEADER_BYTES + i] !== byte)) return { problem: 'fails its checksum' };
  return { values: new Float32Array(payload.buffer) };
}
