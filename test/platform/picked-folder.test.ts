// Folders as pages get them. A browser's own: test/browser/picked.test.ts.
import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { readPictureFolder } from '../../src/sav/picture-folder.ts';
import { type Intercept, MemoryDirectory } from './memory-directory.ts';

const files = { 'config.json': '{}', 'cat/1.png': 'one', 'cat/deep/2.png': 'two', 'dog/1.png': 'three' };

const given = (names: Record<string, string>, top = 'photos'): File[] =>
  Object.entries(names).map(([path, text]) => {
    const file = new File([text], path.split('/').at(-1)!);
    return Object.defineProperty(file, 'webkitRelativePath', { value: top && `${top}/${path}` });
  });

async function handle(names: Record<string, string>, intercept?: Intercept): Promise<FileSystemDirectoryHandle> {
  const root = new MemoryDirectory('photos', intercept);
  for (const [path, text] of Object.entries(names)) {
    const segments = path.split('/');
    const name = segments.pop()!;
    let folder = root;
    for (const segment of segments) folder = await folder.getDirectoryHandle(segment, { create: true });
    (await folder.getFileHandle(name, { create: true })).bytes = new TextEncoder().encode(text);
  }
  return root.handle;
}

describe.each([
  ['of File objects', async () => given(files)],
  ['of a directory handle', () => handle(files)],
])('a folder %s', (_, make) => {
  it('has the files of the folder that was picked, by their paths in it', async () => {
    const folder = await openFolder(await make());
    expect(folder.location).toBe('photos');
    const text = async (name: string, start?: number, end?: number) =>
      new TextDecoder().decode(await folder.read(name, start, end));
    expect(await text('cat/deep/2.png')).toBe('two');
    expect(await text('dog/1.png', 1, 3)).toBe('hr');
    expect(await text('dog/1.png', 5)).toBe('');
    expect(await folder.size('dog/1.png')).toBe(5);
    expect(await Promise.all(['config.json', 'cat', 'none', 'cat/none', 'config.json/x'].map(folder.has))).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
    const byName = (entries: { name: string }[]) => entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    expect(byName(await folder.list!(''))).toEqual([
      { name: 'cat', kind: 'folder', realPath: 'cat' },
      { name: 'config.json', kind: 'file' },
      { name: 'dog', kind: 'folder', realPath: 'dog' },
    ]);
    expect(byName(await folder.list!('cat'))).toEqual([
      { name: '1.png', kind: 'file' },
      { name: 'deep', kind: 'folder', realPath: 'cat/deep' },
    ]);
    await expect(folder.read('cat/none')).rejects.toThrow('cat/none: there is no such file in photos');
    await expect(folder.read('dog/1.png', 0, 6)).rejects.toThrow('bytes 0 to 6 were asked for, the file has 5');
    for (const name of ['../config.json', '', 'cat//1.png', 'cat/./1.png', 'cat\\1.png'])
      for (const ask of [folder.has, folder.size, folder.read])
        await expect(ask(name)).rejects.toThrow('is not a file name inside photos');
  });

  it('is a list of labelled pictures', async () => {
    const notices: string[] = [];
    const examples = await readPictureFolder(await make(), { question: 'q', onNotice: (text) => notices.push(text) });
    expect(examples.map(({ source, label }) => [source, label])).toEqual([
      ['photos/cat/1.png', 'cat'],
      ['photos/cat/deep/2.png', 'cat'],
      ['photos/dog/1.png', 'dog'],
    ]);
    expect(new TextDecoder().decode((await examples[2].loadImages())[0])).toBe('three');
    expect(notices).toEqual([expect.stringContaining('config.json')]);
  });
});

describe('files that were picked', () => {
  it('by themselves go by their names, of which there may not be two', async () => {
    const queries = await readPictureFolder(given({ '2.png': 'b', '1.png': 'a' }, ''), {
      labels: 'optional',
      question: 'q',
    });
    expect(queries.map(({ source }) => source)).toEqual(['the given files/1.png', 'the given files/2.png']);
    const twice = [...given({ '1.png': 'a' }, ''), ...given({ '1.png': 'b' }, '')];
    await expect(openFolder(twice)).rejects.toThrow('1.png: two of the given files have this name');
  });

  it('and cannot be read any more, or not be looked at, are told of in a line', async () => {
    const [file] = given({ '1.png': 'a' });
    file.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotReadableError')) }) as never;
    await expect((await openFolder([file])).read('1.png')).rejects.toThrow(
      '1.png: it cannot be read (gone): it may have changed or moved since it was picked',
    );
    const refusing = await handle(files, (action) => {
      if (action === 'read') throw new DOMException('no', 'NotAllowedError');
    });
    await expect((await openFolder(refusing)).has('config.json')).rejects.toThrow(
      'config.json: it cannot be read (no)',
    );
  });

  it('must be files', async () => {
    await expect(openFolder([new Blob(['x'])] as never)).rejects.toThrow('a Blob has none: new File([blob], name)');
    await expect(openFolder({} as never)).rejects.toThrow('object is no checkpoint and no folder: give a path');
  });
});
