// What comments and pages refer to is there: a reader who follows a reference must not find nothing.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';

/** Files that are made while a test runs are named there, and here. */
const others = /node_modules|test\/sav\/picture-folder\.test\.ts|test\/references\.test\.ts/;
const rooms = ['src', 'test', 'docs', 'tools', 'bench', '.ci'].filter((room) => existsSync(room));
const files = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  ...rooms.flatMap((room) =>
    readdirSync(room, { recursive: true, encoding: 'utf8' }).map((file) => `${room}/${file.replaceAll('\\', '/')}`),
  ),
].filter((file) => /\.(ts|md|py|mjs)$/.test(file) && !file.includes('/fixtures/') && !others.test(file));

/** Files that the examples of a page add. */
const added = new Set(
  Array.from(readFileSync('docs/extending.md', 'utf8').matchAll(/^~~~\w+ new (\S+)$/gm), ([, path]) => path),
);

/** A reference may start at the root, where it is said, or in a room of pages. */
const found = (from: string, path: string) =>
  (from === 'docs/extending.md' && added.has(path)) ||
  ['.', dirname(from), 'docs', 'docs/adr', 'test/reference'].some((base) => existsSync(join(base, path)));

const pattern = /(?<![\w/.<{$*-])((?:\.{1,2}\/)*(?:[\w-]+\/)*[\w.-]+\.md)\b/g;
const inSource = /(?<![\w/.<{$*-])((?:src|test|docs|tools|bench)\/(?:[\w.-]+\/)*[\w.-]+\.(?:ts|md|py|json))\b/g;

it('every .md and every path from the root that a file names is there', () => {
  const missing: string[] = [];
  for (const file of files) {
    const text = readFileSync(file, 'utf8');
    for (const each of [pattern, inSource])
      for (const [, path] of text.matchAll(each)) if (!found(file, path)) missing.push(`${file}: ${path}`);
  }
  expect(missing).toEqual([]);
});

it('every ADR that a file names by number is there', () => {
  const numbers = new Set(readdirSync('docs/adr').map((name) => Number(name.slice(0, 4))));
  const missing: string[] = [];
  for (const file of files)
    for (const [, number] of readFileSync(file, 'utf8').matchAll(/\bADR (\d+)/g))
      if (!numbers.has(Number(number))) missing.push(`${file}: ADR ${number}`);
  expect(missing).toEqual([]);
});
