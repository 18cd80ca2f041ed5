import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { csvRows } from '../../src/sav/csv.ts';

const cells = (text: string) => Array.from(csvRows(text, 't.csv'), (row) => row.cells);

describe('csvRows', () => {
  it.each([
    [
      'commas',
      'a,b\n1,2',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'semicolons, as spreadsheets of half the world write',
      'a;b\n1,5;2',
      [
        ['a', 'b'],
        ['1,5', '2'],
      ],
    ],
    [
      'tabs',
      'a\tb\n1\t',
      [
        ['a', 'b'],
        ['1', ''],
      ],
    ],
    [
      'what sep= says',
      'sep=;\r\na,b;c\r\n1;2',
      [
        ['a,b', 'c'],
        ['1', '2'],
      ],
    ],
    [
      'CRLF, CR and empty lines',
      'a,b\r\n\r\n1,2\r3,4\n\n',
      [
        ['a', 'b'],
        ['1', '2'],
        ['3', '4'],
      ],
    ],
    [
      'quotes, with all in them',
      'a,b\n"x, ""y""\r\nz",2',
      [
        ['a', 'b'],
        ['x, "y"\r\nz', '2'],
      ],
    ],
    [
      'a delimiter in a quoted header',
      '"a;b;c",d\n1,2',
      [
        ['a;b;c', 'd'],
        ['1', '2'],
      ],
    ],
    [
      'spaces around cells, kept in quotes',
      'a, b \n 1 ," 2 "',
      [
        ['a', 'b'],
        ['1', ' 2 '],
      ],
    ],
    [
      'a quote amid a cell',
      'a,b\n5" pipe,2',
      [
        ['a', 'b'],
        ['5" pipe', '2'],
      ],
    ],
    ['one column', 'image\nx.png\n', [['image'], ['x.png']]],
    [
      'a row of empty cells',
      'a,b\n,\n',
      [
        ['a', 'b'],
        ['', ''],
      ],
    ],
    ['nothing', '', []],
  ])('takes %s', (_, text, expected) => expect(cells(text)).toEqual(expected));

  it('says on which line a row begins, and what is wrong with it', () => {
    expect(Array.from(csvRows('a,b\n"1\n2",3\n4,5', 't.csv'), ({ line }) => line)).toEqual([1, 2, 4]);
    expect(() => cells('a,b\n1,2\n3,"4\n5,6\n')).toThrow('t.csv:3: a double quote opens here and never closes');
    expect(() => cells('a,b\n1,"x"y\n')).toThrow('t.csv:2: "y" follows a closing double quote');
  });

  it('reads back what was written by RFC 4180', () => {
    const cell = fc.string({ unit: fc.constantFrom('a', 'é', ',', ';', '\t', '"', '\n', '\r', ' ', '😀') });
    const written = (text: string) => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(fc.array(fc.tuple(cell, cell), { minLength: 1 }), (rows) => {
        const text = ['image,label', ...rows.map((row) => row.map(written).join(','))].join('\r\n');
        expect(cells(text).slice(1)).toEqual(rows);
      }),
    );
  });
});
