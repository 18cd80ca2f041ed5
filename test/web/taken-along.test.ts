// What a user takes along from the built page: project files, the page of one classifier, and the page itself. The steps follow one another.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { encodeClassifier, parseClassifier } from '../../src/sav/classifier-file.ts';
import { labelsOf } from '../../src/sav/data.ts';
import { extractFeatures } from '../../src/sav/features.ts';
import { fitClassifier } from '../../src/sav/fit.ts';
import { type Project, projectExamples, projectStore } from '../../src/sav/project.ts';
import { decodeProject, encodeProject } from '../../src/sav/project-file.ts';
import { chromiumPath } from '../chromium.ts';
import { headlight } from '../cli/headlight.ts';
import { useGpu } from '../gpu.ts';
import { firstPictures } from '../warm-cool.ts';
import { Site } from './site.ts';

const question = 'Are the colors warm or cool?';

/** All that a classifier is, to 12 digits: the last bits of logarithms are each JavaScript engine's own. */
const rounded = (bytes: Uint8Array) =>
  JSON.stringify(parseClassifier(bytes, 'c.safetensors').data, (_, value) =>
    typeof value === 'number' ? Number(value.toPrecision(12)) : value,
  );

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** A static host. */
class Host {
  /** Names of the files that it was asked for. */
  readonly log: string[] = [];
  readonly #server: Server;

