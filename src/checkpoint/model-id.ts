import { batches, batchReader, type Checkpoint } from './checkpoint-files.ts';
import type { CheckpointTensor } from './checkpoint-tensor.ts';
import { whyIgnorable } from './names.ts';
import { isOurs } from './packed.ts';
import { sha256Hex } from './sha256.ts';

/** Tensors up to this size are hashed whole; of larger ones, `samples` stretches of `sampleBytes`. */
const wholeBytes = 1 << 20;
const samples = 4;
const sampleBytes = 16 << 10;

/** Keys of config.json that say who saved a model and how, not what it computes. */
const bookkeeping = new Set(['_name_or_path', 'transformers_version', 'torch_dtype', 'dtype']);

/**
 * A hash that ties features and classifiers to the model that made them: 64 hexadecimal digits.
 *
 * It covers config.json (without bookkeeping, in any order of keys) and, for every tensor that a forward pass can read, its
 * canonical name, dtype, shape and content: all of it up to 1 MiB, beyond that four stretches of 16 KiB spread evenly from
 * first to last byte. So it is the same for the same weights under other names or cut into other shards, differs between
 * finetunes (training moves nearly every number), dtypes and configurations, and reads some 50 MB of a 7B model rather
 * than 14 GB. It is no proof against an edit of single numbers inside a large tensor, by accident or malice: for that,
 * compare the files' own hashes. What `quantize` notes in config.json is left out: it names this id.
 *
 * @param config config.json, parsed.
 * @param known hashes of tensors whose bytes have gone by; the others are read.
 */
export async function modelId(
  config: unknown,
  checkpoint: Checkpoint,
  known: ReadonlyMap<CheckpointTensor, readonly string[]> = new Map(),
): Promise<string> {
  const packed = [...checkpoint.packed.values()].flatMap(({ buffers }) => buffers);
  const tensors = [...checkpoint.tensors.values(), ...packed].filter((t) => !whyIgnorable(t.canonical));
  const id = new PassingId();
  for (const tensor of tensors) if (known.has(tensor)) id.add(tensor, known.get(tensor)!);
  const unknown = tensors.filter((tensor) => !known.has(tensor));
  for (const batch of batches(unknown, (t) => t, wholeBytes)) {
    const read = await batchReader(checkpoint.folder, batch);
    for (const tensor of batch) {
      const { start, end } = tensor;
      const hashes: string[] = [];
      for (const [from, to] of sampledRanges(end - start))
        hashes.push(await sha256Hex(await read(start + from, start + to)));
      id.add(tensor, hashes);
    }
  }
  return id.of(config);
}

type Identified = Pick<CheckpointTensor, 'canonical' | 'dtype' | 'shape'>;

/** The same id, of tensors whose bytes pass by while they are written. */
export class PassingId {
  readonly #lines = new Map<string, string>();

  /** @param hashes of `sampledRanges`, in their order. */
  add({ canonical, dtype, shape }: Identified, hashes: readonly string[]): void {
    this.#lines.set(canonical, JSON.stringify([canonical, dtype, shape, hashes]));
  }

  /** Passes the pieces of a tensor on, which are `size` bytes together, and keeps what is sampled of them until they are over. */
  async *pass(tensor: Identified, size: number, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const samples = new Samples(size);
    let at = 0;
    for await (const piece of pieces) {
      samples.take(at, piece);
      at += piece.length;
      yield piece;
    }
    this.add(tensor, await samples.hashes());
  }

  /** @param config config.json, parsed. */
  of(config: unknown): Promise<string> {
    const inOrder = [...this.#lines.keys()].sort().map((name) => this.#lines.get(name));
    return sha256Hex(new TextEncoder().encode([canonicalJson(config), ...inOrder].join('\n')));
  }
}

/** Hashes stored tensors whose bytes go by while they are loaded. */
export class SeenTensors {
  /** Of those whose samples have all gone by: for `modelId`. */
  readonly hashes = new Map<CheckpointTensor, readonly string[]>();
  readonly #samples = new Map<CheckpointTensor, Samples>();

  /** @param start where in the file the bytes are from. */
  async take(tensor: CheckpointTensor, start: number, bytes: Uint8Array): Promise<void> {
    const samples = this.#samples.get(tensor) ?? new Samples(tensor.end - tensor.start);
    this.#samples.set(tensor, samples);
    samples.take(start - tensor.start, bytes);
    if (!samples.areComplete) return;
    this.hashes.set(tensor, await samples.hashes());
    this.#samples.delete(tensor);
  }
}

/** What is hashed of a tensor of `size` bytes, kept while these go by. */
class Samples {
  readonly #ranges: readonly { from: number; to: number; bytes: Uint8Array<ArrayBuffer> }[];
  #missing: number;

  constructor(size: number) {
    this.#ranges = sampledRanges(size).map(([from, to]) => ({ from, to, bytes: new Uint8Array(to - from) }));
    this.#missing = this.#ranges.reduce((sum, { bytes }) => sum + bytes.length, 0);
  }

  /** Whether all of it has gone by, if each byte did once. */
  get areComplete(): boolean {
    return this.#missing === 0;
  }

  /** @param at where in the tensor the piece begins. */
  take(at: number, piece: Uint8Array): void {
    for (const { from, to, bytes } of this.#ranges) {
      const [first, last] = [Math.max(from, at), Math.min(to, at + piece.length)];
      if (first >= last) continue;
      bytes.set(piece.subarray(first - at, last - at), first - from);
      this.#missing -= last - first;
    }
  }

  /** Of `sampledRanges`, in their order. */
  async hashes(): Promise<string[]> {
    const hashes: string[] = [];
    for (const { bytes } of this.#ranges) hashes.push(await sha256Hex(bytes));
    return hashes;
  }
}

/** Which bytes of a tensor of `size` bytes are hashed. */
export function sampledRanges(size: number): [start: number, end: number][] {
  if (size <= wholeBytes) return [[0, size]];
  return Array.from({ length: samples }, (_, i) => {
    const start = Math.floor(((size - sampleBytes) * i) / (samples - 1));
    return [start, start + sampleBytes];
  });
}

/** JSON with sorted keys and no spaces, bookkeeping left out at every level. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, v) =>
    typeof v === 'object' && v !== null && !Array.isArray(v)
      ? Object.fromEntries(
          Object.entries(v)
            .filter(([key, value]) => !bookkeeping.has(key) && !(key === 'quantization_config' && isOurs(value)))
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        )
      : v,
  );
}
