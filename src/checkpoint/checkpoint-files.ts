import { quote } from '../base/quote.ts';
import type { Folder } from '../platform/types.ts';
import type { CheckpointTensor, FileTensor, StoredAs } from './checkpoint-tensor.ts';
import { CheckpointError } from './errors.ts';
import { JsonCursor } from './json-cursor.ts';
import { canonicalName, detectLayout, type NameLayout } from './names.ts';
import { explainAbsence, indexFile, otherWeights, singleFile } from './not-a-checkpoint.ts';
import { findPacked, type PackedMatrix, packingKey } from './packed.ts';
import { type FileRange, readHeader } from './safetensors.ts';
import { storedFormats } from './stored-formats.ts';

export const maxIndexBytes = 100_000_000;

/** An opened checkpoint: every header read and checked, no weight read yet. */
export interface Checkpoint {
  readonly folder: Folder;
  /** By canonical name; without those that packed matrices consist of. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Matrices that `quantize` has stored, by canonical name. */
  readonly packed: ReadonlyMap<string, PackedMatrix>;
  readonly layout: NameLayout | undefined;
  readonly files: readonly string[];
  /** Bytes of all tensors. */
  readonly bytes: number;
}

/**
 * Opens `model.safetensors`, or else the shards that `model.safetensors.index.json` lists.
 * @throws CheckpointError for a folder without either, a bad header, an index that does not fit its shards, or a packed matrix
 *   that cannot be one; where several things are wrong with the index or the matrices, they are named all at once.
 */
export async function openCheckpoint(folder: Folder): Promise<Checkpoint> {
  const files = (await folder.has(singleFile))
    ? [await openShard(folder, singleFile)]
    : (await folder.has(indexFile))
      ? await indexedShards(folder)
      : await explainAbsence(folder);
  const tensors = files.flatMap((file) => file.tensors);

  const layout = detectLayout(tensors.map((t) => t.name));
  const versions = new Map(files.map(({ name, metadata }) => [name, metadata[packingKey]]));
  const { packed, others, problems } = findPacked(tensors, (file) => versions.get(file));
  if (problems.length > 0)
    throw CheckpointError.ofProblems(
      `${folder.location}: quantised matrices that cannot be read; write the folder again with headlight quantize`,
      problems,
    );
  const canonical = (tensor: FileTensor): CheckpointTensor => ({
    ...tensor,
    canonical: canonicalName(tensor.name, layout),
  });
  const byName = new Map<string, CheckpointTensor>();
  const packedByName = new Map<string, PackedMatrix>();
  const names = new Map<string, FileTensor>();
  const claim = (name: string, tensor: FileTensor) => {
    const other = names.get(name);
    if (other)
      throw new CheckpointError(
        `${folder.location}: ${quote(tensor.name)} (${tensor.file}) and ${quote(other.name)} (${other.file}) are two names of one tensor, ${quote(name)}; delete one`,
      );
    names.set(name, tensor);
  };
  for (const tensor of others) {
    const own = canonical(tensor);
    claim(own.canonical, tensor);
    byName.set(own.canonical, own);
  }
  for (const matrix of packed) {
    const name = canonicalName(matrix.name, layout);
    claim(name, matrix.buffers[0]);
    packedByName.set(name, { ...matrix, buffers: matrix.buffers.map(canonical) });
  }
  return {
    folder,
    tensors: byName,
    packed: packedByName,
    layout,
    files: [...new Set(tensors.map((t) => t.file))],
    bytes: tensors.reduce((total, t) => total + t.end - t.start, 0),
  };
}

/** How a tensor is stored, by its canonical name. */
export function storedAs({ tensors, packed }: Checkpoint, name: string): StoredAs | undefined {
  const tensor = tensors.get(name);
  return tensor
    ? { name: tensor.name, shape: tensor.shape, format: storedFormats[tensor.dtype], buffers: [tensor] }
    : packed.get(name);
}

/** Whether a folder has weights, in this format or in one that `openCheckpoint` refuses with advice. */
export async function hasWeights(folder: Folder): Promise<boolean> {
  for (const file of [singleFile, indexFile, ...otherWeights]) if (await folder.has(file)) return true;
  return false;
}

/** A file of a folder for `readHeader` and the like. */
async function openFile(folder: Folder, name: string): Promise<FileRange> {
  return { name, size: await folder.size(name), read: (start, end) => readRange(folder, name, start, end) };
}

/** Bytes [start, end) of a file, all of them: a file that shrank under our hands is an error, not a short answer. */
export async function readRange(folder: Folder, name: string, start: number, end: number): Promise<Uint8Array> {
  const bytes = await folder.read(name, start, end);
  if (bytes.length !== end - start)
    throw new CheckpointError(
      `${name}: asked for bytes ${start} to ${end}, got ${bytes.length}: the file changed while it was read (${folder.location})`,
    );
  return bytes;
}

/**
 * Groups tensors so that each group can be fetched by one read: tensors that follow each other in one file without a gap,
 * `maxBytes` together at most. A larger tensor is a group of its own. A model has hundreds of tensors of a few kilobytes,
 * and over HTTP every read is a request.
 * @returns groups, and tensors within them, in the order of the files.
 */
