// The results as a table for other programs.
import type { Picture } from '../state/project.ts';
import type { Answered } from '../worker/work.ts';

/** A cell as RFC 4180 has it. What a spreadsheet would take for a formula begins with an apostrophe. */
function cell(value: string | number | undefined): string {
  if (typeof value !== 'string') return value === undefined ? '' : String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A row for each picture that has an answer. */
export function csvOf(pictures: readonly Picture[], answers: ReadonlyMap<number, Answered>): string {
  const rows = pictures.flatMap(({ id, name }) => {
    const answer = answers.get(id);
    if (!answer) return [];
    const { label, refused, winner, confidence, heads } = answer;
    const votes = heads.filter((head) => head.label === winner).length;
    return [[name, label ?? '', refused ?? '', winner, confidence, votes, heads.length]];
  });
  const header = ['picture', 'label', 'refused', 'winner', 'confidence', 'votes', 'heads'];
  return [header, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}
