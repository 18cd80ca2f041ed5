// The built page in Chromium: from pictures to a classifier, and into the heads. The steps follow one another.
import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import type { Locator, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tokenText } from '../../src/analysis/token-text.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { decodeClassifier } from '../../src/sav/classifier-file.ts';
import type { Example } from '../../src/sav/features.ts';
import { extractFeatures } from '../../src/sav/features.ts';
import { fitClassifier } from '../../src/sav/fit.ts';
import { chromiumPath } from '../chromium.ts';
import { useGpu } from '../gpu.ts';
import { expectedLens, lensRows, overlayDifference, overlayPixels } from './inside.ts';
import { axeProblems, Site, tooWide } from './site.ts';

const tasks = 'weights/tiny-llava/tasks';
const question = 'Are the colors warm or cool?';

interface Row {
  readonly image: string;
  readonly label: string;
}

/** The first rows of each label, as the page's sample has them. */
function rowsOf(part: string, perLabel: number): Row[] {
  const rows = readFileSync(`${tasks}/warm-cool.${part}.jsonl`, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line): Row => JSON.parse(line));
  return ['warm', 'cool'].flatMap((label) => rows.filter((row) => row.label === label).slice(0, perLabel));
}

const exampleOf = ({ image }: Row): Example => ({
  source: image,
  prompt: question,
  images: [image],
  loadImages: async () => [new Uint8Array(readFileSync(`${tasks}/${image}`))],
});

/** How much longer a task of the page may take on this machine than on a user's. */
const slowMachine = 20;

const tabs = ['Classify', 'Look inside', 'Model', 'Kernels'];

const training = rowsOf('train', 12);
const queries = rowsOf('test', 4);
const title = 'the page in Chromium';

describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const gpu = useGpu();
  const complaints: string[] = [];
  let site: Site;
  let page: Page;
  beforeAll(async () => {
    site = await Site.open();
    page = await site.visit(complaints);
  });
  afterAll(async () => {
    await site?.close();
  });

  const outcome = (nth: number) => page.locator('.outcome').nth(nth);
  /** What is said of each query, by file name: `warm 96 % sure`. */
  const labels = async () => {
    const said = page.locator('.query');
    const [texts, names] = [
      await said.getByTestId('label').allInnerTexts(),
      await said.locator('.file-name').allInnerTexts(),
    ];
    return Object.fromEntries(names.map((name, i) => [name, texts[i]]));
  };
  const settled = (at: Locator) =>
    expect
      .poll(async () => `${await at.locator('li').count()} ${await at.getAttribute('aria-busy')}`, { timeout: 60_000 })
      .toBe('5 false');
  const votes = () =>
    page
      .locator('.query')
      .first()
      .getByRole('meter')
      .evaluateAll((all) => all.map((meter) => meter.ariaLabel));
  const shown = () => page.locator('#results ~ .hint').first().innerText();

  it('loads little', () => {
    const files = readdirSync(`${site.folder}/assets`).filter((name) => name.endsWith('.js'));
    const text = (file: string) => readFileSync(`${site.folder}/assets/${file}`, 'utf8');
    const kilobytes = (of: Iterable<string>) =>
      [...of].reduce((sum, file) => sum + gzipSync(text(file)).length / 1000, 0);
    /** The file of that name and what it imports at once. */
    const atFirst = (name: RegExp) => {
      const found = new Set(files.filter((file) => name.test(file)));
      expect(found.size).toBe(1);
      for (const file of found)
        for (const [, path] of text(file).matchAll(/(?:from|import)["'`]\.\/([\w.-]+\.js)/g)) found.add(path);
      return found;
    };
    const [page, worker] = [atFirst(/^index-/), atFirst(/^main-/)];
    expect(kilobytes(page)).toBeLessThan(60);
    expect(kilobytes(worker)).toBeLessThan(150);
    expect([...page, ...worker].filter((file) => file.includes('kernels'))).toEqual([]); // its tab fetches them
    expect(kilobytes(files)).toBeLessThan(250); // all that either loads when it is needed
  });

  it('a cold visit names each phase, and progress rises', async () => {
    await page.addInitScript(`{
      const seen = (self.seen = []);
      self.longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) self.longest = Math.max(self.longest, duration);
      }).observe({ type: 'longtask', buffered: true });
      new MutationObserver(() => {
        const phase = document.querySelector('[role=status]')?.textContent;
        const done = document.querySelector('.job-bar progress')?.value;
        if (phase) seen.push({ phase, done, at: performance.now() });
      }).observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
    }`);
    await page.goto(site.url);
    await page.getByText('6 layers of 8 heads').waitFor({ timeout: 120_000 });
    const seen = await page.evaluate<{ phase: string; done?: number; at: number }[]>('self.seen');
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual([
      'starting',
      'opening the GPU',
      'loading settings',
      'loading weights',
      'compiling kernels',
    ]);
    const loading = seen.filter(({ phase }) => phase === 'loading weights').map(({ done }) => done!);
    expect(loading.length).toBeGreaterThan(2);
    expect(loading).toEqual([...loading].sort((a, b) => a - b));
    // Full, it says at once what comes next.
    const full = seen.find(({ done }) => done === loading.at(-1))!;
    const next = seen.find(({ phase, at }) => at > full.at && phase === 'compiling kernels')!;
    expect(next.at - full.at).toBeLessThan(1000);
    expect(await page.getByText('software adapter').isVisible()).toBe(true);
  });

  it('a sample task is fitted and its queries are classified, as in Node', async () => {
    await page.getByLabel('Sample task').selectOption('warm-cool');
    await page.getByText('12 pictures').nth(1).waitFor();
    await page.getByRole('button', { name: 'Fit', exact: true }).click();
    await page
      .getByTestId('label')
      .nth(queries.length - 1)
      .waitFor({ timeout: 120_000 });
    const accuracy = Number.parseFloat(await page.getByTestId('accuracy').innerText());
    expect(accuracy).toBeGreaterThanOrEqual(90);
    const said = await labels();
    const found = queries.map(({ image }) => /^[a-z]+/.exec(said[image.split('/').at(-1)!])![0]);
    expect(found.filter((label, i) => label === queries[i].label).length).toBeGreaterThanOrEqual(7);

    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save the classifier' }).click();
    const file = await (await download).path();
    const model = await VisionLanguageModel.load('weights/tiny-llava', { gpu: gpu() });
    const ours = decodeClassifier(new Uint8Array(readFileSync(file)), 'classifier.safetensors', model);
    const features = await extractFeatures(model, training.map(exampleOf));
    const { classifier } = await fitClassifier(
      features,
      training.map(({ label }) => label),
      { heads: ours.data.heads, calibrate: false },
    );
    const kept = classifier.data.examples!.vectors;
    expect(ours.data.examples!.vectors).toHaveLength(kept.length);
    for (const [i, vectors] of ours.data.examples!.vectors.entries()) {
      const size = Math.max(...kept[i].map(Math.abs));
      for (const [d, value] of vectors.entries()) expect(Math.abs(value - kept[i][d]) / size).toBeLessThan(1e-4);
    }
    const theirs = await extractFeatures(model, queries.map(exampleOf));
    expect(theirs.vectors.map((vectors) => ours.classify(vectors).label)).toEqual(found);
    model.destroy();
  });

  it('one more picture costs one run of the model', async () => {
    const extra = rowsOf('train', 13)[12];
    const card = page.locator('.class-card').first();
    await card.locator('input[type=file]').setInputFiles(`${tasks}/${extra.image}`);
    await page.getByText('have changed since the last fit').waitFor();
    await page.getByRole('button', { name: 'Fit again' }).click();
    await expect.poll(shown, { timeout: 60_000 }).toContain('The model was shown 1 picture, and knew the others.');
  });

  it('a fit can be cancelled, and the page goes on', async () => {
    await page.getByLabel('Question to the model').fill('What colors are there?');
    await page.getByRole('button', { name: 'Fit again' }).click();
    await page.getByText('training pictures').waitFor();
    await expect.poll(() => page.locator('.job-bar progress').getAttribute('value'), { timeout: 60_000 }).not.toBe('0');
    const took = await page.evaluate<number>(`(async () => {
      const cancel = [...document.querySelectorAll('button')].find((button) => button.textContent === 'Cancel');
      const from = performance.now();
      cancel.click();
      while (cancel.isConnected) await new Promise(requestAnimationFrame);
      return performance.now() - from;
    })()`);
    expect(took).toBeLessThan(500);
    expect(await page.getByRole('alert').count()).toBe(0);
    await page.getByLabel('Question to the model').fill(question);
  });

  it('every head is a named button, and arrow keys move among them', async () => {
    await page
      .getByRole('button', { name: /^Look inside for/ })
      .first()
      .click();
    const heads = page.locator('.head-map').getByRole('button');
    expect(await heads.count()).toBe(6 * 8);
    const names = await heads.evaluateAll((all) => all.map((head) => head.ariaLabel!));
    expect(new Set(names).size).toBe(6 * 8);
    expect(names.filter((name) => name.includes('chosen by the fit')).length).toBeGreaterThan(0);
    await page.getByRole('button', { name: /^head 0\.0/ }).click();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.getByRole('heading', { name: 'Head 1.1' }).waitFor();
    await page.getByText('of its attention').waitFor({ timeout: 60_000 });
  });

  it('attention over the picture and the lens are what the library finds in Node', async () => {
    const model = await VisionLanguageModel.load('weights/tiny-llava', { gpu: gpu() });
    const images = [readFileSync(`${tasks}/${queries[0].image}`)];
    const input = await model.input({ images, prompt: question });
    const difference = await overlayDifference(model, input, { layer: 1, head: 1 });
    await expect.poll(async () => difference(await page.evaluate(overlayPixels)), { timeout: 60_000 }).toBeLessThan(2);
    const [drawn, picture] = [page.locator('.overlay canvas').first(), page.locator('.overlay img').first()];
    const [over, under] = [await drawn.boundingBox(), await picture.boundingBox()];
    for (const side of ['x', 'y', 'width', 'height'] as const) expect(over![side]).toBeCloseTo(under![side], 0);

    await page.locator('.lens tr').nth(5).waitFor({ timeout: 60_000 });
    expect(await page.evaluate(lensRows)).toEqual(await expectedLens(model, input));

    const written: string[] = [];
    const onToken = (id: number) => written.push(tokenText(model.processor.tokenizer, id));
    for await (const _ of model.generate(input, { maxNewTokens: 32, onToken }));
    await page.getByRole('button', { name: 'Let it answer' }).click();
    const tokens = page.getByRole('list', { name: 'Tokens of the answer' }).getByRole('button');
    await expect.poll(() => tokens.allTextContents(), { timeout: 60_000 }).toEqual(written);
    await page.getByText(`At ${written.at(-1)} it gives the picture`).waitFor();
    model.destroy();
  });

  it('steering from one class to the other turns the vote, and Reset turns it back', async () => {
    await settled(outcome(0));
    expect(await outcome(0).innerText()).toContain('votes warm');
    await page.getByLabel(/^Strength/).fill('3');
    await settled(outcome(1));
    expect(await outcome(1).innerText()).toContain('votes cool');
    await page.getByLabel(/^Freeze norms/).check();
    await settled(outcome(1));
    await page.getByRole('button', { name: 'Reset' }).click();
    await outcome(1).waitFor({ state: 'detached' });
    expect(await page.getByLabel(/^Freeze norms/).isChecked()).toBe(false);
  });

  it('a slider ends on its last value, and restoring a cut gives the votes that there were', async () => {
    const before = outcome(0);
    await expect.poll(() => before.locator('li').count(), { timeout: 60_000 }).toBe(5);
    const whole = await before.innerText();
    expect(whole).toContain('votes warm');
    await page.evaluate(`{
      const slider = document.querySelector('input[type=range]');
      for (let i = 0; i <= 20; i++) {
        slider.value = String(i % 2 ? 2 : -2);
        slider.dispatchEvent(new Event('input', { bubbles: true }));
      }
    }`);
    expect(await page.getByLabel(/^Output of head/).inputValue()).toBe('-2');
    expect(await page.getByText('1.1 × -2').isVisible()).toBe(true);
    await settled(outcome(1));
    await page.getByRole('button', { name: 'Cut all that vote' }).click();
    await settled(outcome(1));
    expect(await outcome(1).locator('li').allInnerTexts()).not.toEqual(await before.locator('li').allInnerTexts());
    await page.getByRole('button', { name: 'Reset' }).click();
    await outcome(1).waitFor({ state: 'detached' });
    expect(await before.innerText()).toBe(whole);
  });

  it('the main thread was never busy for long', async () => {
    // 50 ms on a machine of one's own; here the software adapter keeps both cores busy, and the tests beside it.
    const longest = await page.evaluate<number>('self.longest');
    expect(longest).toBeLessThan(50 * slowMachine);
  });

  it('a reload brings back pictures, classifier and labels, and runs the model for none of them', async () => {
    await page.getByRole('tab', { name: 'Classify' }).click();
    const [before, accuracy] = [await labels(), await page.getByTestId('accuracy').innerText()];
    await page.waitForTimeout(1000); // it is written a moment after the last change
    await page.reload();
    await page
      .getByTestId('label')
      .nth(queries.length - 1)
      .waitFor({ timeout: 120_000 });
    expect(await labels()).toEqual(before);
    expect(await page.getByTestId('accuracy').innerText()).toBe(accuracy);
    expect(await shown()).toContain('The model knew all pictures.');
  });

  it('an exported classifier says the same when all else is forgotten', async () => {
    await page.getByRole('tab', { name: 'Classify' }).click();
    const [before, votesBefore] = [await labels(), await votes()];
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Save the classifier' }).click();
    const file = await (await download).path();
    await page.getByRole('tab', { name: 'Model' }).click();
    await page.getByRole('button', { name: 'Remove all pictures' }).click();
    await page.getByRole('button', { name: 'Open tiny-llava again' }).click();
    await page.getByRole('tab', { name: 'Classify' }).click();
    await page.getByText('None yet').waitFor({ timeout: 120_000 });
    await page.locator('.queries input[type=file]').setInputFiles(queries.map(({ image }) => `${tasks}/${image}`));
    await page.locator('input[accept=".safetensors"]').setInputFiles({
      name: 'classifier.safetensors',
      mimeType: 'application/octet-stream',
      buffer: readFileSync(file),
    });
    await page
      .getByTestId('label')
      .nth(queries.length - 1)
      .waitFor({ timeout: 60_000 });
    expect(await labels()).toEqual(before);
    expect(await votes()).toEqual(votesBefore);
  });

  it('prices a folder before it is loaded, and opens it', async () => {
    await page.getByRole('tab', { name: 'Model' }).click();
    await page.locator('input[webkitdirectory]').setInputFiles('test/fixtures/families/next-llama-f16');
    await page.getByRole('heading', { name: 'next-llama-f16' }).waitFor({ timeout: 60_000 });
    await page.getByText('can bind all of it').nth(2).waitFor();
    await page.getByRole('button', { name: /^Open .*as stored$/ }).click();
    await page.getByText('2 layers of 2 heads').waitFor({ timeout: 120_000 });
    await page.getByLabel('Hub id or address').fill('not an address');
    await page.getByRole('button', { name: 'What does it take?' }).click();
    expect(await page.getByRole('alert').innerText()).toContain('Give a hub id');
    await page.getByLabel('Hub id or address').fill(`${site.url}tiny-llava`);
    await page.getByRole('button', { name: 'What does it take?' }).click();
    await page.getByText('LlavaForConditionalGeneration').waitFor({ timeout: 60_000 });
    let asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.getByRole('button', { name: /^Open .*8 bits$/ }).click();
    await page.getByText('6 layers of 8 heads').first().waitFor({ timeout: 120_000 });
    // Kept meanwhile, and not asked for again.
    const address = `${site.url}tiny-llava/`;
    await page.getByText(`${address}: 4.`).waitFor({ timeout: 60_000 });
    const ofWeights = () => asked.filter((url) => url.endsWith('.safetensors')).length;
    expect(ofWeights()).toBeGreaterThan(0);
    asked = [];
    await page.getByRole('button', { name: /^Open .*4 bits$/ }).click();
    await page.getByText('compiling kernels').waitFor({ timeout: 60_000 });
    await page.getByText('compiling kernels').waitFor({ state: 'detached', timeout: 60_000 });
    expect(ofWeights()).toBe(0);
    await page.getByRole('button', { name: `Free ${address}` }).click();
    await page.getByRole('list', { name: 'Checkpoints' }).waitFor({ state: 'detached' });
  });

  it.each(['light', 'dark'] as const)('has nothing that axe objects to: %s', async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    for (const tab of tabs) {
      await page.getByRole('tab', { name: tab }).click();
      await page.waitForTimeout(300); // colours move
      expect(await axeProblems(page), tab).toEqual([]);
    }
  });

  it('fits narrow screens', async () => {
    for (const width of [320, 390, 3840]) {
      await page.setViewportSize({ width, height: 800 });
      for (const tab of tabs) {
        await page.getByRole('tab', { name: tab }).click();
        expect(await tooWide(page), `${tab} at ${width}`).toEqual([]);
      }
    }
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  it('a lost GPU is told, and the page goes on after Reopen', async () => {
    await page.getByRole('tab', { name: 'Classify' }).click();
    const before = await page.locator('.query').count();
    const devtools = await site.browser.newBrowserCDPSession();
    const { processInfo } = await devtools.send('SystemInfo.getProcessInfo');
    for (const { type, id } of processInfo) if (type === 'GPU') process.kill(id, 'SIGKILL');
    await page.getByRole('button', { name: 'Reopen' }).click({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Reopen' }).waitFor({ state: 'detached' });
    await page.getByText('6 layers of 8 heads').waitFor({ timeout: 120_000 });
    expect(await page.locator('.query').count()).toBe(before);
  });

  it('without WebGPU it says what to do', async () => {
    const other = await site.visit();
    await other.route(/assets\/main-.*\.js$/, async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, body: `delete WorkerNavigator.prototype.gpu;${await response.text()}` });
    });
    await other.goto(site.url);
    await other.getByRole('alert').waitFor();
    expect(await other.getByRole('alert').innerText()).toContain('no WebGPU: use a current Chrome');
    await other.context().close();
  });

  it('nothing was refused, thrown or logged as an error', () => expect(complaints).toEqual([]));
});