  constructor(folder: string) {
    const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };
    this.#server = createServer(({ url }, response) => {
      const name = new URL(url!, 'http://x').pathname.slice(1) || 'index.html';
      this.log.push(name);
      const file = join(folder, name);
      if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
      response.setHeader('Content-Type', types[extname(name)] ?? 'application/octet-stream');
      response.setHeader('Content-Length', statSync(file).size);
      response.end(readFileSync(file));
    });
  }

  /** @returns its address. */
  async open(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const title = 'what is taken along from the page';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const gpu = useGpu();
  const complaints: string[] = [];
  let site: Site;
  let folder: string;
  /** What the page has made of the project, and said of its queries. */
  let classifier: Buffer;
  let said: string[];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'headlight-taken-'));
    site = await Site.open();
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The page with its model. */
  async function ready(page: Page, url = site.url): Promise<Page> {
    await page.goto(url);
    await page.getByText('6 layers of 8 heads').waitFor({ timeout: 120_000 });
    return page;
  }
  /** Until the page's files are kept. */
  async function kept(page: Page): Promise<void> {
    await page.getByRole('tab', { name: 'Model' }).click();
    await page.getByText('The page and tiny-llava are kept').waitFor({ timeout: 60_000 });
    await page.getByRole('tab', { name: 'Classify' }).click();
  }
  const give = (page: Page, name: string, bytes: Uint8Array, accept: string) =>
    page
      .locator(`input[accept="${accept}"]`)
      .setInputFiles({ name, mimeType: 'application/octet-stream', buffer: Buffer.from(bytes) });
  const labelled = (page: Page, count: number) =>
    page
      .getByTestId('label')
      .nth(count - 1)
      .waitFor({ timeout: 120_000 });
  const answers = (page: Page) => page.locator('.query .said').allInnerTexts();
  /** What a button has the page give. */
  async function saved(page: Page, button: string): Promise<Buffer> {
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: button }).click();
    return readFileSync(await (await download).path());
  }

  it('a project gives the same classifier in another browser, in the command line and in a program', async () => {
    const given: Project = { question, fit: { k: 5, refusal: {} }, pictures: firstPictures(5, 2) };
    const page = await ready(await site.visit(complaints));
    await give(page, 'colors.headlight', encodeProject(given), '.headlight');
    await page.getByText('4 pictures will be classified after the fit.').waitFor();
    expect(await page.getByLabel('Question to the model').inputValue()).toBe(question);
    await page.getByRole('button', { name: 'Fit', exact: true }).click();
    await labelled(page, 4);
    said = await answers(page);
    classifier = await saved(page, 'Save the classifier');
    const bytes = await saved(page, 'Save the project');
    const project = decodeProject(bytes, 'project.headlight');
    expect(project.pictures.every(({ vectors }) => vectors?.length === 6 * 8 * 16)).toBe(true);
    expect(project.pictures.map(({ name, label }) => [name, label])).toEqual(
      [...given.pictures.filter(({ label }) => label), ...given.pictures.filter(({ label }) => !label)].map(
        ({ name, label }) => [name, label],
      ),
    );
    await page.context().close();

    const other = await ready(await site.visit(complaints));
    await give(other, 'colors.headlight', bytes, '.headlight');
    await labelled(other, 4);
    expect(await answers(other)).toEqual(said);
    await other.getByText('The model knew all pictures.').waitFor();
    expect(Buffer.compare(await saved(other, 'Save the classifier'), classifier)).toBe(0);
    await give(other, 'half.headlight', bytes.subarray(0, bytes.length / 2), '.headlight');
    await other.getByRole('alert').waitFor();
    expect(await other.getByRole('alert').innerText()).toMatch(/^half\.headlight: is no whole safetensors file/);
    expect(await answers(other)).toEqual(said);
    await other.context().close();

    const [file, out] = [join(folder, 'colors.headlight'), join(folder, 'colors.safetensors')];
    writeFileSync(file, bytes);
    const { code, stderr } = await headlight('fit', file, '--out', out);
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('shown the pictures again')]);
    expect(rounded(readFileSync(out))).toBe(rounded(classifier));

    const model = await VisionLanguageModel.load('weights/tiny-llava', { gpu: gpu() });
    const examples = projectExamples(project, file);
    const features = await extractFeatures(model, examples, { store: await projectStore(project, model) });
    const options = { ...project.fit, prompt: project.question, images: 1 };
    const ours = encodeClassifier((await fitClassifier(features, labelsOf(examples), options)).classifier);
    expect(Buffer.compare(ours, readFileSync(out))).toBe(0);
    model.destroy();
  });

  it('is the page of one classifier in a frame of another host, and names a wrong model', async () => {
    writeFileSync(join(site.folder, 'colors.safetensors'), classifier);
    cpSync('test/fixtures/families/next-llama-f16', join(site.folder, 'another-model'), { recursive: true });
    const around = join(folder, 'around');
    mkdirSync(around);
    const [host, outer] = [new Host(site.folder), new Host(around)];
    const address = `${await host.open()}?classifier=colors.safetensors`;
    writeFileSync(
      join(around, 'index.html'),
      `<!doctype html><link rel="icon" href="data:,"><iframe src="${address}" width="600" height="600"></iframe>`,
    );
    const page = await site.visit(complaints);
    await page.goto(await outer.open());
    const frame = page.frameLocator('iframe');
    await frame.getByRole('heading', { name: 'warm or cool?' }).waitFor({ timeout: 120_000 });
    const queries = firstPictures(5, 2).filter(({ label }) => label === undefined);
    await frame
      .locator('input[type=file]')
      .setInputFiles(queries.map(({ name, bytes }) => ({ name, mimeType: 'image/png', buffer: Buffer.from(bytes) })));
    await frame
      .getByTestId('label')
      .nth(queries.length - 1)
      .waitFor({ timeout: 60_000 });
    for (const [i, { name }] of queries.entries()) {
      const shown = frame.locator(`.query:has(img[alt="${name}"])`);
      expect(await shown.innerText()).toBe(said[i].slice(0, said[i].indexOf(name)).trimEnd());
    }
    expect(await page.frames()[1].evaluate('indexedDB.databases()')).toEqual([]);

    const alert = page.getByRole('alert');
    await page.goto(`${address}&model=${encodeURIComponent(`${address.split('?')[0]}another-model`)}`);
    await alert.waitFor({ timeout: 120_000 });
    expect(await alert.innerText()).toMatch(
      /^colors\.safetensors: was fitted on model "[0-9a-f]{64}", the model in use is "[0-9a-f]{64}"; use that model/,
    );
    await page.goto(address.replace('=', '=https://example.invalid/'));
    await alert.waitFor();
    expect(await alert.innerText()).toMatch(/^https:\/\/example\.invalid\/colors\.safetensors: on another host/);
    await page.context().close();
    host.close();
    outer.close();
  });

  it('opens and classifies without a network after the first visit', async () => {
    const host = new Host(site.folder);
    const page = await ready(await site.visit(complaints), await host.open());
    await kept(page);
    host.close();
    await page.reload();
    await page.getByText('6 layers of 8 heads').waitFor({ timeout: 120_000 });
    const project: Project = { question, fit: { k: 5, refusal: {} }, pictures: firstPictures(3, 1) };
    await give(page, 'colors.headlight', encodeProject(project), '.headlight');
    await page.getByRole('button', { name: 'Fit', exact: true }).click();
    await labelled(page, 2);
    await page.getByLabel('Sample task').selectOption('warm-cool');
    await page.getByRole('alert').waitFor();
    expect(await page.getByRole('alert').innerText()).toMatch(/^warm-cool\.\w+\.jsonl: the server does not answer/);
    await page.context().close();
    complaints.splice(0, Infinity, ...complaints.filter((text) => !text.includes('ERR_CONNECTION_REFUSED')));
  });

  it('a new version takes the place of the old one as a whole, when it is there as a whole', async () => {
    const next = join(folder, 'next');
    cpSync(site.folder, next, { recursive: true });
    const host = new Host(next);
    const page = await site.visit(complaints);
    await page.goto(await host.open());
    await kept(page);
    const keptNames = () => page.evaluate<string[]>('caches.keys()');
    const before = await keptNames();
    // The new build has another title. Of its files the worker is there first.
    const [index, worker] = [join(next, 'index.html'), join(next, 'service-worker.js')];
    const [oldPage, oldWorker] = [readFileSync(index, 'utf8'), readFileSync(worker, 'utf8')];
    const newPage = oldPage.replace('<title>Headlight', '<title>Headlight II');
    expect(oldWorker).toContain(sha256(oldPage));
    writeFileSync(worker, oldWorker.replace(sha256(oldPage), sha256(newPage)));
    host.log.length = 0;
    await page.reload();
    const isRefused = async () => host.log.includes('index.html') && (await keptNames()).length === 1;
    await expect.poll(isRefused, { timeout: 60_000 }).toBe(true);
    expect(await keptNames()).toEqual(before);

    writeFileSync(index, newPage);
    await page.reload();
    expect(await page.title()).toBe('Headlight');
    await page.getByRole('button', { name: 'Use it' }).click({ timeout: 120_000 });
    await expect.poll(() => page.title().catch(() => ''), { timeout: 60_000 }).toBe('Headlight II');
    await expect.poll(keptNames, { timeout: 60_000 }).toHaveLength(1);
    expect(await keptNames()).not.toEqual(before);
    await page.context().close();
    host.close();
  });

  it('nothing was refused, thrown or logged as an error', () => expect(complaints).toEqual([]));
});
