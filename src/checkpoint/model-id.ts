import { batches, batchReader, type Checkpoint } from './checkpoint-files.ts';
import { whyIgnorable } from './names.ts';
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
 * compare the files' own hashes.
 *
 * @param config config.json, parsed.
 */
export async function modelId(config: unknown, checkpoint: Checkpoint): Promise<string> {
  const tensors = [...checkpoint.tensors.values()].filter((t) => !whyIgnorable(t.canonical));
  const lines = new Map<string, string>();
  for (const batch of batches(tensors, (t) => t, wholeBytes)) {
    const read = await batchReader(checkpoint.folder, batch);
    for (const { canonical, dtype, shape, start, end } of batch) {
      const hashes: string[] = [];
      for (const [from, to] of sampledRanges(end - start))
        hashes.push(await sha256Hex(await read(start + from, start + to)));
      lines.set(canonical, JSON.stringify([canonical, dtype, shape, hashes]));
    }
  }
  const inOrder = [...lines.keys()].sort().map((name) => lines.get(name));
  return sha256Hex(new TextEncoder().encode([canonicalJson(config), ...inOrder].join('\n')));
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
            .filter(([key]) => !bookkeeping.has(key))
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        )
      : v,
  );
}
