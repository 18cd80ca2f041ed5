import { printableLine } from '../base/printable.ts';

/** Rows of text in columns, numbers to the right; each a line, whatever its cells hold. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map(printableLine));
  const widths = header.map((_, c) => cells.reduce((most, row) => Math.max(most, row[c].length), 0));
  return cells
    .map((row) =>
      row
        .map((cell, c) => (c === 0 || c === row.length - 1 ? cell.padEnd(widths[c]) : cell.padStart(widths[c])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
