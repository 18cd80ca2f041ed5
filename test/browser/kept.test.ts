// What Chromium keeps of a checkpoint behind a URL, in its private file system: in the page, in a worker, in two tabs.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { chromiumPath, RepositoryPage } from '../chromium.ts';
import { type Asked, cut, plain, ranged, type ServedFolder, serveFolder, weightsHead } from '../served-folder.ts';

const tiny = 'weights/tiny-llava';

/** Gives weights with a date, which pages of other origins may see; `content` of 2 has other last bytes. */
const dated =
  (content: 1 | 2 = 1, most = Infinity) =>
  (asked: Asked) => {
    const part = weightsHead(asked, { 'Last-Modified': `Mon, 0${content} Jan 2024 00:00:00 GMT` });
    if (!part) return;
    const file = Buffer.from(part.file);
    if (content === 2) file.fill(1, file.length - 8);
    if (file.length - part.first > most) cut(asked.response, file.subarray(part.first, part.first + most), 400);
    else asked.response.end(file.subarray(part.first));
  };

/** Runs with the library in reach: `load(folder)` gives the modelId, `store` has its notes in `notes`. */
const script = (body: string) => `(async () => {
  const { HeadlightError, openCheckpointStore, openFolder, openGpu, quantize, VisionLanguageModel } = await import(self.origin + '/bundle.js');
  const notes = [];
  const onNote = ({ code }) => notes.push(code);
  const store = await openCheckpointStore({ onNote });
  const load = async (folder) => {
    const model = await VisionLanguageModel.load(await folder);
    const { modelId } = model;
    model.destroy();
    return modelId;
  };
  ${body}
})()`;

