// The built package in a page without a bundler: docs/examples/page.html, served as its readers do.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { encodeClassifier } from '../../src/sav/classifier-file.ts';
import { labelsOf } from '../../src/sav/data.ts';
import { extractFeatures } from '../../src/sav/features.ts';
import { fitClassifier } from '../../src/sav/fit.ts';
import { type Project, projectExamples } from '../../src/sav/project.ts';
import { encodeProject } from '../../src/sav/project-file.ts';
import { chromiumPath, launchChromium } from '../chromium.ts';
import { useGpu } from '../gpu.ts';
import { firstPictures } from '../warm-cool.ts';

const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript' };

/** A folder with this package and what it needs in node_modules/, and the page of the docs. */
const server: Server = createServer(({ url }, response) => {
  const path = new URL(url!, 'http://x').pathname.slice(1);
  const file = path === '' ? 'docs/examples/page.html' : path.replace(/^node_modules\/headlight-vlm\//, '');
  if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
  response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
  response.setHeader('Content-Length', statSync(file).size).end(readFileSync(file));
});

const title = 'the built package without a bundler';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const gpu = useGpu();
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    if (!existsSync('dist')) throw new Error('dist/ is not there: npm run build');
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    browser = await launchChromium();
    page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  });
  afterAll(async () => {
    await browser?.close();
    server.close();
  });

  const said = (text: RegExp | string) =>
    expect.poll(() => page.locator('output').innerText(), { timeout: 120_000 }).toMatch(text);
  const give = async (nth: number, name: string, bytes: Uint8Array) =>
    page
      .locator('input')
      .nth(nth)
      .setInputFiles({ name, mimeType: '', buffer: Buffer.from(bytes) });

  it('every entry is found through the import map of the docs', async () => {
    const [map, written] = ['docs/entry-points.md', 'docs/examples/page.html'].map((file) =>
      JSON.parse(/<script type="importmap">([^<]*)</.exec(readFileSync(file, 'utf8'))![1]),
    );
    expect(map).toEqual(written);
    const entries = ['', '/analysis', '/charts', '/sav', '/tuning', '/verify'].map((name) => `headlight-vlm${name}`);
    const names = await page.evaluate<number[]>(
      `Promise.all(${JSON.stringify(entries)}.map(async (entry) => Object.keys(await import(entry)).length))`,
    );
    expect(Math.min(...names)).toBeGreaterThan(2);
  });

  it('reads a classifier and a project as Node does, and classifies', async () => {
    const project: Project = { question: 'Are the colors warm or cool?', fit: { k: 5 }, pictures: firstPictures(4, 1) };
    const model = await VisionLanguageModel.load('weights/tiny-llava', { gpu: gpu() });
    const examples = projectExamples(project, 'colors.headlight', { labels: 'optional' });
    const { vectors, ...of } = await extractFeatures(model, examples);
    const isTraining = (_: unknown, i: number) => examples[i].label !== undefined;
    const training = { ...of, contents: undefined, vectors: vectors.filter(isTraining) };
    const options = { ...project.fit, prompt: project.question, images: 1 };
    const { classifier } = await fitClassifier(training, labelsOf(examples.filter(isTraining)), options);
    const answers = examples.map((_, i) => {
      const { label, confidence } = classifier.classify(vectors[i]);
      return `${label}, ${Math.round(100 * confidence!)} % sure`;
    });
    model.destroy();

    await said('Give a classifier or a project.');
    for (const [name, bytes] of [
      ['colors.safetensors', encodeClassifier(classifier)],
      ['colors.headlight', encodeProject(project)],
    ] as const) {
      await give(0, name, bytes);
      await said('warm or cool? Give a picture.');
      for (const [i, { label, bytes: picture }] of project.pictures.entries()) {
        if (label !== undefined) continue;
        await give(1, 'picture.png', picture);
        await said(answers[i]);
      }
    }
    await give(0, 'half.headlight', encodeProject(project).subarray(0, -1));
    await said('half.headlight: is no whole safetensors file');
  });
});
