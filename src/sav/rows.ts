// Rows of a task's file, JSON Lines or CSV, hostile until checked: what they hold, not yet what it means.

import { quote, quoteValue } from '../base/quote.ts';
import * as s from '../base/schema.ts';
import { csvRows } from './csv.ts';
import { DataError } from './errors.ts';
import { isPictureName } from './picture-files.ts';
import { type PromptSet, templateFields } from './prompt-sets.ts';

/** A row's fields, checked. */
export interface Row {
  /** `file:line`. */
  readonly source: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Told of a row that cannot be used, in one line that names it. */
export type BadRow = (problem: string) => void;

/** The most that a file of rows may have: JavaScript's longest text, nearly. */
const maxBytes = 2 ** 28;

/** The field that `question` of `ReadOptions` may stand for. */
export const questionField = 'question';

/**
 * Rows of a file in its order. JSON Lines or CSV is told by the name, or else by the first character: `{` begins JSON Lines.
 * @param bad told of each row that is left out
 * @throws DataError naming the file, for what concerns all of it.
 */
export function parseRows(
  bytes: Uint8Array,
  file: string,
  { promptSet, labels, bad }: { promptSet: PromptSet; labels: 'required' | 'optional'; bad: BadRow },
): Row[] {
  const text = decodeUtf8(bytes, file);
  const entries = entriesOf(promptSet, labels);
  const schema = s.object(entries);
  const isTable = formatOf(text, file) === 'csv';
  let any = false;
  const tell: BadRow = (problem) => {
    any = true;
    bad(problem);
  };
  const found = isTable ? tableRows(text, file, Object.keys(entries), tell) : jsonRows(text, file, tell);
  const rows: Row[] = [];
  let first: unknown; // of the good rows, with all its fields
  for (const { source, fields } of found) {
    any = true;
    const { value, problems } = s.check(schema, fields);
    if (problems) {
      bad(problemOf(problems[0], fields, source));
      continue;
    }
    first ??= fields;
    rows.push({ source, fields: value });
  }
  if (!any)
    throw new DataError(
      `${file}: no examples; expected ${isTable ? 'rows under the header' : 'one JSON object a line'}`,
    );
  return withPictures(rows, first, file, promptSet, bad);
}

/** A file of rows without any pictures is a task on text. One row that lacks what others have is rather a slip. */
function withPictures(
  rows: readonly Row[],
  first: unknown,
  file: string,
  { imageFields: [image], videoField }: PromptSet,
  bad: BadRow,
): Row[] {
  const speaks = ({ fields }: Row) =>
    videoField === undefined || fields[image] !== undefined || fields[videoField] !== undefined;
  if (rows.some(speaks))
    return rows.filter((row) => {
      if (!speaks(row)) bad(`${row.source}: has no field '${image}' or '${videoField}' (null, where it is text alone)`);
      return speaks(row);
    });
  const isName = (value: unknown) => [value].flat().some((name) => typeof name === 'string' && isPictureName(name));
  const [other] = Object.entries(Object(first)).find(([, value]) => isName(value)) ?? [];
  if (other !== undefined)
    throw new DataError(
      `${file}: no row has '${image}', but ${quote(other)} holds what looks like a picture; call it '${image}'`,
    );
  return [...rows];
}

function formatOf(text: string, file: string): 'json' | 'csv' {
  const [first] = /\S/.exec(text) ?? [];
  if (first === '[' && !/\.(csv|tsv|jsonl|ndjson)$/i.test(file))
    throw new DataError(`${file}: is a JSON list; expected one object a line (jq -c '.[]' makes that of it)`);
  if (/\.(csv|tsv)$/i.test(file)) return 'csv';
  if (/\.(jsonl|ndjson|json)$/i.test(file)) return 'json';
  return first === '{' || first === undefined ? 'json' : 'csv';
}

function* jsonRows(text: string, file: string, bad: BadRow): Generator<{ source: string; fields: unknown }> {
  let line = 0;
  for (let at = 0; at <= text.length; ) {
    const end = text.indexOf('\n', at);
    const row = text.slice(at, end < 0 ? text.length : end).trim();
    at = end < 0 ? text.length + 1 : end + 1;
    line++;
    if (row === '') continue;
    const source = `${file}:${line}`;
    let fields: unknown;
    try {
      fields = JSON.parse(row);
    } catch (error) {
      bad(`${source}: not a JSON object: ${(error as Error).message}`);
      continue;
    }
    yield { source, fields };
  }
}

/** An empty cell is a field that is not there; columns of one name make a list. */
function* tableRows(
  text: string,
  file: string,
  known: readonly string[],
  bad: BadRow,
): Generator<{ source: string; fields: unknown }> {
  const table = csvRows(text, file);
  const { value: header } = table.next();
  if (!header) return;
  const columns = (header.cells as string[]).map(
    (name) => known.find((field) => field === name) ?? known.find((field) => same(field, name)) ?? name,
  );
  const needed = known[0]; // images come first in the schema
  if (!columns.some((name) => known.includes(name)))
    throw new DataError(
      `${file}:${header.line}: the first line names the columns, and none of these is one: ${columns.slice(0, 8).map(quote).join(', ')}; put ${known.slice(0, 3).join(',')} there (${needed} must be)`,
    );
  for (const { line, cells } of table) {
    const source = `${file}:${line}`;
    const more = cells.slice(columns.length);
    if (cells.length < columns.length || more.some((cell) => cell !== '')) {
      bad(
        cells.length < columns.length
          ? `${source}: has ${cells.length} of the header's ${columns.length} cells; leave a missing one empty, between delimiters`
          : `${source}: has ${cells.length} cells, the header ${columns.length} columns; quote a cell that holds the delimiter`,
      );
      continue;
    }
    const values = new Map<string, string[]>();
    for (const [c, name] of columns.entries())
      if (cells[c] !== '') values.set(name, [...(values.get(name) ?? []), cells[c]]);
    const fields = Array.from(values, ([name, list]) => [
      name,
      list.length > 1 || name === 'candidates' ? list : list[0],
    ]);
    yield { source, fields: Object.fromEntries(fields) };
  }
}

const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

/** The error of a field that may be of several kinds. */
const cannotStand = ({ input }: { readonly input: unknown }): string => `${kindOf(input)} cannot stand here`;

const word = s.is<string>((x) => typeof x === 'string' && x.trim() !== '', 'text');
/** In one form of Unicode, so that a folder's name and a file's text are the same label. */
const labelValue = s.pipe(
  s.union([word, s.number(), s.boolean()], cannotStand),
  s.transform((label) => String(label).trim().normalize('NFC')),
);
const imagePath = s.string(1);
const imagePaths = s.union([imagePath, s.list(imagePath, 0)], cannotStand);
const textValue = s.pipe(s.union([s.string(), s.number()], cannotStand), s.transform(String));

/** A row's fields; others are ignored, since published files carry many. Numbers and booleans pass as text. */
function entriesOf(set: PromptSet, labels: 'required' | 'optional') {
  const entries: Record<string, s.GenericSchema> = {};
  for (const [i, field] of set.imageFields.entries()) {
    const first = set.videoField === undefined ? imagePaths : s.nullish(imagePaths);
    entries[field] = i === 0 ? first : s.nullish(s.string());
  }
  entries[set.labelField] = labels === 'required' ? labelValue : absent(labelValue);
  for (const field of templateFields(set)) entries[field] = field === questionField ? absent(textValue) : textValue;
  if (set.videoField) entries[set.videoField] = s.nullish(s.union([imagePath, s.list(imagePath, 1)], cannotStand));
  if (set.groupField) entries[set.groupField] = textValue;
  entries.candidates = s.nullish(s.list(labelValue, 1));
  return entries;
}

/** Null is as absent. */
const absent = <S extends s.GenericSchema>(schema: S) =>
  s.pipe(
    s.nullish(schema),
    s.transform((value) => value ?? undefined),
  );

function problemOf({ path, message }: s.Problem, fields: unknown, source: string): string {
  const missing = path.length === 1 && !Object.hasOwn(Object(fields), path[0]);
  const field = path.join('.');
  if (missing) return `${source}: has no field '${field}'; it has ${fieldNames(fields)}`;
  return `${source}: ${field ? `field '${field}': ` : ''}${message}`;
}

/** A field's value, for people. In a table a list is what columns of one name make. */
function kindOf(value: unknown): string {
  if (value === '') return 'an empty text';
  if (Array.isArray(value)) return value.length ? 'a list (or columns of one name)' : 'an empty list';
  return typeof value === 'object' && value !== null ? 'an object' : quoteValue(value);
}

/** Names of a row's fields, as many as a line holds. */
export function fieldNames(row: unknown): string {
  const there = Object.entries(Object(row)).filter(([, value]) => value !== undefined && value !== null);
  const names = there.map(([name]) => quote(name));
  const more = names.length - 8;
  return `${names.slice(0, 8).join(', ') || 'none'}${more > 0 ? ` and ${more} more` : ''}`;
}

function decodeUtf8(bytes: Uint8Array, file: string): string {
  if (bytes.length > maxBytes)
    throw new DataError(
      `${file}: has ${Math.ceil(bytes.length / 2 ** 20)} MiB, ${maxBytes / 2 ** 20} are the most; split it`,
    );
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    if (isPictureName(file))
      throw new DataError(
        `${file}: is a picture, not rows; give a folder of class folders, or a CSV or JSON Lines that names pictures`,
      );
    const isWide = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
    throw new DataError(
      `${file}: is not UTF-8 text${isWide ? ' but UTF-16' : ''}; save it as UTF-8 (in Excel: “CSV UTF-8”)`,
    );
  }
}
