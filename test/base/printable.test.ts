import { describe, expect, it } from 'vitest';
import { printable, printableLine } from '../../src/base/printable.ts';
import { quote } from '../../src/base/quote.ts';
import { escapeMarkup, svgOf } from '../../src/charts/svg.ts';
import { csvCell } from '../../src/cli/csv.ts';
import { table } from '../../src/cli/table.ts';
import { hostileTexts, raw } from './hostile.ts';

const characters = Array.from({ length: 0x30000 }, (_, code) => String.fromCodePoint(code));
const tags = Array.from({ length: 0x80 }, (_, i) => String.fromCodePoint(0xe0000 + i));

describe('printable', () => {
  it('escapes what a terminal obeys or hides, and nothing else', () => {
    const changed = characters.filter((c) => printable(c) !== c).map((c) => c.codePointAt(0)!);
    const ranges = [
      [0, 8], // all but tab and line end
      [0xb, 0x1f],
      [0x7f, 0x9f],
      [0xad, 0xad],
      [0x61c, 0x61c],
      [0x200b, 0x200b], // not the joiners of letters and emoji
      [0x200e, 0x200f],
      [0x2028, 0x202e],
      [0x2060, 0x206f],
      [0xd800, 0xdfff],
      [0xfeff, 0xfeff],
      [0xfffe, 0xffff],
    ];
    expect(changed).toEqual(ranges.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, i) => from + i)));
    for (const c of tags) expect(printable(c)).toMatch(/^\\udb40\\udc[0-7][\da-f]$/);
    for (const text of ['naïve 日本語 🏳️‍🌈 👩‍👩‍👧', 'می‌خواهم', 'שלום', 'a\tb\nc', '\\u001b'])
      expect(printable(text)).toBe(text);
  });

  it('leaves JSON the same JSON', () => {
    for (const text of [characters.join(''), characters.toReversed().join(' '), tags.join(''), ...hostileTexts]) {
      const shown = printable(JSON.stringify({ [text]: [text] }));
      expect(raw.test(shown)).toBe(false);
      expect(JSON.parse(shown)).toEqual({ [text]: [text] });
    }
  });

  it('keeps a name on its line', () => {
    expect(printableLine('cat\nheadlight: all is well\r\tb')).toBe('cat\\nheadlight: all is well\\u000d\\tb');
    for (const text of hostileTexts) expect(printableLine(text)).not.toMatch(/\n|\t/);
    expect(table(['a\nb', 'c'], [['1\n2', '\u001b[31m']]).split('\n')).toHaveLength(2);
  });
});

describe('where text is put', () => {
  it.each(hostileTexts.map((text, i) => ({ text, i })))(
    '$i: is safe in a message, a cell, markup and a chart',
    async ({ text }) => {
      for (const shown of [quote(text), csvCell(text), escapeMarkup(text)]) expect(shown).not.toMatch(raw);
      expect(escapeMarkup(text)).not.toMatch(/[<>"']/);
      const svg = await svgOf(
        {
          title: text,
          data: { values: [{ x: text }] },
          mark: 'text',
          encoding: { text: { field: 'x', type: 'nominal' } },
        },
        {},
      );
      expect(svg).not.toMatch(raw);
      expect(svg).not.toMatch(/<script|<img/);
    },
  );

  it('a cell is quoted as RFC 4180 has it, and no formula in a spreadsheet', () => {
    expect(csvCell('a "b", c\nd')).toBe('"a ""b"", c\nd"');
    expect(csvCell('=HYPERLINK("http://x";"y")')).toBe(`"'=HYPERLINK(""http://x"";""y"")"`);
    for (const text of ["=cmd|' /C calc'!A0", '@SUM(1)', '+1+cmd|x', '-2+3|x', '\t=f(1)', '\n=f(1)'])
      expect(csvCell(text)).toMatch(/^"?'/);
    for (const text of ['-1', '+ve', '=', '->', '@', '', 'a=f(1)', 'x(1)']) expect(csvCell(text)).toBe(text);
    expect(csvCell(-1.5)).toBe('-1.5');
  });
});
