// What a user takes along from the built page: project files.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
import { Site } from './site.ts';

const question = 'Are the colors warm or cool?';

/** The first pictures of each label: `train` of them with it, `test` of them to be classified. */
function pictures(train: number, test: number): Project['pictures'] {
  const rows = readFileSync('weights/tiny-llava/tasks/warm-cool.train.jsonl', 'utf8').trim().split('\n');
  const all = rows.map((line): { image: string; label: string } => JSON.parse(line));
  return ['warm', 'cool'].flatMap((label) =>
    all
      .filter((row) => row.label === label)
      .slice(0, train + test)
      .map(({ image }, i) => ({
        name: image.split('/').at(-1)!,
        label: i < train ? label : undefined,
        bytes: new Uint8Array(readFileSync(`weights/tiny-llava/tasks/${image}`)),
      })),
  );
}

/** All that a classifier is, to 12 digits: the last bits of logarithms are each JavaScript engine's own. */
const rounded = (bytes: Uint8Array) =>
  JSON.stringify(parseClassifier(bytes, 'c.safetensors').data, (_, value) =>
    typeof value === 'number' ? Number(value.toPrecision(12)) : value,
  );

const title = 'what is taken along from the page';
describe.skipIf(!chromiumPath)(chromiumPath ? title : `${title} (skipped: no Chromium here; set CHROMIUM_PATH)`, () => {
  const gpu = useGpu();
  const complaints: string[] = [];
  let site: Site;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'headlight-taken-'));
    site = await Site.open();
  });
  afterAll(async () => {
    await site?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The page with its model. */
  async function ready(page: Page): Promise<Page> {
    await page.goto(site.url);
    await page.getByText('6 layers of 8 heads').waitFor({ timeout: 120_000 });
    return page;
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
    const given: Project = { question, fit: { k: 5, refusal: {} }, pictures: pictures(5, 2) };
    const page = await ready(await site.visit(complaints));
    await give(page, 'colors.headlight', encodeProject(given), '.headlight');
    await page.getByText('4 pictures will be classified after the fit.').waitFor();
    expect(await page.getByLabel('Question to the model').inputValue()).toBe(question);
    await page.getByRole('button', { name: 'Fit', exact: true }).click();
    await labelled(page, 4);
    const said = await answers(page);
    const classifier = await saved(page, 'Save the classifier');
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
    const ours = encodeClassifier(fitClassifier(features, labelsOf(examples), options).classifier);
    expect(Buffer.compare(ours, readFileSync(out))).toBe(0);
    model.destroy();
  });

  it('nothing was refused, thrown or logged as an error', () => expect(complaints).toEqual([]));
});