const title = 'a checkpoint that Chromium keeps';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  let browser: RepositoryPage;
  let server: ServedFolder | undefined;
  beforeAll(async () => {
    browser = await RepositoryPage.open();
  });
  afterAll(() => browser?.close());
  afterEach(async () => {
    server?.close();
    await inPage('for (const { name } of await store.list()) await store.free(name)');
  });

  const inPage = <T>(body: string): Promise<T> => browser.page.evaluate<T>(script(body));
  const inWorker = <T>(body: string): Promise<T> =>
    browser.page.evaluate<T>(
      `new Promise((done, fail) => {
        const run = ${JSON.stringify(`${script(body)}.then((found) => postMessage({ found }), (e) => postMessage({ error: e.stack }))`)};
        const worker = new Worker(URL.createObjectURL(new Blob([run], { type: 'text/javascript' })), { type: 'module' });
        worker.onmessage = ({ data: { found, error } }) => {
          worker.terminate();
          if (error) fail(new Error(error));
          else done(found);
        };
        worker.onerror = (e) => fail(new Error(e.message));
      })`,
    );
  const weightsAsked = () => server!.log.filter((line) => line.includes('safetensors'));
  const loadKept = () =>
    `return { id: await load(store.keep(await openFolder('${server!.url}'))), notes, kept: await store.list() }`;

  it.each([
    ['the page', () => inPage],
    ['a worker', () => inWorker],
  ])('goes on in %s where it broke off, and then needs no server', async (_, where) => {
    const run = where();
    server = await serveFolder(tiny, dated());
    const plainId = await inPage<string>(`return load(openFolder('${server.url}'))`);
    server.answer = (asked) => {
      if (weightsAsked().length > 2 && asked.name.includes('safetensors')) asked.response.writeHead(500).end();
      else dated(1, 4_400_000)(asked);
    };
    const broken = await run<string>(`return load(store.keep(await openFolder('${server.url}'))).catch((e) => e.code)`);
    expect(broken).toBe('file');

    server.answer = dated();
    server.log.length = 0;
    const whole = await run<{ id: string; notes: string[]; kept: unknown }>(loadKept());
    expect(whole).toEqual({
      id: plainId,
      notes: [],
      kept: [expect.objectContaining({ name: server.url, whole: true })],
    });
    const [first, ...rest] = weightsAsked();
    expect(first).toBe('GET model.safetensors'); // is it the same?
    expect(rest).toHaveLength(1);
    expect(Number(/bytes=(\d+)-$/.exec(rest[0])![1])).toBeGreaterThan(1_000_000);

    server.close();
    server.log.length = 0;
    await browser.page.reload();
    expect(await inPage<string>(loadKept())).toEqual(whole);
    expect(await inWorker<string>(loadKept())).toEqual(whole);
    expect(server.log).toEqual([]);
  });

  it.each<[string, (content: 1 | 2) => (asked: Asked) => void]>([
    ['says when it changed', dated],
    ['has no byte ranges', (content) => (asked) => dated(content)({ ...asked, range: undefined })],
  ])('that changes between two loads is the new one alone: the server %s', async (_, answer) => {
    server = await serveFolder(tiny, dated(2));
    const newId = await inPage<string>(`return load(openFolder('${server.url}'))`);
    server.answer = (asked) => (asked.range ? asked.response.destroy() : dated(1, 4_400_000)(asked));
    await inPage(`await load(store.keep(await openFolder('${server.url}'))).catch(() => {})`);
    expect((await inPage<{ bytes: number }[]>('return store.list()'))[0].bytes).toBeGreaterThan(0);
    server.answer = answer(2);
    const found = await inPage<{ id: string; kept: object[] }>(loadKept());
    expect(found.id).toBe(newId);
    server.log.length = 0;
    expect(await inPage(loadKept())).toEqual(found);
    expect(server.log).toEqual([]);
    await inPage(`await store.free('${server.url}')`);
    expect(await inPage('return store.list()')).toEqual([]);
  });

  it('is kept by one of two tabs that load it at once; the other gets it over the network', async () => {
    server = await serveFolder(tiny, ranged);
    const name = 'model.safetensors';
    const begun = `globalThis.visit = store.keep(await openFolder('${server.url}')).visit(); return visit.size('${name}')`;
    const size = await inPage<number>(begun);
    const other = await browser.otherTab();
    const found = await other.evaluate<{ id: string; notes: string[]; kept: object[] }>(script(loadKept()));
    expect(found).toMatchObject({ notes: ['busy'], kept: [] });
    const freed = `return store.free('${server.url}').catch((e) => e.message)`;
    expect(await other.evaluate(script(freed))).toContain('it is being loaded or written, here or in another tab');
    await other.close();
    await inPage(`await visit.read('${name}'); await visit.close()`);
    expect(await inPage('return store.list()')).toMatchObject([{ bytes: size, whole: false }]);
    expect(await inPage(loadKept())).toMatchObject({ id: found.id, notes: [], kept: [{ whole: true }] });
  });

  it('is not where the site has no more room, and the load goes on', async () => {
    server = await serveFolder(tiny, plain);
    const session = await browser.page.context().newCDPSession(browser.page);
    const { origin } = new URL(browser.page.url());
    await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1e6 });
    const found = await inPage<{ id: string; notes: string[] }>(loadKept());
    expect(found.notes).toEqual(['full']);
    const written = `return store.write('q8', (write) => quantize('${server.url}', { write, weights: 'q8' })).catch((e) => e.message)`;
    expect(await inPage(written)).toMatch(/^q8: .*cannot be written: this site has no more room/);
    await session.send('Storage.overrideQuotaForOrigin', { origin });
    expect(found.id).toBe(await inPage(`return load(openFolder('${server.url}'))`));
    expect(await inWorker(loadKept())).toMatchObject({ id: found.id, notes: [], kept: [{ whole: true }] });
  });

  it('is quantised in a worker and loaded in the page, without a server', async () => {
    server = await serveFolder(tiny, ranged);
    const id = await inWorker<string>(
      `return (await store.write('tiny q4', (write) => quantize('${server.url}', { write, weights: 'q4' }))).modelId`,
    );
    expect(weightsAsked()).toHaveLength(1);
    server.close();
    expect(await inPage(`return load(store.open('tiny q4'))`)).toBe(id);
    const [kept] = await inPage<{ bytes: number }[]>('return store.list()');
    expect(kept).toMatchObject({ name: 'tiny q4', whole: true });
    expect(kept.bytes).toBeLessThan(3e6);
  });
});
