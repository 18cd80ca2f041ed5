import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFolder, readFileBytes } from '#platform';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'headlight-folder-'));
  mkdirSync(join(root, 'model', 'sub'), { recursive: true });
  writeFileSync(join(root, 'model', 'ten'), '0123456789');
  writeFileSync(join(root, 'model', 'empty'), '');
  writeFileSync(join(root, 'model', 'sub', 'a b.json'), '{}');
  writeFileSync(join(root, 'secret'), 'secret');
  symlinkSync(join(root, 'secret'), join(root, 'model', 'linked'));
});
afterAll(() => rmSync(root, { recursive: true }));

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

describe('a folder on disk', () => {
  test('is opened by path or file: URL', async () => {
    for (const location of [
      join(root, 'model'),
      pathToFileURL(join(root, 'model')),
      pathToFileURL(join(root, 'model')).href,
    ]) {
      const folder = await openFolder(location);
      expect(folder.location).toBe(join(root, 'model'));
      expect(text(await folder.read('ten'))).toBe('0123456789');
    }
  });

  test('reads ranges, whole files, and through symbolic links', async () => {
    const folder = await openFolder(join(root, 'model'));
    expect(text(await folder.read('ten', 3))).toBe('3456789');
    expect(text(await folder.read('ten', 3, 5))).toBe('34');
    expect(await folder.read('ten', 10, 10)).toHaveLength(0);
    expect(await folder.read('empty')).toHaveLength(0);
    expect(text(await folder.read('sub/a b.json'))).toBe('{}');
    expect(text(await folder.read('linked'))).toBe('secret');
    expect(await folder.size('ten')).toBe(10);
    expect(await folder.has('ten')).toBe(true);
    expect(await folder.has('sub')).toBe(false);
    expect(await folder.has('none')).toBe(false);
  });

  test.each(['../secret', 'sub/../../secret', '/etc/passwd', '', 'sub//x', './ten', 'C:\\x', 'sub\\x', 'ten\0'])(
    'has nothing outside: %j',
    async (name) => {
      const folder = await openFolder(join(root, 'model'));
      const message = `${JSON.stringify(name)} is not a file name inside`;
      await expect(folder.read(name)).rejects.toThrow(message);
      await expect(folder.size(name)).rejects.toThrow(message);
      await expect(folder.has(name)).rejects.toThrow(message);
    },
  );

  test.skipIf(process.platform === 'win32')(
    'takes names with a colon, which are no drives and no addresses',
    async () => {
      mkdirSync(join(root, 'model', 'colour:red'), { recursive: true });
      for (const name of ['colour:red/C:1.png', 'file:ten']) {
        writeFileSync(join(root, 'model', name), name);
        const folder = await openFolder(join(root, 'model'));
        expect(text(await folder.read(name))).toBe(name);
      }
    },
  );

  test('says which file is missing, a folder, or shorter than was asked for', async () => {
    const folder = await openFolder(join(root, 'model'));
    await expect(folder.read('none')).rejects.toThrow(`${join(root, 'model', 'none')}: there is no such file`);
    await expect(folder.size('none')).rejects.toThrow('there is no such file');
    await expect(folder.read('sub')).rejects.toThrow('not a file');
    await expect(folder.read('ten', 5, 11)).rejects.toThrow('ten: bytes 5 to 11 were asked for, the file has 10');
    await expect(folder.read('ten', 5, 4)).rejects.toThrow('bytes 5 to 4');
    await expect(folder.read('ten', -1, 4)).rejects.toThrow('bytes -1 to 4');
    await expect(openFolder(join(root, 'none'))).rejects.toThrow('there is no such folder');
    await expect(openFolder('https://example.com/model')).rejects.toThrow('give a path on this machine');
  });
});

test('readFileBytes reads a file, or names it', async () => {
  expect(text(await readFileBytes(join(root, 'secret')))).toBe('secret');
  await expect(readFileBytes(join(root, 'none'))).rejects.toThrow(`${join(root, 'none')}: there is no such file`);
  await expect(readFileBytes(root)).rejects.toThrow('it is a folder');
});
