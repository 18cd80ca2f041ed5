// What is kept of a checkpoint, and how it is told: pieces of its files, and a record that is written after them. What the record does
// not name is not there, so that a piece whose writing ended half-way is never taken for a whole one.
import * as s from '../base/schema.ts';

/** Bytes [start, end) of a file, in a file of their own. */
export interface KeptPiece {
  readonly start: number;
  readonly end: number;
}

/** What is kept of one file. */
export interface KeptFile {
  readonly name: string;
  /** Names its pieces. Another one each time that a file is begun anew: pieces of two versions never meet. */
  readonly id: string;
  /** Of the whole file, in bytes. */
  size: number;
  /** `Folder.version`, where there is one. */
  readonly version?: string;
  readonly pieces: KeptPiece[];
}

/** What is kept of one checkpoint. */
export interface KeptRecord {
  readonly name: string;
  /** Whether all is there that a load asks for. */
  whole: boolean;
  readonly files: Map<string, KeptFile>;
  /** Files that were asked for, and do not exist. */
  readonly absent: Set<string>;
}

const recordName = 'kept.json';

/** To be raised with any change of what is stored: what another version has written is not read. */
const recordVersion = 1;

const size = s.int(0);
const recordSchema = s.strictObject({
  version: s.literal(recordVersion),
  name: s.string(),
  whole: s.boolean(),
  files: s.array(
    s.strictObject({
      name: s.string(),
      id: s.matching(/^[\w-]{1,64}$/, 'an id'),
      size,
      version: s.optional(s.string()),
      pieces: s.array(s.strictObject({ start: size, end: size })),
    }),
  ),
  absent: s.array(s.string()),
});

export const emptyRecord = (name: string): KeptRecord => ({
  name,
  whole: false,
  files: new Map(),
  absent: new Set(),
});

/** The name of the file that holds a piece. */
export const pieceName = ({ id }: KeptFile, start: number): string => `${id}.${start}`;

/** Of all that is kept. */
export const keptBytes = ({ files }: KeptRecord): number =>
  [...files.values()].reduce((sum, { pieces }) => pieces.reduce((all, { start, end }) => all + end - start, sum), 0);

/** What a folder of the store says that it has; undefined where it says nothing that can be read. */
export async function readRecord(directory: FileSystemDirectoryHandle): Promise<KeptRecord | undefined> {
  let json: unknown;
  try {
    json = JSON.parse(await (await (await directory.getFileHandle(recordName)).getFile()).text());
  } catch {
    return undefined;
  }
  const { value } = s.check(recordSchema, json);
  if (!value) return undefined;
  const { name, whole, files, absent } = value;
  return { name, whole, files: new Map(files.map((file) => [file.name, file])), absent: new Set(absent) };
}

/** Writes the record whole or not at all. */
export async function writeRecord(directory: FileSystemDirectoryHandle, record: KeptRecord): Promise<void> {
  const { name, whole, files, absent } = record;
  const text = JSON.stringify({ version: recordVersion, name, whole, files: [...files.values()], absent: [...absent] });
  const handle = await directory.getFileHandle(recordName, { create: true });
  const writable = await handle.createWritable(); // what is written takes the file's place when it is closed
  await writable.write(text);
  await writable.close();
}

/** Removes the files that the record does not name. */
export async function sweep(directory: FileSystemDirectoryHandle, record: KeptRecord): Promise<void> {
  const named = new Set([recordName]);
  for (const file of record.files.values()) for (const { start } of file.pieces) named.add(pieceName(file, start));
  const found: string[] = [];
  for await (const [name] of directory.entries()) found.push(name);
  for (const name of found) if (!named.has(name)) await directory.removeEntry(name);
}