export function batches<T>(items: readonly T[], tensorOf: (item: T) => CheckpointTensor, maxBytes: number): T[][] {
  const sorted = [...items].sort((x, y) => {
    const [a, b] = [tensorOf(x), tensorOf(y)];
    return a.file === b.file ? a.start - b.start || a.end - b.end : a.file < b.file ? -1 : 1;
  });
  const groups: T[][] = [];
  let first: CheckpointTensor | undefined;
  let last: CheckpointTensor | undefined;
  for (const item of sorted) {
    const tensor = tensorOf(item);
    if (first && tensor.file === first.file && tensor.start === last!.end && tensor.end - first.start <= maxBytes)
      groups.at(-1)!.push(item);
    else {
      groups.push([item]);
      first = tensor;
    }
    last = tensor;
  }
  return groups;
}

/** Reads ranges of one batch: fetched at once where it has several tensors, each range by itself where it has one. */
export async function batchReader(
  folder: Folder,
  batch: readonly CheckpointTensor[],
): Promise<(start: number, end: number) => Promise<Uint8Array>> {
  const { file, start: first } = batch[0];
  if (batch.length === 1) return (start, end) => readRange(folder, file, start, end);
  const bytes = await readRange(folder, file, first, batch.at(-1)!.end);
  return async (start, end) => bytes.subarray(start - first, end - first);
}

/** A file of weights, its header read. */
interface Shard {
  readonly name: string;
  readonly tensors: readonly FileTensor[];
  readonly metadata: Readonly<Record<string, string>>;
}

async function openShard(folder: Folder, name: string): Promise<Shard> {
  const { tensors, metadata } = await readHeader(await openFile(folder, name));
  return { name, metadata, tensors: [...tensors.values()].map((info) => ({ ...info, file: name })) };
}

async function indexedShards(folder: Folder): Promise<Shard[]> {
  const weightMap = await readIndex(folder);
  const names = shardNames(weightMap, folder.location);
  const missing: string[] = [];
  for (const name of names) if (!(await folder.has(name))) missing.push(name);
  if (missing.length > 0)
    throw CheckpointError.ofProblems(
      `${folder.location}: ${indexFile} names shards that are missing; download`,
      missing,
    );

  const shards: Shard[] = [];
  const found = new Map<string, FileTensor>();
  const problems: string[] = [];
  for (const name of names) {
    const shard = await openShard(folder, name);
    shards.push(shard);
    for (const tensor of shard.tensors) {
      const other = found.get(tensor.name);
      if (other) problems.push(`${quote(tensor.name)} is both in ${other.file} and in ${name}`);
      else found.set(tensor.name, tensor);
    }
  }
  // What the index says of single tensors is not relied on, as in transformers: the shards say it themselves, and a tensor
  // that the model needs and no shard has is missed later.
  if (problems.length > 0)
    throw CheckpointError.ofProblems(
      `${folder.location}: ${indexFile} does not fit the shards; download the checkpoint again`,
      problems,
    );
  return shards;
}

/** The index's `weight_map`: tensor name to shard. */
async function readIndex(folder: Folder): Promise<Map<string, string>> {
  const size = await folder.size(indexFile);
  if (size > maxIndexBytes)
    throw new CheckpointError(`${indexFile}: ${size} bytes, more than any index of shards needs (${folder.location})`);
  return parseIndex(await readRange(folder, indexFile, 0, size), folder.location);
}

/** The `weight_map` of an index's bytes. @throws CheckpointError for what is no index, naming `location`. */
export function parseIndex(bytes: Uint8Array, location: string): Map<string, string> {
  const fail = (problem: string) => new CheckpointError(`${indexFile}: ${problem} (${location})`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw fail('it is not UTF-8');
  }
  const weightMap = new Map<string, string>();
  const cursor = new JsonCursor(text, fail);
  cursor.object((key) => {
    if (key === 'weight_map') cursor.object((name) => weightMap.set(name, cursor.string()));
    else cursor.skip();
  });
  cursor.end();
  if (weightMap.size === 0) throw fail('it has no weight_map, or an empty one');
  return weightMap;
}

/** The shards of an index, each once. @throws CheckpointError for one that is outside the folder. */
export function shardNames(weightMap: ReadonlyMap<string, string>, location: string): string[] {
  const shards = [...new Set(weightMap.values())].sort();
  const unsafe = shards.filter((shard) => !isInside(shard));
  if (unsafe.length > 0)
    throw CheckpointError.ofProblems(
      `${indexFile}: shards must be .safetensors files inside the folder (${location}), but it names`,
      unsafe.map(quote),
    );
  return shards;
}

/** A relative path that stays in the folder whatever a file system or a URL makes of it. */
function isInside(path: string): boolean {
  return (
    path.endsWith('.safetensors') &&
    !/[\p{Cc}\\:%?#]/u.test(path) &&
    path.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..')
  );
}
