import { quote } from '../base/quote.ts';
import type { Folder } from '../platform/types.ts';
import { CheckpointError } from './errors.ts';
import { JsonCursor } from './json-cursor.ts';
import { canonicalName, detectLayout, type NameLayout } from './names.ts';
import { explainAbsence, indexFile, otherWeights, singleFile } from './not-a-checkpoint.ts';
import { type FileRange, readHeader, type TensorInfo } from './safetensors.ts';

export const maxIndexBytes = 100_000_000;

/** One tensor of a checkpoint. */
export interface CheckpointTensor extends TensorInfo {
  /** The file that holds it. `start` and `end` are offsets in this file. */
  readonly file: string;
  /** Its name in the one layout that the rest of the code knows (names.ts). */
  readonly canonical: string;
}

/** An opened checkpoint: every header read and checked, no weight read yet. */
export interface Checkpoint {
  readonly folder: Folder;
  /** By canonical name. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  readonly layout: NameLayout | undefined;
  readonly files: readonly string[];
  /** Bytes of all tensors. */
  readonly bytes: number;
}

/**
 * Opens `model.safetensors`, or else the shards that `model.safetensors.index.json` lists.
 * @throws CheckpointError for a folder without either, a bad header, or an index that does not fit its shards; where
 *   several things are wrong with the index, they are named all at once.
 */
export async function openCheckpoint(folder: Folder): Promise<Checkpoint> {
  const tensors = (await folder.has(singleFile))
    ? await shardTensors(folder, singleFile)
    : (await folder.has(indexFile))
      ? await indexedTensors(folder)
      : await explainAbsence(folder);

  const layout = detectLayout(tensors.map((t) => t.name));
  const byName = new Map<string, CheckpointTensor>();
  for (const tensor of tensors) {
    const canonical = canonicalName(tensor.name, layout);
    const other = byName.get(canonical);
    if (other)
      throw new CheckpointError(
        `${folder.location}: ${quote(tensor.name)} (${tensor.file}) and ${quote(other.name)} (${other.file}) are two names of one tensor, ${quote(canonical)}; delete one`,
      );
    byName.set(canonical, { ...tensor, canonical });
  }
  return {
    folder,
    tensors: byName,
    layout,
    files: [...new Set(tensors.map((t) => t.file))],
    bytes: tensors.reduce((total, t) => total + t.end - t.start, 0),
  };
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

type FileTensor = TensorInfo & { readonly file: string };

async function shardTensors(folder: Folder, file: string): Promise<FileTensor[]> {
  const { tensors } = await readHeader(await openFile(folder, file));
  return [...tensors.values()].map((info) => ({ ...info, file }));
}

async function indexedTensors(folder: Folder): Promise<FileTensor[]> {
  const weightMap = await readIndex(folder);
  const shards = shardNames(weightMap, folder.location);
  const missing: string[] = [];
  for (const shard of shards) if (!(await folder.has(shard))) missing.push(shard);
  if (missing.length > 0)
    throw CheckpointError.ofProblems(
      `${folder.location}: ${indexFile} names shards that are missing; download`,
      missing,
    );

  const found = new Map<string, FileTensor>();
  const problems: string[] = [];
  for (const shard of shards)
    for (const tensor of await shardTensors(folder, shard)) {
      const other = found.get(tensor.name);
      if (other) problems.push(`${quote(tensor.name)} is both in ${other.file} and in ${shard}`);
      else found.set(tensor.name, tensor);
    }
  // What the index says of single tensors is not relied on, as in transformers: the shards say it themselves, and a tensor
  // that the model needs and no shard has is missed later.
  if (problems.length > 0)
    throw CheckpointError.ofProblems(
      `${folder.location}: ${indexFile} does not fit the shards; download the checkpoint again`,
      problems,
    );
  return [...found.values()];
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
