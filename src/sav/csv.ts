// Tables of text as spreadsheets and pandas write them: RFC 4180, and what else is common.
//
// Why our own: an error must name the line of the file, and the delimiter must follow from the header (European spreadsheets write
// semicolons). papaparse 5.7 tells rows, not lines; csv-parse 7.0 takes a list of delimiters, and then all of them at once.
import { DataError } from './errors.ts';

/** A row of a table: the line where it begins, and its cells. */
export interface TableRow {
  readonly line: number;
  readonly cells: readonly string[];
}

const delimiters = [',', ';', '\t'];

/**
 * Rows of a CSV, the header first; empty lines are passed over. Cells are parted by commas, semicolons or tabs, whichever gives
 * the header most cells (a first line `sep=;` says it). Line ends are LF, CRLF or CR. A cell in double quotes may hold all of
 * them, and `""` for a quote; other cells lose the spaces around them.
 * @throws DataError `file:line: …` where quotes do not close, or something follows a closing one.
 */
export function* csvRows(text: string, file: string): Generator<TableRow> {
  const said = /^sep=([,;\t])\r?\n/i.exec(text);
  const body = said ? text.slice(said[0].length) : text;
  const first = said ? 2 : 1;
  const delimiter = said?.[1] ?? likeliestDelimiter(body, file);
  yield* rowsBy(delimiter, body, file, first);
}

function likeliestDelimiter(text: string, file: string): string {
  const cells = delimiters.map((delimiter) => {
    try {
      return rowsBy(delimiter, text, file, 1).next().value?.cells.length ?? 0;
    } catch {
      return 0;
    }
  });
  return delimiters[cells.indexOf(Math.max(...cells))];
}

function* rowsBy(delimiter: string, text: string, file: string, firstLine: number): Generator<TableRow> {
  const plain = new RegExp(`[^${delimiter}\\r\\n]*`, 'y');
  const space = delimiter === '\t' ? / */y : /[ \t]*/y;
  const lineEnd = /\r\n|\r|\n|$/y;
  let line = firstLine;
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const [found] = pattern.exec(text) ?? [];
    at += found?.length ?? 0;
    return found;
  };
  const quoted = (): string => {
    const opened = line;
    let value = '';
    for (at++; ; at++) {
      const close = text.indexOf('"', at);
      if (close < 0) throw new DataError(`${file}:${opened}: a double quote opens here and never closes`);
      value += text.slice(at, close);
      at = close + 1;
      if (text[at] !== '"') break;
      value += '"';
    }
    line += value.match(/\r\n|\r|\n/g)?.length ?? 0;
    return value;
  };
  while (at < text.length) {
    const start = line;
    const cells: string[] = [];
    let empty = true;
    for (;;) {
      take(space);
      const isQuoted = text[at] === '"';
      cells.push(isQuoted ? quoted() : take(plain)!.trimEnd());
      empty &&= !isQuoted && cells[cells.length - 1] === '';
      take(space);
      if (text[at] === delimiter) {
        at++;
        continue;
      }
      if (take(lineEnd) !== undefined) break;
      throw new DataError(
        `${file}:${line}: ${JSON.stringify(text[at])} follows a closing double quote; write "" for a quote in a cell`,
      );
    }
    line++;
    if (!empty || cells.length > 1) yield { line: start, cells };
  }
}
