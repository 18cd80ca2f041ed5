// The files of this room, classifiers and projects: safetensors, so that Python opens them too, with settings as JSON in the
// metadata. Hostile until checked.
import { quote, showShape } from '../base/quote.ts';
import * as s from '../base/schema.ts';
import { parseSafetensors, type SafetensorsHeader, tensorBytes } from '../checkpoint/safetensors.ts';
import { type StoredTensor, writeSafetensors } from '../checkpoint/safetensors-writer.ts';

/** An error of what is wrong with a file. */
export type Fail = (problem: string) => Error;

/** A kind of file. */
export interface FileKind<S extends s.GenericSchema> {
  /** The metadata's `format`. */
  readonly format: string;
  /** The metadata's `version`s that are read; the last one is written. */
  readonly versions: readonly string[];
  /** Where the metadata has the settings. */
  readonly key: string;
  /** What such a file is, for messages: `a project`. */
  readonly what: string;
  readonly schema: S;
  /** Settings that are each of their kind, held against each other. */
  readonly disagreements: (settings: s.InferOutput<S>) => s.Problem[];
}

const share = s.number(0, 1);

/** `Refusal`. */
export const refusalSchema = s.strictObject({ abstain: s.optional(share), noneOfThese: s.optional(share) });

/** What ties head vectors to the model that made them. */
export const modelEntries = {
  modelId: s.string(1, 1000),
  precision: s.optional(s.string(0, 1000)),
  madeWith: s.optional(s.strictObject({ numerics: s.int(0), files: s.record(s.string(0, 1000), s.string(64, 64)) })),
  nLayers: s.int(1, 10_000),
  nHeads: s.int(1, 10_000),
  dHead: s.int(1, 100_000),
};

/** A file whose header and settings are checked. */
export interface SettingsFile<T> {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly header: SafetensorsHeader;
  readonly settings: T;
  readonly fail: Fail;
}

/** @throws what `fail` makes of the first problem. */
export function openSettingsFile<S extends s.GenericSchema>(
  kind: FileKind<S>,
  bytes: Uint8Array,
  name: string,
  fail: Fail,
): SettingsFile<s.InferOutput<S>> {
  let header: SafetensorsHeader;
  try {
    header = parseSafetensors(name, bytes);
  } catch {
    // The reader's own words are of a checkpoint: where its bytes end, and to download it again.
    throw fail(`is no whole safetensors file: damaged, or not ${kind.what}`);
  }
  const { format, version = '', [kind.key]: text } = header.metadata;
  if (format !== kind.format || text === undefined) throw fail(`is a safetensors file, but not ${kind.what}`);
  if (!kind.versions.includes(version))
    throw fail(`has ${kind.key} format version ${quote(version)}, this build reads ${kind.versions.join(' and ')}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw fail(`its settings are not JSON: ${(error as Error).message}`);
  }
  return { name, bytes, header, settings: checkSettings(kind, json, fail), fail };
}

/** The bytes of a file. The same content gives the same bytes. @throws what `fail` makes of settings that would not be read. */
export function writeSettingsFile<S extends s.GenericSchema>(
  kind: FileKind<S>,
  settings: unknown,
  tensors: readonly StoredTensor[],
  fail: Fail,
): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(checkSettings(kind, settings, fail));
  return writeSafetensors(tensors, { format: kind.format, version: kind.versions.at(-1)!, [kind.key]: text });
}

function checkSettings<S extends s.GenericSchema>(kind: FileKind<S>, json: unknown, fail: Fail): s.InferOutput<S> {
  const { value, problems } = s.check(kind.schema, json);
  const wrong = problems ?? kind.disagreements(value);
  if (!wrong.length) return value;
  throw fail(
    `bad settings: ${wrong
      .slice(0, 5)
      .map((problem) => s.describe(problem, 'settings'))
      .join('; ')}`,
  );
}

/** @throws for tensors that the file should not have. */
export function checkTensors(
  { header, fail }: SettingsFile<unknown>,
  expected: ReadonlySet<string>,
  what: string,
): void {
  const stray = [...header.tensors.keys()].filter((tensor) => !expected.has(tensor));
  if (stray.length === 0) return;
  const more = stray.length > 5 ? ` and ${stray.length - 5} more` : '';
  throw fail(`holds tensors that ${what} has: ${stray.slice(0, 5).map(quote).join(', ')}${more}`);
}

/** The bytes of a tensor, of the dtype and shape that it must have: a view. */
export function bytesOf(
  { name, bytes, header, fail }: SettingsFile<unknown>,
  tensor: string,
  dtype: StoredTensor['dtype'],
  shape: readonly number[],
): Uint8Array {
  const info = header.tensors.get(tensor);
  if (!info) throw fail(`has no tensor '${tensor}'`);
  if (info.dtype !== dtype || info.shape.length !== shape.length || shape.some((size, i) => info.shape[i] !== size)) {
    throw fail(`${tensor}: expected ${dtype} ${showShape(shape)}, the file has ${info.dtype} ${showShape(info.shape)}`);
  }
  return tensorBytes(name, header, bytes, tensor);
}

/** A copy of them, aligned. (Not `slice`: a Node Buffer's shares the memory.) */
export const copyOf = (...args: Parameters<typeof bytesOf>): ArrayBuffer => new Uint8Array(bytesOf(...args)).buffer;
