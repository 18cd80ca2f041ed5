// Pictures as the command line names them.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readPictures } from '../../src/cli/prompt.ts';

let folder: string;
const write = (name: string, byte: number) => writeFile(join(folder, name), Uint8Array.of(byte));
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-prompt-'));
  await mkdir(join(folder, 'empty'));
  for (const n of [10, 2, 1]) await write(`frame-${n}.png`, n);
  await write('frame-3.JPEG', 3);
  await write('notes.txt', 99);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('takes a folder for a video, its images for frames in the order of their numbers', async () => {
  const { videos } = await readPictures({ video: [folder] });
  expect(videos).toEqual([{ name: folder, frames: [1, 2, 3, 10].map((n) => new Uint8Array([n])) }]);
});

it('takes files for images and videos, in the order given', async () => {
  const [a, b] = [join(folder, 'frame-10.png'), join(folder, 'frame-2.png')];
  expect(await readPictures({ image: [a, b], video: [b] })).toEqual({
    images: [new Uint8Array([10]), new Uint8Array([2])],
    imageNames: [a, b],
    videos: [{ name: b, file: new Uint8Array([2]) }],
  });
  expect(await readPictures({})).toEqual({ images: [], imageNames: [], videos: [] });
});

it('names what is not there', async () => {
  const none = join(folder, 'none');
  await expect(readPictures({ image: [none] })).rejects.toThrow(`${none}: there is no such file`);
  await expect(readPictures({ video: [none] })).rejects.toThrow(`${none}: there is no such file`);
  const empty = join(folder, 'empty');
  await expect(readPictures({ video: [empty] })).rejects.toThrow(`${empty}: no images in it; --video takes`);
});
