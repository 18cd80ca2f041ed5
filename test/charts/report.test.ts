import { beforeAll, describe, expect, it } from 'vitest';
import { confusionFigure } from '../../src/charts/report/confusion.ts';
import { html } from '../../src/charts/report/markup.ts';
import { imageType } from '../../src/charts/report/query-card.ts';
import { aboveChance, pickQueries, type Report, renderReport } from '../../src/charts/report/report.ts';
import { escapeMarkup } from '../../src/charts/svg.ts';
import { type Experiment, runExperiment } from '../../src/sav/experiment.ts';
import { confusions } from '../../src/sav/metrics.ts';
import { raw } from '../base/hostile.ts';
import { synthetic } from '../sav/synthetic.ts';

const png = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3);
const hostile = `<script>alert(1)</script><img src=x onerror=alert(2)>" onload='alert(3)' {{7*7}} ]]>&amp;\u001b[31m\u009b\u202e\ud800`;

function experiment(labels: string[], signal: Record<number, number>, zeroShot = false): Promise<Experiment> {
  const task = { nLayers: 3, nHeads: 4, labels, signal };
  const test = synthetic({ ...task, perLabel: 15, seed: 2 });
  return runExperiment(synthetic({ ...task, perLabel: 6 }), test, {
    k: 3,
    prompt: hostile,
    encoders: zeroShot
      ? [
          {
            name: `CLIP ${hostile}`,
            features: 'image',
            labelPrompt: hostile,
            zeroShot: test.labels.map(() => labels[0]),
            nearestCentroid: test.labels,
          },
        ]
      : undefined,
    zeroShotAnswers: zeroShot ? test.labels.map((_, i) => (i % 3 ? labels[0] : `hm ${hostile}`)) : undefined,
  });
}

function reportOf(...tasks: Report['tasks']): Report {
  return { title: 'Report', facts: [{ name: 'model', value: 'tiny' }], tasks };
}

describe('runExperiment', () => {
  it('compares chosen heads with all, random, zero-shot, and other numbers of heads', async () => {
    const result = await experiment(['a', 'b'], { 1: 1.5, 6: 1.5 }, true);
    expect(result.evaluation.accuracy).toBeGreaterThan(0.85);
    expect(result.evaluation.accuracy).toBeGreaterThan(result.randomHeads.mean);
    expect(result.randomHeads.least).toBeLessThanOrEqual(result.randomHeads.greatest);
    expect(result.byK.map(({ k }) => k)).toEqual([1, 2, 3, 5, 7, 10, 12]);
    expect(result.byK.find(({ k }) => k === 3)?.accuracy).toBe(result.evaluation.accuracy);
    expect(result.byK.at(-1)?.accuracy).toBe(result.allHeads.accuracy);
    // 10 of 30 answers are no label; of the other 20, those of label a are right.
    expect(result.zeroShot?.confusion.map((row) => row[2])).toEqual([5, 5]);
    expect(result.zeroShot?.correct).toBe(10);
    expect(result.encoders).toHaveLength(1);
    expect(result.encoders[0].zeroShot.accuracy).toBe(0.5);
    expect(result.encoders[0].nearestCentroid.accuracy).toBe(1);
    expect((await experiment(['a', 'b'], {})).encoders).toEqual([]);
  });
});

