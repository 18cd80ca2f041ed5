// CSV as commands write it (RFC 4180).
import { printable } from '../base/printable.ts';

/**
 * A cell of CSV, quoted where it must be. Text that a spreadsheet would run as a formula (`=HYPERLINK(…)`, `+cmd|…`) begins with
 * an apostrophe, which makes it text there: labels and file names come from strangers.
 */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return `${value}`;
  const text = printable(/^\s*[=+@-].*[(|!]/s.test(value) ? `'${value}` : value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A row by the names of its columns. */
export type CsvRow = Readonly<Record<string, string | number>>;

/** A line a row, with the names of the first row's columns on top. */
export function toCsv(rows: readonly CsvRow[]): string {
  const names = Object.keys(rows[0] ?? {});
  return [names.join(','), ...rows.map((row) => names.map((name) => csvCell(row[name])).join(','))]
    .map((line) => `${line}\n`)
    .join('');
}
