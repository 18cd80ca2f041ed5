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
