// Folders and pictures as Chromium has them: picked, dropped, in its private file system; drawn, filmed.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeImage } from '#platform';
import { chromiumPath, RepositoryPage } from '../chromium.ts';
import { plain, serveFolder } from '../served-folder.ts';

const pictures = 'weights/tiny-llava/tasks/images/warm-cool';
const classes = { warm: readdirSync(pictures).slice(0, 3), cool: readdirSync(pictures).slice(3, 5) };
const rows = Object.entries(classes)
  .flatMap(([label, names]) => names.map((name) => [`${label}/${name}`, label]))
  .sort(([a], [b]) => (a < b ? -1 : 1));
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

const title = 'what Chromium gives a page';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  let browser: RepositoryPage;
  let root: string;
  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'headlight-picked-'));
    for (const [label, names] of Object.entries(classes)) {
      mkdirSync(join(root, label));
      for (const name of names) writeFileSync(join(root, label, name), readFileSync(`${pictures}/${name}`));
    }
    browser = await RepositoryPage.open();
    await browser.page.setContent('<input type="file" webkitdirectory>');
  });
  afterAll(async () => {
    await browser?.close();
    rmSync(root, { recursive: true });
  });

  const inPage = <T>(body: string): Promise<T> =>
    browser.page.evaluate<T>(`(async () => {
      const { decodeImage, ImageError, openFolder, readPictureFolder, VisionLanguageModel } = await import(self.origin + '/bundle.js');
      const sha256 = async (bytes) =>
        Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), (b) => b.toString(16).padStart(2, '0')).join('');
      const files = () => [...document.querySelector('input').files];
      const fetched = async (path) => (await fetch('/' + path)).blob();
      const read = async (given) => {
        const { location } = await openFolder(given);
        const examples = await readPictureFolder(given, { question: 'q' });
        return Promise.all(examples.map(async ({ source, label, loadImages }) =>
          [source.slice(location.length + 1), label, await sha256((await loadImages())[0])]));
      };
      ${body}
    })()`);
  const expected = rows.map(([path, label]) => [
    path,
    label,
    sha256(readFileSync(`${pictures}/${path.split('/')[1]}`)),
  ]);

  /** Copies the files that were picked to where \`folderAt\` and \`write\` put them. */
  const copied = `for (const file of files()) {
    const [, label, name] = file.webkitRelativePath.split('/');
    await write(await folderAt(label), name, file);
  }`;

  it('class folders: from an input, OPFS and a dropped entry', async () => {
    await browser.page.setInputFiles('input', root);
    expect(await inPage('return read(files())')).toEqual(expected);
    const opfs = `const directory = await (await navigator.storage.getDirectory()).getDirectoryHandle('photos', { create: true });
      const folderAt = (label) => directory.getDirectoryHandle(label, { create: true });
      const write = async (folder, name, file) => {
        const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
        await writable.write(file);
        await writable.close();
      };
      ${copied}
      return read(directory);`;
    expect(await inPage(opfs)).toEqual(expected);
    // The file system of entries, which Chromium also lets a page write to.
    const entry = `const { root } = await new Promise((done, fail) => webkitRequestFileSystem(TEMPORARY, 1e7, done, fail));
      const make = (folder, how, ...rest) => new Promise((done, fail) => folder[how](...rest, { create: true }, done, fail));
      const photos = await make(root, 'getDirectory', 'photos');
      const folderAt = (label) => make(photos, 'getDirectory', label);
      const write = async (folder, name, file) => {
        const writer = await new Promise(async (done, fail) => (await make(folder, 'getFile', name)).createWriter(done, fail));
        await new Promise((done, fail) => Object.assign(writer, { onwriteend: done, onerror: fail }).write(file));
      };
      ${copied}
      return { found: await read(photos), none: await (await openFolder(photos)).has('none/x.png') };`;
    expect(await inPage(entry)).toEqual({ found: expected, none: false });
  });

  it('a checkpoint, picked', async () => {
    await browser.page.setInputFiles('input', 'test/fixtures/checkpoints/llava-bf16');
    const load = (source: string) =>
      inPage<string>(`const model = await VisionLanguageModel.load(${source}); model.destroy(); return model.modelId`);
    expect(await load('files()')).toBe(await load("'/test/fixtures/checkpoints/llava-bf16'"));
  });

  it('pictures that are drawn have the pixels of their files', async () => {
    const files = [
      'test/fixtures/images/photo.jpg',
      'test/fixtures/images/exif-6.jpg',
      `${pictures}/${classes.warm[0]}`,
    ];
    for (const file of files) {
      const { width, height, data } = await decodeImage(new Uint8Array(readFileSync(file)));
      const found = await inPage<Record<string, unknown>>(`
        const file = await fetched('${file}');
        const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none' });
        const { width, height } = bitmap;
        const canvas = Object.assign(document.createElement('canvas'), { width, height });
        canvas.getContext('2d').drawImage(bitmap, 0, 0);
        const offscreen = new OffscreenCanvas(width, height);
        offscreen.getContext('2d').drawImage(bitmap, 0, 0);
        const frame = new VideoFrame(canvas, { timestamp: 0 });
        const sources = { file, bytes: await file.arrayBuffer(), bitmap, canvas, offscreen, frame,
          pixels: offscreen.getContext('2d').getImageData(0, 0, width, height) };
        const found = {};
        for (const [kind, source] of Object.entries(sources)) {
          const { width, height, data } = await decodeImage(source);
          found[kind] = [width, height, await sha256(data)];
        }
        frame.close();
        return found;`);
      const all = ['file', 'bytes', 'bitmap', 'canvas', 'offscreen', 'frame', 'pixels'];
      expect(found, file).toEqual(Object.fromEntries(all.map((kind) => [kind, [width, height, sha256(data)]])));
    }
  });

  it('a video shows the frame that it is at', async () => {
    const found = await inPage<{ size: number[]; first: number[]; before: string }>(`
      const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
      const context = canvas.getContext('2d');
      const paint = () => { context.fillStyle = 'rgb(200, 100, 50)'; context.fillRect(0, 0, 64, 48); };
      const video = Object.assign(document.createElement('video'), { muted: true });
      const before = await decodeImage(video).catch((e) => e.message);
      video.srcObject = canvas.captureStream(30);
      const painting = setInterval(paint, 20);
      await video.play();
      clearInterval(painting);
      const { width, height, data } = await decodeImage(video);
      return { before, size: [width, height, data.length], first: [...data.slice(0, 3)] };`);
    expect(found.before).toBe('HTMLVideoElement: the video shows no frame yet; wait for its event "loadeddata"');
    expect(found.size).toEqual([64, 48, 64 * 48 * 3]);
    for (const [i, value] of [200, 100, 50].entries()) expect(Math.abs(found.first[i] - value)).toBeLessThan(6);
  });

  it('what is transparent is black; what is too large, closed, empty or of another origin is an ImageError', async () => {
    const server = await serveFolder(pictures, plain);
    const said = await inPage<Record<string, unknown>>(`
      const said = {};
      const clear = await decodeImage(new OffscreenCanvas(2, 1));
      said.clear = [...clear.data];
      const large = new OffscreenCanvas(300, 200);
      const closed = await createImageBitmap(new ImageData(2, 2));
      closed.close();
      const frame = new VideoFrame(await createImageBitmap(new ImageData(2, 2)), { timestamp: 0 });
      frame.close();
      const foreign = document.createElement('canvas');
      const image = new Image();
      image.src = '${server.url}${classes.warm[0]}';
      await image.decode();
      foreign.getContext('2d').drawImage(image, 0, 0);
      for (const [name, source, options] of [
        ['large', large, { maxPixels: 59999 }], ['closed', closed], ['frame', frame], ['foreign', foreign],
        ['empty', Object.assign(document.createElement('canvas'), { width: 0 })], ['element', document.body]])
        said[name] = await decodeImage(source, name, options).then(() => 'decoded', (e) => [e instanceof ImageError, e.message]);
      return said;`).finally(server.close);
    expect(said).toMatchObject({
      clear: [0, 0, 0, 0, 0, 0],
      large: [true, expect.stringMatching(/^large: 300x200 pixels are more than the 59999 allowed/)],
      closed: [true, 'closed: it was closed before it was read'],
      frame: [true, 'frame: it was closed before it was read'],
      empty: [true, expect.stringMatching(/^empty: the image has no pixels \(0x150\)/)],
      foreign: [true, expect.stringMatching(/^foreign: a page may not read what it has drawn from another origin/)],
      element: [true, expect.stringMatching(/^element: HTMLBodyElement is no image/)],
    });
  });
});
