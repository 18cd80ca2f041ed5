// The safetensors format: 8 bytes, the length N of the header as a little-endian u64; N bytes of JSON, which maps each
// tensor's name to its dtype, shape and the two offsets of its bytes in what follows; then those bytes, every one of them
// belonging to exactly one tensor. https://github.com/huggingface/safetensors#format
//
// Why not the npm package of that name (0.0.1): it throws on every file that has the optional __metadata__, which nearly all on the
// hub have, and it reads whole files into memory.
import { quote, showShape } from '../base/quote.ts';
import { CheckpointError } from './errors.ts';
import { JsonCursor } from './json-cursor.ts';
import { byteLength, dtypeBytes, type SafetensorsDType } from './safetensors-dtypes.ts';

/** The reference implementation refuses longer headers too. */
const maxHeaderLength = 100_000_000;

/** More than any library's tensors have; a list as long as the header may be would take a gigabyte. */
const maxRank = 64;

/** Where a tensor's bytes are in its file. `start` and `end` count from the start of the *file*; row-major, little-endian. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The `__metadata__` entry, empty where the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Random access to one file. */
export interface FileRange {
  /** Used in messages. */
  readonly name: string;
  readonly size: number;
  /** Bytes [start, end). */
  read(start: number, end: number): Promise<Uint8Array>;
}

/**
 * Reads and checks the header of a safetensors file, and nothing else of it.
 * @throws CheckpointError naming the file, the tensor and what to do.
 */
export async function readHeader(file: FileRange): Promise<SafetensorsHeader> {
  const length = headerLength(file.name, file.size, await file.read(0, Math.min(8, file.size)));
  return parseHeader(file.name, file.size, await file.read(8, 8 + length));
}

/** The same for a whole file in memory. */
export function parseSafetensors(name: string, bytes: Uint8Array): SafetensorsHeader {
  const length = headerLength(name, bytes.length, bytes.subarray(0, 8));
  return parseHeader(name, bytes.length, bytes.subarray(8, 8 + length));
}

/** The bytes of one tensor of a whole file in memory; a view, not a copy. */
export function tensorBytes(name: string, header: SafetensorsHeader, bytes: Uint8Array, tensor: string): Uint8Array {
  const info = header.tensors.get(tensor);
  if (!info) throw new CheckpointError(`${name}: no tensor ${quote(tensor)}`);
  return bytes.subarray(info.start, info.end);
}

function headerLength(file: string, size: number, prefix: Uint8Array): number {
  if (size < 8 || prefix.length < 8)
    throw new CheckpointError(`${file}: ${size} bytes are too few for a safetensors file; download it again`);
  if (size < 1024 && new TextDecoder().decode(prefix.subarray(0, 8)) === 'version ')
    throw new CheckpointError(
      `${file}: a Git LFS pointer, not the file itself; fetch it with: git lfs pull, or headlight download`,
    );
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > maxHeaderLength)
    throw new CheckpointError(
      `${file}: says that its header has ${length} bytes, the format's limit is ${maxHeaderLength}: this is not a safetensors file (another format renamed?)`,
    );
  if (8 + Number(length) > size)
    throw new CheckpointError(
      `${file}: its header alone needs ${8n + length} bytes, the file has ${size}: it is truncated; download it again`,
    );
  return Number(length);
}

function parseHeader(file: string, size: number, json: Uint8Array): SafetensorsHeader {
  const fail = (problem: string) => new CheckpointError(`${file}: bad safetensors header: ${problem}`);
  if (json[0] !== 0x7b) throw fail('it does not begin with {');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(json);
  } catch {
    throw fail('it is not UTF-8');
  }

  const dataStart = 8 + json.length;
  const metadata: [string, string][] = [];
  const infos: TensorInfo[] = [];
  const cursor = new JsonCursor(text, fail);
  cursor.object((name) => {
    if (name === '__metadata__') cursor.object((key) => metadata.push([key, cursor.string()]));
    else infos.push(readEntry(cursor, name, dataStart, fail));
  });
  cursor.end();

  infos.sort((a, b) => a.start - b.start || a.end - b.end);
  checkCoverage(file, infos, dataStart, size);
  return { tensors: new Map(infos.map((info) => [info.name, info])), metadata: Object.fromEntries(metadata) };
}

function readEntry(cursor: JsonCursor, name: string, dataStart: number, fail: (problem: string) => Error): TensorInfo {
  let dtype: string | undefined;
  let shape: number[] | undefined;
  let offsets: number[] | undefined;
  const integers = () => {
    const list: number[] = [];
    cursor.array(() => {
      if (list.push(cursor.integer()) > maxRank)
        throw fail(`tensor ${quote(name)} has more than ${maxRank} dimensions`);
    });
    return list;
  };
  cursor.object((field) => {
    if (field === 'dtype') dtype = cursor.string();
    else if (field === 'shape') shape = integers();
    else if (field === 'data_offsets') offsets = integers();
    else throw fail(`tensor ${quote(name)} has an unknown field ${quote(field)}`);
  });
  if (dtype === undefined || shape === undefined || offsets?.length !== 2)
    throw fail(`tensor ${quote(name)} needs dtype, shape and two data_offsets`);
  if (!isKnownDType(dtype))
    throw fail(
      `tensor ${quote(name)} has dtype ${quote(dtype)}; known are ${Object.keys(dtypeBytes).join(', ')}. Convert the checkpoint to F16 or BF16`,
    );
  const [start, end] = offsets;
  const expected = byteLength(dtype, shape);
  if (expected === undefined) throw fail(`tensor ${quote(name)}: shape ${showShape(shape)} is absurdly large`);
  if (end - start !== expected)
    throw fail(
      `tensor ${quote(name)}: ${dtype} ${showShape(shape)} takes ${expected} bytes, data_offsets [${start}, ${end}] hold ${end - start}`,
    );
  if (dataStart + end > Number.MAX_SAFE_INTEGER) throw fail(`tensor ${quote(name)}: data_offsets above 2^53`);
  return { name, dtype, shape, start: dataStart + start, end: dataStart + end };
}

const isKnownDType = (dtype: string): dtype is SafetensorsDType => Object.hasOwn(dtypeBytes, dtype);

/** `infos` sorted by offset: each must begin where the one before it ended, the first at 0, the last at the file's end. */
function checkCoverage(file: string, infos: readonly TensorInfo[], dataStart: number, size: number): void {
  let covered = dataStart;
  let previous: TensorInfo | undefined;
  for (const info of infos) {
    if (info.end > size)
      throw new CheckpointError(
        `${file}: tensor ${quote(info.name)} ends at byte ${info.end}, the file has ${size}: it is truncated; download it again`,
      );
    if (info.start !== covered) {
      const before = previous ? `tensor ${quote(previous.name)}` : 'the header';
      const problem = info.start < covered ? `overlaps ${before}` : `leaves a hole after ${before}`;
      throw new CheckpointError(
        `${file}: tensor ${quote(info.name)} starts at byte ${info.start}, not ${covered}: it ${problem}. The file is corrupt; download it again`,
      );
    }
    covered = info.end;
    previous = info;
  }
  if (covered !== size)
    throw new CheckpointError(
      `${file}: ${size - covered} bytes after the last tensor belong to none. The file is corrupt; download it again`,
    );
}
