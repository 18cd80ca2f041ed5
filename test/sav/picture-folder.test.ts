// Pictures and paths as they lie on a disk.
import { cp, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { readExamples } from '../../src/sav/data.ts';
import { byCodePoints, readPictureFolder } from '../../src/sav/picture-folder.ts';
import { promptSets } from '../../src/sav/prompt-sets.ts';
import { findUnreadable } from '../../src/sav/unreadable.ts';

let root: string;
beforeAll(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'headlight-pictures-')));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const put = async (...names: string[]) => {
  for (const name of names) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), name);
  }
};
const read = async (name: string, options: Parameters<typeof readPictureFolder>[1] = { question: 'q' }) => {
  const notices: string[] = [];
  const folder = await openFolder(join(root, name));
  const examples = await readPictureFolder(folder, { onNotice: (notice) => notices.push(notice), ...options });
  return { notices, examples, found: examples.map(({ source, label }) => [source.slice(root.length + 1), label]) };
};

describe('readPictureFolder', () => {
  it('takes folders by path, URL or opened, as readExamples does', async () => {
    await put('named/cat/1.png');
    await writeFile(join(root, 'named/t.csv'), 'image,label\ncat/1.png,cat\n');
    const path = join(root, 'named');
    for (const given of [path, pathToFileURL(path), pathToFileURL(path).href, await openFolder(path)]) {
      const asked = { question: 'q' };
      const [ofFolder] = await readPictureFolder(given, asked);
      const [ofFile] = await readExamples(given, 't.csv', asked);
      const [elsewhere] = await readExamples(root, 'named/t.csv', { ...asked, imageFolder: given });
      for (const { loadImages } of [ofFolder, ofFile, elsewhere])
        expect(new TextDecoder().decode((await loadImages())[0])).toBe('named/cat/1.png');
    }
    const folder =
      /^expected a data file's folder: its path or URL, its files or|^object is no checkpoint and no folder/;
    for (const given of [undefined, null, 5, {}])
      for (const read of [() => readPictureFolder(given as never), () => readExamples(given as never, 't.csv')])
        await expect(read()).rejects.toThrow(folder);
    await expect(readExamples(join(path, 't.csv'), undefined as never)).rejects.toThrow("expected a data file's name");
  });

  it('takes subfolders for classes, however deep pictures lie, by code points', async () => {
    await put(
      'a/dog/2.PNG',
      'a/dog/10.jpg',
      'a/dog/pups/é x.webp',
      'a/Cat/1.jpeg',
      'a/\u{1f600}/1.png',
      'a/\uff5e/1.png',
    );
    const { found, examples, notices } = await read('a');
    expect(found).toEqual([
      ['a/Cat/1.jpeg', 'Cat'],
      ['a/dog/10.jpg', 'dog'],
      ['a/dog/2.PNG', 'dog'],
      ['a/dog/pups/é x.webp', 'dog'],
      ['a/\uff5e/1.png', '\uff5e'],
      ['a/\u{1f600}/1.png', '\u{1f600}'],
    ]);
    expect(notices).toEqual([]);
    expect(examples[3].prompt).toBe('q');
    expect(new TextDecoder().decode((await examples[3].loadImages())[0])).toBe('a/dog/pups/é x.webp');
  });

  it('passes over what systems leave, and names what is no picture and what is empty', async () => {
    await put('b/cat/1.png', 'b/cat/.DS_Store', 'b/cat/._1.png', 'b/dog/Thumbs.db', 'b/.git/x.png', 'b/__MACOSX/x.png');
    await put('b/cat/notes.txt', 'b/readme.md', 'b/dog/1.png');
    await mkdir(join(root, 'b/bird'));
    const { found, notices } = await read('b');
    expect(found).toEqual([
      ['b/cat/1.png', 'cat'],
      ['b/dog/1.png', 'dog'],
    ]);
    expect(notices.map((notice) => notice.slice(root.length))).toEqual([
      '/b: 2 files are not named as pictures and are left out: "readme.md", "cat/notes.txt"',
      '/b: 1 class folder has no pictures: "bird"',
    ]);
  });

  it('follows links, but not in circles', async () => {
    await put('c/cat/1.png', 'elsewhere/2.png', 'elsewhere/3.png');
    await symlink(join(root, 'elsewhere'), join(root, 'c/dog'));
    await symlink(join(root, 'elsewhere/2.png'), join(root, 'c/cat/linked.png'));
    await symlink(join(root, 'c'), join(root, 'c/cat/all'));
    await symlink(join(root, 'c/cat'), join(root, 'c/cat/again'));
    await symlink(join(root, 'nowhere'), join(root, 'c/cat/broken.png'));
    const { found, notices, examples } = await read('c');
    expect(found).toEqual([
      ['c/cat/1.png', 'cat'],
      ['c/cat/broken.png', 'cat'],
      ['c/cat/linked.png', 'cat'],
      ['c/dog/2.png', 'dog'],
      ['c/dog/3.png', 'dog'],
    ]);
    expect(notices.sort().map((notice) => notice.slice(root.length))).toEqual([
      '/c/cat/again: links to a folder that holds it; left out',
      '/c/cat/all: links to a folder that holds it; left out',
    ]);
    expect((await findUnreadable(examples)).map(({ index }) => index)).toContain(1);
  });

  it('says what is wrong with a folder, and the way out', async () => {
    await put(
      'loose/cat/1.png',
      'loose/a.jpg',
      'flat/1.png',
      'flat/2.png',
      'parts/test/cat/1.png',
      'parts/Train/cat/1.png',
    );
    await put('none/cat/x.txt');
    await expect(read('loose')).rejects.toThrow(/loose: 1 picture lies beside the class folders \("a.jpg"\): put each/);
    await expect(read('flat')).rejects.toThrow(
      /flat: no class folders in it, but 2 pictures: put each in the folder of its/,
    );
    await expect(read('parts')).rejects.toThrow(
      /holds Train, test, which are no classes; name one of them, as .*parts.Train$/,
    );
    await expect(read('none')).rejects.toThrow(/no pictures in its class folders, but 1 other files: "cat\/x.txt"/);
    await expect(read('flat', { promptSet: promptSets.mhalubench, labels: 'optional' })).rejects.toThrow(
      /needs a field "claim"/,
    );
    await expect(read('flat', { labels: 'optional' })).rejects.toThrow('pictures come without a question');
    const nothing = { location: 'memory', read: async () => new Uint8Array() };
    await expect(readPictureFolder(nothing)).rejects.toThrow('memory: its files cannot be listed here');
  });

  it('takes all pictures for queries where labels are optional', async () => {
    const { found, examples } = await read('parts', { labels: 'optional', prompt: 'fitted' });
    expect(found).toEqual([
      ['parts/Train/cat/1.png', undefined],
      ['parts/test/cat/1.png', undefined],
    ]);
    expect(examples[0].prompt).toBe('fitted');
  });

  it('orders by code points, not by units of UTF-16', () => {
    const names = ['\u{1f600}', '\uff5e', 'b', 'a', 'ab', ''];
    expect(names.sort(byCodePoints)).toEqual(['', 'a', 'ab', 'b', '\uff5e', '\u{1f600}']);
  });
});

