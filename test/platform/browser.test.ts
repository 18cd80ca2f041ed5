import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeImage } from '#platform';
import { chromiumPath, RepositoryPage } from '../chromium.ts';
import { fixturePath } from '../fixtures.ts';

type Platform = typeof import('../../src/platform/browser.ts');

const title = 'in Chromium';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  let browser: RepositoryPage;
  beforeAll(async () => {
    browser = await RepositoryPage.open();
    // As text: Vitest would rewrite an import() in a function.
    await browser.page.evaluate(
      `import('/src/platform/browser.ts').then((platform) => { globalThis.platform = platform })`,
    );
  });
  afterAll(() => browser?.close());

  /** Runs in the page; an error comes back as its message. */
  const inPage = <T>(
    run: (platform: Platform, argument: never) => Promise<T>,
    argument: unknown,
  ): Promise<T | string> =>
    browser.page.evaluate(
      async ([source, value]) => {
        const { platform } = globalThis as unknown as { platform: Platform };
        try {
          return await new Function('platform', 'value', `return (${source})(platform, value)`)(platform, value);
        } catch (e) {
          return (e as Error).message;
        }
      },
      [String(run), argument] as const,
    );

  interface Decoded {
    width: number;
    height: number;
    sha256: string;
  }
  /** Of each file, what it decodes to, or why it does not. */
  const decodeInPage = (urls: string[]): Promise<(Decoded | string)[] | string> =>
    inPage(async ({ decodeImage, readFileBytes }, paths: string[]) => {
      const decode = async (path: string) => {
        const { width, height, data } = await decodeImage(await readFileBytes(path), path);
        const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', data as BufferSource));
        return { width, height, sha256: Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('') };
      };
      return Promise.all(paths.map((path) => decode(path).catch((e: Error) => e.message)));
    }, urls);

  test('every picture has the same pixels as in Node', async () => {
    const files = ['images', 'processor', 'outside'].flatMap((folder) =>
      readdirSync(fixturePath(folder))
        .filter((file) => /\.(png|jpe?g|webp|gif|bmp)$/.test(file) && !/^cmyk|bomb/.test(file))
        .map((file) => `${folder}/${file}`),
    );
    const inNode = async (file: string) => {
      const { width, height, data } = await decodeImage(new Uint8Array(readFileSync(fixturePath(file))), file);
      return { width, height, sha256: createHash('sha256').update(data).digest('hex') };
    };
    const found = (await decodeInPage(files.map((file) => `/test/fixtures/${file}`))) as unknown[];
    const byFile = (pictures: unknown[]) => Object.fromEntries(files.map((file, i) => [file, pictures[i]]));
    expect(byFile(found)).toEqual(byFile(await Promise.all(files.map(inNode))));
  });

  test('a CMYK JPEG, a text file and a damaged JPEG are refused', async () => {
    expect(await decodeInPage(['/test/fixtures/images/cmyk.jpg', '/test/chromium.ts'])).toEqual([
      expect.stringContaining('a CMYK JPEG; browsers do not agree'),
      expect.stringContaining('not a PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF image'),
    ]);
    const damaged = inPage(async ({ decodeImage, readFileBytes }, url: string) => {
      const bytes = await readFileBytes(url);
      bytes.fill(0, 4, 200);
      await decodeImage(bytes, 'damaged.jpg');
      return 'decoded';
    }, '/test/fixtures/images/photo.jpg');
    expect(await damaged).toMatch(/^damaged\.jpg: /);
  });

  test('a folder behind a URL is read, whole or in part', async () => {
    const found = await inPage(async ({ openFolder }, url: string) => {
      const folder = await openFolder(url);
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      const whole = text(await folder.read('preprocessor_config.json'));
      return {
        location: new URL(folder.location).pathname,
        has: [await folder.has('config.json'), await folder.has('none')],
        size: (await folder.size('preprocessor_config.json')) === whole.length,
        range: text(await folder.read('preprocessor_config.json', 1, 20)) === whole.slice(1, 20),
        rest: text(await folder.read('preprocessor_config.json', 30)) === whole.slice(30),
        empty: (await folder.read('preprocessor_config.json', 5, 5)).length,
      };
    }, '/test/fixtures/checkpoints/llava-f32');
    const location = '/test/fixtures/checkpoints/llava-f32/';
    expect(found).toEqual({ location, has: [true, false], size: true, range: true, rest: true, empty: 0 });
  });

  const folderAt = (where: string, name: string, start?: number, end?: number) =>
    inPage(
      async ({ openFolder }, [url, file, from, to]: [string, string, number?, number?]) => {
        const folder = await openFolder(url);
        return (await folder.read(file, from ?? undefined, to ?? undefined)).length;
      },
      [`${where}test/fixtures/checkpoints/llava-f32`, name, start, end],
    );

  test('servers without byte ranges or lengths will do; missing files and names outside are told apart', async () => {
    expect(await folderAt('/', 'none.json')).toMatch(/none\.json: there is no such file$/);
    expect(await folderAt('/', '../llava-f16/config.json')).toContain('is not a file name inside');
    expect(await folderAt('/', 'config.json', 3, 9e6)).toMatch(
      /config\.json: bytes 3 to 9000000 were asked for, the file has \d+$/,
    );
    expect(await folderAt('/', 'config.json', 8e6, 9e6)).toMatch(
      /bytes 8000000 to 9000000 were asked for, the file has \d+$/,
    );
    expect(await folderAt('/no-range/', 'config.json')).toBeGreaterThan(100);
    expect(await folderAt('/no-range/', 'config.json', 3, 9)).toBe(6);
    expect(await folderAt('/no-size/', 'config.json', 3)).toBeGreaterThan(100);
  });
});
