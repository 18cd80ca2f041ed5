// The built page in Firefox, where there is one to test with (CONTRIBUTING.md).
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { greatest } from '../../src/base/extremes.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { extractFeatures } from '../../src/sav/features.ts';
import { fitClassifier } from '../../src/sav/fit.ts';
import { type Project, projectExamples } from '../../src/sav/project.ts';
import { decodeProject, encodeProject } from '../../src/sav/project-file.ts';
import { Firefox, firefoxPath } from '../firefox.ts';
import { useGpu } from '../gpu.ts';
import { firstPictures } from '../warm-cool.ts';
import { expectedLens, lensRows, overlayDifference, overlayPixels } from './inside.ts';
import { ServedPage } from './site.ts';

const title = 'the page in Firefox';
describe.skipIf(!firefoxPath)(firefoxPath ? title : `${title} (skipped: FIREFOX_PATH names none)`, () => {
  const gpu = useGpu();
  const given: Project = { question: 'Are the colors warm or cool?', fit: { k: 20 }, pictures: firstPictures(12, 4) };
  const queries = given.pictures.filter(({ label }) => label === undefined);
  let model: VisionLanguageModel;
  let site: ServedPage;
  let firefox: Firefox;
  beforeAll(async () => {
    model = await VisionLanguageModel.load('weights/tiny-llava', { gpu: gpu() });
    site = await ServedPage.serve();
    firefox = await Firefox.open();
  });
  afterAll(async () => {
    model?.destroy();
    await firefox?.close();
    await site?.close();
  });

  /** Waits until `body` gives something in the page. */
  const soon = <T>(body: string) =>
    firefox.evaluate<T>(`for (;;) {
      const found = await (async () => {${body}})();
      if (found) return found;
      const alert = document.querySelector('[role=alert]');
      if (alert) throw new Error(alert.textContent);
      await new Promise((done) => setTimeout(done, 100));
    }`);
  const press = (name: string) =>
    soon(`const button = [...document.querySelectorAll('button, [role=tab]')].find((b) => b.textContent.trim() === '${name}' && !b.disabled);
      button?.click();
      return button !== undefined;`);

  it('classifies as Node does: labels, and head vectors within 1e-4', async () => {
    const base64 = Buffer.from(encodeProject(given)).toString('base64');
    await firefox.goto(site.url);
    await soon(`return document.body.textContent.includes('6 layers of 8 heads')`);
    await firefox.evaluate(`const files = new DataTransfer();
      const bytes = Uint8Array.from(atob('${base64}'), (c) => c.charCodeAt(0));
      files.items.add(new File([bytes], 'colors.headlight'));
      const input = document.querySelector('input[accept=".headlight"]');
      input.files = files.files;
      input.dispatchEvent(new Event('change', { bubbles: true }));`);
    await press('Fit');
    const said = await soon<[string, string][]>(`const queries = [...document.querySelectorAll('.query')];
      const labels = queries.map((query) => query.querySelector('[data-testid=label]')?.textContent);
      return queries.length === 8 && labels.every(Boolean) &&
        queries.map((query, i) => [query.querySelector('img').alt, labels[i].match(/[a-z]+/)[0]]);`);

    // What the page saves is caught on its way to the disk.
    const saved = await firefox.evaluate<string>(`const make = URL.createObjectURL;
      const blob = await new Promise((done) => {
        URL.createObjectURL = (blob) => { done(blob); return make.call(URL, blob); };
        [...document.querySelectorAll('button')].find((b) => b.textContent.trim() === 'Save the project').click();
      });
      URL.createObjectURL = make;
      const bytes = new Uint8Array(await blob.arrayBuffer());
      let text = '';
      for (let i = 0; i < bytes.length; i += 30000) text += String.fromCharCode(...bytes.subarray(i, i + 30000));
      return btoa(text);`);
    const project = decodeProject(new Uint8Array(Buffer.from(saved, 'base64')), 'colors.headlight');

    const features = await extractFeatures(model, projectExamples(given, 'colors', { labels: 'optional' }));
    const found = given.pictures.map(({ name }) => project.pictures.find((picture) => picture.name === name)!.vectors!);
    const most = greatest(features.vectors.map((of) => greatest(of.map(Math.abs))));
    for (const [i, vectors] of features.vectors.entries())
      for (const [j, value] of vectors.entries())
        if (!(Math.abs(found[i][j] - value) <= 1e-4 * most))
          throw new Error(`${given.pictures[i].name}, number ${j}: ${found[i][j]} in Firefox, ${value} in Node`);

    const isQuery = given.pictures.map(({ label }) => label === undefined);
    const take = (queries: boolean) => {
      const these = <T>(of: readonly T[]) => of.filter((_, i) => isQuery[i] === queries);
      return { ...features, vectors: these(features.vectors), contents: these(features.contents!) };
    };
    const labels = given.pictures.flatMap(({ label }) => label ?? []);
    const { classifier, judged } = await fitClassifier(take(false), labels, { k: 20 });
    const right = labels.filter((label, i) => label === classifier.data.labels[judged!.predicted[i]]);
    expect(right.length / labels.length).toBeGreaterThanOrEqual(0.9);
    const ours = take(true).vectors.map((vectors) => classifier.classify(vectors).label);
    expect(Object.fromEntries(said)).toEqual(Object.fromEntries(queries.map(({ name }, i) => [name, ours[i]])));
    const truth = ['warm', 'cool'].flatMap((label) => Array(4).fill(label));
    expect(ours.filter((label, i) => label === truth[i]).length).toBeGreaterThanOrEqual(7);
  });

  it('looks inside as Node does: a named button for each head, attention over the picture, the lens', async () => {
    const [{ bytes }] = queries;
    await soon(`const look = [...document.querySelectorAll('button')].find((b) => b.ariaLabel?.startsWith('Look inside for ${queries[0].name}'));
      look?.click();
      return look !== undefined;`);
    const names = await soon<string[]>(`const heads = [...document.querySelectorAll('.head-map button')];
      return heads.length > 0 && heads.map((head) => head.ariaLabel);`);
    expect(new Set(names).size).toBe(6 * 8);
    for (const [i, name] of names.entries())
      expect(name).toMatch(new RegExp(`^head ${Math.floor(i / 8)}\\.${i % 8}\\b`));

    await firefox.evaluate(`document.querySelectorAll('.head-map button')[8 * 1 + 1].click();`);
    const input = await model.input({ images: [bytes], prompt: given.question });
    const difference = await overlayDifference(model, input, { layer: 1, head: 1 });
    const drawn = () => firefox.evaluate<number[]>(`return ${overlayPixels};`);
    await expect.poll(async () => difference(await drawn()), { timeout: 60_000 }).toBeLessThan(2);
    const lens = () => firefox.evaluate(`return ${lensRows};`);
    await expect.poll(lens, { timeout: 60_000 }).toEqual(await expectedLens(model, input));
  });
});