describe('paths of rows', () => {
  beforeAll(() => put('data/x.png', 'data/sub dir/é.png', 'data/e\u0301/\u00fc.png', 'private.png', 'shared/y.png'));
  const load = async (image: string, allowed?: string) => {
    await writeFile(join(root, 'data/t.jsonl'), JSON.stringify({ image, question: 'q', label: 'l' }));
    const allowedFolder = allowed === undefined ? undefined : await openFolder(join(root, allowed));
    const [example] = await readExamples(await openFolder(join(root, 'data')), 't.jsonl', { allowedFolder });
    return new TextDecoder().decode((await example.loadImages())[0]);
  };
  const inside = (name: string) => join(root, 'data', name);

  it('may be written in any way', async () => {
    for (const path of [
      'x.png',
      './x.png',
      '.\\x.png',
      'sub dir/../x.png',
      'sub dir\\..\\.\\x.png',
      './/x.png',
      'x.png/',
    ])
      expect(await load(path), path).toBe('data/x.png');
    for (const path of [
      inside('x.png'),
      inside('./sub dir/../x.png'),
      pathToFileURL(inside('x.png')).href,
      '../data/x.png',
    ])
      expect(await load(path), path).toBe('data/x.png');
    for (const path of ['sub dir/é.png', 'sub dir/e\u0301.png', pathToFileURL(inside('sub dir/é.png')).href])
      expect(await load(path), path).toBe('data/sub dir/é.png');
    for (const path of ['\u00e9/u\u0308.png', '\u00e9/\u00fc.png', 'e\u0301/u\u0308.png'])
      expect(await load(path), path).toBe('data/e\u0301/\u00fc.png');
    await symlink(inside('.'), join(root, 'other-way'));
    expect(await load(join(root, 'other-way', 'x.png'))).toBe('data/x.png');
  });

  it('may not leave the folder, unless another is allowed', async () => {
    const outside = ['../private.png', join(root, 'private.png'), pathToFileURL(join(root, 'private.png')).href];
    outside.push(
      '..\\private.png',
      'sub dir/../../private.png',
      `${root}/data/../private.png`,
      '/etc/passwd',
      '..',
      '.',
      '/',
    );
    outside.push('C:\\x.png', 'C:/x.png', 'c:x.png', '\\\\server\\x.png', 'file://server/x.png', 'FILE:///etc/passwd');
    outside.push('http://host/x.png', 'file:///%2e%2e/etc/passwd', `${inside('')}-other/x.png`, '', 'x\0.png');
    for (const path of outside.filter(Boolean)) await expect(load(path), path).rejects.toThrow(/outside|is no path/);
    for (const path of ['../shared/y.png', join(root, 'shared/y.png'), pathToFileURL(join(root, 'shared/y.png')).href])
      expect(await load(path, 'shared'), path).toBe('shared/y.png');
    await expect(load('../private.png', 'shared')).rejects.toThrow(
      /^t\.jsonl:1: '\.\.\/private\.png' is outside the data file's folder and outside .*shared; use a path inside it, or allow a folder that holds the pictures \(--allow-folder, allowedFolder\)$/,
    );
  });
});

