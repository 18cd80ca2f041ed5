import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { outputFile } from '../../src/cli/files.ts';
import { writeWhole } from '../../src/platform/node-write.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

it('writes a file whole, over another, and leaves nothing beside', async () => {
  const file = join(folder, 'new', 'a.json');
  await writeWhole(file, 'one');
  await writeWhole(file, 'two');
  expect(await readFile(file, 'utf8')).toBe('two');
  expect(await readdir(join(folder, 'new'))).toEqual(['a.json']);
});

it('writes into what is no plain file instead of taking its place', async () => {
  const [target, link] = [join(folder, 'target'), join(folder, 'link')];
  await writeFile(target, 'old');
  await symlink(target, link); // stands for /dev/null: a test must not risk that one
  await writeWhole(link, 'new');
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect(await readFile(target, 'utf8')).toBe('new');
  expect(await readdir(folder)).toEqual(['link', 'target']);
});

it('refuses before any work what cannot be written after it', async () => {
  await writeFile(join(folder, 'file'), 'x');
  for (const good of ['file', 'new', 'new/deep/file']) expect(outputFile(join(folder, good))).toBe(join(folder, good));
  expect(() => outputFile('')).toThrow('Name the file');
  expect(() => outputFile(folder)).toThrow('It is a folder');
  expect(() => outputFile(join(folder, 'file', 'a'))).toThrow(/file is no folder/);
  expect(await readdir(folder)).toEqual(['file']);
});

it('names the file where its folder is none', async () => {
  await writeFile(join(folder, 'file'), 'x');
  await expect(writeWhole(join(folder, 'file', 'a'), 'x')).rejects.toThrow(
    /file.a: cannot be written: a part of its path is a file, not a folder; .* \((EEXIST|ENOTDIR)\)/,
  );
  await expect(writeWhole('', 'x')).rejects.toThrow(/an empty name: cannot be written/);
});

it('names a folder', async () => {
  await mkdir(join(folder, 'out'));
  await expect(writeWhole(join(folder, 'out'), 'x')).rejects.toThrow(
    /out: cannot be written: it is a folder; name the file to write/,
  );
  expect(await readdir(folder)).toEqual(['out']);
});
