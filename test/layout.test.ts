// Where things are: imports go down only (docs/architecture.md), and no file imports itself through others.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

/** From the ground up. Rooms of one floor do not know each other. */
const floors = [
  ['base'],
  ['platform'],
  ['gpu'],
  ['kernels'],
  ['verify', 'checkpoint'],
  ['hub', 'model'],
  ['sav', 'analysis', 'tuning'],
  ['charts'],
  ['cli', 'index.ts'],
];

const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => `src/${file.replaceAll('\\', '/')}`);
const imports = new Map(
  files.map((file) => [
    file,
    Array.from(readFileSync(file, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']*)'/g), ([, path]) =>
      normalize(join(dirname(file), path)).replaceAll('\\', '/'),
    ),
  ]),
);

const roomOf = (file: string) => file.split('/')[1];
const floorOf = (file: string) => floors.findIndex((rooms) => rooms.includes(roomOf(file)));

describe('the layout of src', () => {
  it('every room has a floor, and a line in docs/architecture.md', () => {
    const rooms = new Set(files.map(roomOf));
    expect([...rooms].sort()).toEqual(floors.flat().sort());
    const page = readFileSync('docs/architecture.md', 'utf8');
    for (const room of rooms) expect(page, room).toContain(room === 'index.ts' ? '`src/index.ts`' : `\`src/${room}/\``);
  });

  it('imports go down only', () => {
    const up = [...imports].flatMap(([file, targets]) =>
      targets
        .filter((target) => roomOf(target) !== roomOf(file) && floorOf(target) >= floorOf(file))
        .map((target) => `${file} -> ${target}`),
    );
    expect(up).toEqual([]);
  });

  it('no file imports itself through others', () => {
    const done = new Set<string>();
    const visit = (file: string, path: readonly string[]): void => {
      if (path.includes(file)) throw new Error(`a circle: ${[...path.slice(path.indexOf(file)), file].join(' -> ')}`);
      if (done.has(file)) return;
      for (const target of imports.get(file) ?? []) visit(target, [...path, file]);
      done.add(file);
    };
    for (const file of files) visit(file, []);
    expect(done.size).toBe(files.length);
  });

  it('no room of src/model leads back to itself through others', () => {
    // A file that stands in no room is one by itself.
    const modelRoom = (file: string) => /^src\/model\/[^/]+/.exec(file)?.[0];
    const leads = new Map<string, Set<string>>();
    for (const [file, targets] of imports)
      for (const target of targets) {
        const [from, to] = [modelRoom(file), modelRoom(target)];
        if (from && to && from !== to) leads.set(from, (leads.get(from) ?? new Set()).add(to));
      }
    const visit = (room: string, path: readonly string[]): void => {
      if (path.includes(room)) throw new Error(`a circle: ${[...path.slice(path.indexOf(room)), room].join(' -> ')}`);
      for (const next of leads.get(room) ?? []) visit(next, [...path, room]);
    };
    for (const room of leads.keys()) visit(room, []);
    expect(leads.size).toBeGreaterThan(8);
  });

  it('one file makes schemas of the library, so that all are as strict', () => {
    const importers = files.filter((file) => /from 'valibot'/.test(readFileSync(file, 'utf8')));
    expect(importers).toEqual(['src/base/schema.ts']);
  });

  it('an import leads to a file', () => {
    for (const [file, targets] of imports)
      for (const target of targets) expect(imports.has(target), `${file} -> ${target}`).toBe(true);
  });
});