describe('findUnreadable', () => {
  it('names what would end a run, and by decoding what is damaged inside', async () => {
    for (const name of ['photo.jpg', 'scene.png'])
      await cp(`test/fixtures/images/${name}`, join(root, 'd/ok', name), { recursive: true });
    await put('d/bad/text.png', 'd/bad/empty.jpg');
    await writeFile(join(root, 'd/bad/empty.jpg'), '');
    await mkdir(join(root, 'd/bad/folder.png'));
    const scene = new Uint8Array(await (await openFolder('test/fixtures/images')).read('scene.png'));
    await writeFile(join(root, 'd/bad/cut.png'), scene.subarray(0, scene.length / 2));
    const damaged = scene.slice();
    damaged.fill(0x55, 60, 90);
    await writeFile(join(root, 'd/bad/damaged.png'), damaged);
    await symlink('/dev/zero', join(root, 'd/bad/endless.png'));
    const { examples } = await read('d');
    const names = async (decode: boolean) =>
      (await findUnreadable(examples, { decode })).map(({ problem }) => problem.slice(root.length + 1).split(':')[0]);
    const bad = ['d/bad/cut.png', 'd/bad/empty.jpg', 'd/bad/endless.png', 'd/bad/text.png'];
    expect(await names(true)).toEqual([bad[0], 'd/bad/damaged.png', ...bad.slice(1)]);
    // What this code decodes itself, PNG among it, is looked into in any case.
    expect(await names(false)).toEqual(await names(true));
    const stop = AbortSignal.abort(new Error('stopped'));
    await expect(findUnreadable(examples, { signal: stop })).rejects.toThrow('stopped');
  });
});