describe('renderReport', () => {
  let page: string;
  let body: string;
  beforeAll(async () => {
    const good = await experiment([hostile, 'b'], { 1: 3, 6: 3 }, true);
    const chance = await experiment(['a', 'b'], {});
    page = await renderReport({
      ...reportOf(
        {
          name: hostile,
          description: hostile,
          experiment: good,
          warnings: [hostile],
          queries: [
            {
              images: [png],
              imageNames: [hostile],
              question: hostile,
              truth: 'b',
              prediction: good.predictions[0],
              zeroShotAnswer: hostile,
              attention: {
                heads: 2,
                mean: [{ picture: png, share: 0.41 }],
                each: [{ layer: 1, head: 2, picture: png, share: 0.125 }],
              },
              nearest: { images: [png], name: hostile, label: hostile, similarity: 0.987 },
            },
            {
              images: [new TextEncoder().encode('<svg onload="alert(4)"/>')],
              question: 'plain?',
              prediction: good.predictions[1],
            },
          ],
        },
        { name: 'nothing to see', experiment: chance, queries: [] },
      ),
      introduction: hostile,
      facts: [{ name: hostile, value: hostile }],
    });
    body = page.slice(page.indexOf('<body>'));
  });

  it('lets no string of the data become markup', () => {
    expect(page).not.toMatch(/<script/i);
    expect(page).not.toMatch(raw);
    // All tags are ours, with no handler among the attributes: attribute values hold no raw quotes or brackets.
    const tags = body.match(/<[^>]*>/g)!;
    for (const tag of tags) expect(tag.replace(/"[^"]*"/g, '""')).not.toMatch(/\son\w+=/i);
    const names = new Set(tags.map((tag) => /^<\/?([a-z\d]+)/i.exec(tag)?.[1]));
    expect(
      [...names].filter(
        (name) =>
          !/^(body|main|header|h\d|p|dl|dt|dd|section|figure|figcaption|span|i|b|svg|g|path|text|line|rect|div|table|thead|tbody|tr|th|td|a|small|br|article|img|details|summary|code|html)$/.test(
            name ?? '',
          ),
      ),
    ).toEqual([]);
    expect(body.split(escapeMarkup(hostile)).length).toBeGreaterThan(10);
  });

  it('shows encoders beside the other baselines', () => {
    const name = escapeMarkup(`CLIP ${hostile}`);
    expect(page).toContain(`<b>50.0 %</b>${name}, zero-shot: ${escapeMarkup(hostile)}`);
    expect(page).toContain(`<b>100 %</b>${name}, nearest centroid of image`);
  });

  it('refers to nothing outside the file', () => {
    const links = [...body.matchAll(/(?:href|src)="([^"]*)"/g)].map((match) => match[1]);
    expect(links.length).toBeGreaterThan(1);
    for (const link of links) expect(link).toMatch(/^(#task-\d|data:image\/png;base64,)/);
    expect(page).toContain(`content="default-src 'none'`);
    expect(page.replace(/http:\/\/www\.w3\.org\/\d+\/\w+/g, '')).not.toMatch(/https?:/);
  });

  it('embeds images by content, and shows none that may hold a script', () => {
    expect(page).toContain(`src="data:image/png;base64,${Buffer.from(png).toString('base64')}"`);
    expect(page).not.toContain('<svg onload');
  });

  it('shows where heads looked, the nearest training example and file names; every picture has an alternative text', async () => {
    const alts = [...body.matchAll(/<img [^>]*alt="([^"]*)"/g)].map((match) => match[1]);
    const name = escapeMarkup(hostile);
    const { winner: label } = (await experiment([hostile, 'b'], { 1: 3, 6: 3 }, true)).predictions[0];
    expect(alts).toEqual([
      name,
      `Where 2 heads that voted ${escapeMarkup(label)} looked in ${name}`,
      'Where head 1.2 looked',
      `Nearest training example: ${name}, labelled ${name}`,
    ]);
    expect(body).toContain('looked at by 2 heads: 41\u00a0%');
    expect(body).toContain('1.2: 13\u00a0%');
    expect(body).toContain('cosine 0.99');
    expect(body).toContain('(the picture is not shown: not PNG, JPEG, WebP or GIF)');
  });

  it('draws each plot as SVG text: one overview, and a map and bars per task', () => {
    expect(body.match(/<svg /g)).toHaveLength(5);
    expect(body).not.toMatch(/NaN|undefined|\[object/);
  });

  it('says in words what stays at chance, and what does not', () => {
    expect(body).toContain('On 1 of 2 tasks SAVs stay at chance');
    expect(body).toMatch(/At chance: [\d.]+ % \(\d+ of 30 right/);
    expect(body).toMatch(/above the model without examples/);
    expect(body).toContain('none of the labels 10 of 30 times');
    expect(body).not.toContain('none of those answers is a label');
    expect(body.match(/class="tag">at chance/g)).toHaveLength(2);
  });
});

describe('a task of 200 classes', async () => {
  const labels = Array.from({ length: 200 }, (_, i) => `class ${i}`);
  const confusion: number[][] = labels.map((_, r) =>
    labels.map((_, c) => (r === c ? 4 : c === (r * 7) % 200 && r < 30 ? 6 : 0)),
  );
  confusion[7][3] = 9;
  const evaluation = { ...(await experiment(['a', 'b'], {})).evaluation, labels, confusion };

  it('lists what was confused most, and which classes are worst', () => {
    const { text } = confusionFigure(evaluation);
    expect(text.length).toBeLessThan(8000);
    expect(text).toContain('<td class="label">class 7</td><td class="label">class 3</td><td>9 of 19</td>');
    expect(text).toContain('each at most 6 times');
    expect(text).toContain('<td class="label">class 7</td><td>4 of 19</td>');
    expect(text).toContain('of 200 that have queries; 171 of them are always right');
  });

  it('counts every pair once, the most frequent first', () => {
    const pairs = confusions(evaluation);
    expect(pairs).toHaveLength(30);
    expect(pairs[0]).toEqual({ truth: 'class 7', answer: 'class 3', count: 9, of: 19 });
    expect(pairs.every(({ count }, i) => i === 0 || count <= pairs[i - 1].count)).toBe(true);
  });

  it('is a table where it can be read, answers that are no label included', () => {
    const few = {
      ...evaluation,
      labels: ['a', 'b'],
      confusion: [
        [3, 1, 2],
        [0, 4, 0],
      ],
    };
    expect(confusionFigure(few).text).toContain('<th class="label" scope="col">no label</th>');
    expect(confusions(few)).toEqual([
      { truth: 'a', answer: undefined, count: 2, of: 6 },
      { truth: 'a', answer: 'b', count: 1, of: 6 },
    ]);
  });
});

describe('parts of the report', () => {
  it('html escapes strings and keeps markup', () => {
    expect(html`<b title="${'"\'<&>'}">${[html`<i>${1}</i>`, '<']}${undefined}${false}</b>`.text).toBe(
      '<b title="&quot;&#39;&lt;&amp;&gt;"><i>1</i>&lt;</b>',
    );
  });

  it('pickQueries shows mistakes beside right answers', () => {
    const right = [true, true, false, true, false, false, true];
    expect(pickQueries(right, 4)).toEqual([0, 1, 2, 4]);
    expect(pickQueries(right, 99)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(pickQueries([false, false, false, true], 4)).toEqual([0, 1, 2, 3]);
    expect(pickQueries([true, true, true], 2)).toEqual([0, 1]);
  });

  it('aboveChance asks the interval, not the accuracy', async () => {
    const { evaluation } = await experiment(['a', 'b'], {});
    expect(aboveChance({ ...evaluation, accuracy: 0.6, interval: [0.47, 0.7], chance: 0.5 })).toBe(false);
    expect(aboveChance({ ...evaluation, accuracy: 0.6, interval: [0.51, 0.7], chance: 0.5 })).toBe(true);
  });

  it('imageType goes by the first bytes', () => {
    expect(imageType(png)).toBe('image/png');
    expect(imageType(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0))).toBe('image/jpeg');
    expect(imageType(new TextEncoder().encode('RIFF1234WEBPVP8 '))).toBe('image/webp');
    expect(imageType(new TextEncoder().encode('GIF89a'))).toBe('image/gif');
    expect(imageType(new TextEncoder().encode('RIFF1234WAVE'))).toBeUndefined();
    expect(imageType(new Uint8Array())).toBeUndefined();
  });
});
