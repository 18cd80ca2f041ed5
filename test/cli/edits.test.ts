import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readEdits } from '../../src/cli/edits.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-edits-'));
});
afterAll(() => rm(folder, { recursive: true }));

const read = async (text: string) => {
  const edits = join(folder, 'edits.json');
  await writeFile(edits, text);
  return readEdits({ edits });
};

it('reads ranges, lists and vectors', async () => {
  const text = '[{"at":"a","positions":[3],"set":[1,2]},{"at":"b","keys":{"at":[1,-1]},"positions":[1,2],"scale":0}]';
  expect(await read(text)).toEqual([
    { at: 'a', positions: [3], set: Float32Array.of(1, 2) },
    { at: 'b', keys: { at: [1, -1] }, positions: [1, 2], scale: 0 },
  ]);
});

it.each([
  [
    '[{"at":"a","set":0,"positions":[1,2,3]}]',
    /edits\.json: 0\.positions: give a position, \[start\], \[start, end\] or/,
  ],
  ['[{"at":"a","set":0,"positions":"last"}]', /0\.positions: give a position/],
  ['[{"at":"a","set":"0"}]', /0\.set: give a number, or a list of numbers/],
  ['[{"at":"a","set":1e400}]', /0\.set: give a number/],
  ['[{"at":"a","set":0,"__proto__":{"heads":[0]}}]', /edits\.json: 0: Unrecognized key: "__proto__"/],
  ['{}', /edits\.json: the file: .*expected array/],
  ['[', /edits\.json: not JSON/],
])('says what is wrong with %s', async (text, message) => {
  await expect(read(text)).rejects.toThrow(message);
});

it('says of a file that is not there that it is not there', async () => {
  await expect(readEdits({ edits: join(folder, 'none.json') })).rejects.toThrow(/none\.json: there is no such file/);
});
