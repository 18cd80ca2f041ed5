// The commands of analyses as their users meet them, and what they share.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { ablateHeads } from '../../src/analysis/ablation.ts';
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { attributeLogit } from '../../src/analysis/attribution.ts';
import { knockOutImages } from '../../src/analysis/knockout.ts';
import { type LensRow, logitLens } from '../../src/analysis/logit-lens.ts';
import { patchResidual } from '../../src/analysis/patching.ts';
import { decoderRollout } from '../../src/analysis/rollout.ts';
import { headOutputs, headWords } from '../../src/analysis/words.ts';
import { headChoice, onePosition } from '../../src/cli/analysis.ts';
import { toCsv } from '../../src/cli/csv.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';
import { headlight, interrupted, interruptedProcess } from './headlight.ts';

const tasks = resolve('weights/tiny-llava/tasks');
const picture = join(tasks, 'images/warm-cool/test-000.png'); // pink shapes
const other = join(tasks, 'images/warm-cool/test-001.png'); // purple ones
const question = 'What color is the object?';
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-analysis-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function result(...args: string[]) {
  const { code, stdout, stderr } = await headlight(...args, '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

const asked = ['--image', picture, '--prompt', question];
const csvOf = async (file: string) => (await readFile(file, 'utf8')).trim().split('\n');

describe('what the commands share', () => {
  it('reads heads', () => {
    const config = { nLayers: 4, nHeads: 2 };
    expect(headChoice('2.1,0.*')(config)).toEqual([
      { layer: 2, head: 1 },
      { layer: 0, head: 0 },
      { layer: 0, head: 1 },
    ]);
    expect(headChoice('all')(config)).toHaveLength(8);
    for (const wrong of ['2', '2.x', '', '1.1,', '-1.0']) expect(() => headChoice(wrong), wrong).toThrow(/layer\.head/);
    expect([onePosition('last'), onePosition('-3'), onePosition('0')]).toEqual([-1, -3, 0]);
    expect(() => onePosition('end')).toThrow(/Give last/);
  });

  it('writes CSV that any reader takes', () => {
    const rows = [
      { token: 'a,b', value: 1 },
      { token: 'say "x"\n', value: -0.5 },
    ];
    expect(toCsv(rows)).toBe('token,value\n"a,b",1\n"say ""x""\n",-0.5\n');
  });
});

describe('commands', () => {
  it('attention: maps as numbers and pictures, chosen heads or those that look most', async () => {
    const [out, csv] = [join(folder, 'attention.png'), join(folder, 'attention.csv')];
    const { heads, grids, token } = await result('attention', ...asked, '--heads', '2.6', '--out', out, '--csv', csv);
    expect(grids).toEqual([{ label: 'image', rows: 6, columns: 6, visual: 0 }]);
    expect(token).toBe(':');
    expect(heads).toHaveLength(1);
    const [values] = heads[0].values;
    expect(values.reduce((sum: number, x: number) => sum + x, 0)).toBeCloseTo(heads[0].share, 5);
    const rows = await csvOf(csv);
    expect(rows[0]).toBe('layer,head,visual,grid,row,column,attention');
    expect(rows).toHaveLength(37);
    expect((await readFile(out)).subarray(1, 4).toString()).toBe('PNG');
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
    const most = await result('attention', ...asked, '--top', '3');
    const shares = most.heads.map(({ share }: { share: number }) => share);
    expect(shares).toHaveLength(3);
    expect(shares).toEqual([...shares].sort((a, b) => b - a));
  }, 120_000);

  it('attention: rollout over the decoder and the tower', async () => {
    const out = join(folder, 'rollout.svg');
    const decoder = await result('attention', ...asked, '--rollout', 'decoder', '--out', out);
    expect(decoder.share).toBeGreaterThan(0.1);
    expect(decoder.position).toBeGreaterThan(36);
    expect(await readFile(out, 'utf8')).toMatch(/^<svg[\s\S]*Attention rollout of the decoder[\s\S]*data:image\/png/);
    const tower = await result('attention', ...asked, '--rollout', 'vision');
    expect(tower.values[0]).toHaveLength(36);
    expect(tower.grids).toMatchObject([{ visual: 0 }]);
    expect(tower.position).toBeUndefined();
    const csv = join(folder, 'rollout.csv');
    const two = ['--image', picture, '--image', other, '--prompt', question];
    const both = await result('attention', ...two, '--rollout', 'vision', '--csv', csv);
    expect(both.grids).toMatchObject([{ visual: 0 }, { visual: 1 }]);
    expect(new Set((await csvOf(csv)).map((row) => row.replace(/,[^,]*$/, ''))).size).toBe(1 + 2 * 36);
  }, 120_000);

  it('lens: ends in the model’s own answer', async () => {
    const csv = join(folder, 'lens.csv');
    const { rows } = await result('lens', ...asked, '--pos', '-2:', '--token', 'red', '--csv', csv);
    expect(rows).toHaveLength(12);
    expect(rows.at(-1)).toMatchObject({ layer: 5, text: ':', top: [{ text: '␣pink', rank: 0 }, {}, {}, {}, {}] });
    expect(rows.at(-1).tokens[0]).toMatchObject({ text: '␣red' });
    expect(await csvOf(csv)).toHaveLength(1 + 12 * 6);
  }, 120_000);

  it('attribute: parts that add up, those of the colour in the layer that reads it', async () => {
    const { total, logit, heads, token } = await result('attribute', ...asked, '--out', join(folder, 'parts.svg'));
    expect(token).toBe('␣pink');
    expect(Math.abs(total - logit)).toBeLessThan(1e-4 * Math.abs(logit));
    expect(heads.indexOf(Math.max(...heads))).toBe(8 + 5); // head 1.5
  }, 120_000);

  it('words: what that head writes', async () => {
    const { heads } = await result(
      'words',
      ...asked,
      '--heads',
      '1.5',
      '--top',
      '2',
      '--out',
      join(folder, 'words.svg'),
    );
    expect(heads[0].promoted[0].text).toBe('␣pink');
    expect(heads[0].suppressed).toHaveLength(2);
  }, 120_000);

  it('ablate: the answer without it', async () => {
    const options = ['--heads', '1.5,5.0', '--out', join(folder, 'ablate.png')];
    const { baseline, heads } = await result('ablate', ...asked, ...options);
    expect(baseline).toBeGreaterThan(10);
    expect(heads[0]).toMatchObject({ layer: 1, head: 5 });
    expect(heads[0].change).toBeLessThan(-1);
    expect(Math.abs(heads[1].change)).toBeLessThan(1);
  }, 120_000);

  it('ablate: a classifier’s accuracy, and means of examples', async () => {
    const lines = (await readFile(join(tasks, 'warm-cool.train.jsonl'), 'utf8')).split('\n').slice(0, 4);
    const data = join(folder, 'few.jsonl');
    await writeFile(data, lines.join('\n'));
    const images = ['--image-folder', tasks];
    const file = join(folder, 'few.safetensors');
    expect((await headlight('fit', '--train', data, ...images, '--heads', '3', '--out', file)).code).toBe(0);
    const found = await result('ablate', '--classifier', file, '--data', data, ...images, '--heads', '0.0,1.5');
    expect(found).toMatchObject({ queries: 4, measured: 'accuracy', replacedBy: 'zero' });
    for (const { value } of found.heads) expect([...Array(5).keys()].map((n) => n / 4)).toContain(value);
    const mean = await result('ablate', ...asked, '--mean', data, ...images, '--heads', '1.5', '--position', 'last');
    expect(mean).toMatchObject({ replacedBy: 'its mean', position: 'last' });
    expect(mean.heads[0].change).toBeLessThan(0);
    const rows = lines.map((line) => JSON.parse(line));
    const bare = join(folder, 'bare.csv'); // without questions: those of the classifier
    await writeFile(bare, ['image,label', ...rows.map(({ image, label }) => `${image},${label}`)].join('\n'));
    const options = ['--classifier', file, '--data', data, ...images, '--heads', '1.5', '--mean'];
    const { stderr } = await headlight('ablate', ...options, bare);
    expect(stderr).not.toContain('no question is given');
    const same = await result('similarity', '--data', data, '--data', data, ...images, '--select', '2');
    expect(same).toMatchObject({ jaccard: 1 });
    for (const { similarity } of same.heads) expect(similarity).toBeCloseTo(1, 5);
  }, 240_000);

  it('patch: the last position carries the answer after that layer', async () => {
    const options = ['--corrupted-image', other, '--pos', '-2:', '--out', join(folder, 'patch.png')];
    const { patches, clean, corrupted } = await result('patch', ...asked, ...options);
    expect(clean).toBeGreaterThan(0);
    expect(corrupted).toBeLessThan(0);
    expect(patches).toHaveLength(12);
    const last = patches.filter(({ at }: { at: string }) => at === ':').map((p: { restored: number }) => p.restored);
    expect(last[0]).toBeCloseTo(0, 1);
    expect(last[5]).toBeCloseTo(1, 1);
    const heads = await result('patch', ...asked, '--corrupted-image', other, '--what', 'heads');
    const best = heads.patches.reduce((a: { restored: number }, b: { restored: number }) =>
      b.restored > a.restored ? b : a,
    );
    expect(best).toMatchObject({ layer: 1, head: 5 });
  }, 240_000);

  it('knockout: the layer that reads the picture', async () => {
    const [out, csv] = [join(folder, 'knockout.svg'), join(folder, 'knockout.csv')];
    const { baseline, windows } = await result('knockout', ...asked, '--out', out, '--csv', csv);
    expect((await csvOf(csv)).map((row) => row.split(',').slice(0, 2).join())).toEqual([
      ...['start,end', '0,0'],
      ...[0, 1, 2, 3, 4, 5].map((start) => `${start},${start + 1}`),
      '0,6',
    ]);
    const lost = windows.map(({ value }: { value: number }) => baseline - value);
    expect(lost.indexOf(Math.max(...lost))).toBe(1);
  }, 120_000);
});

describe('of a model changed by --edits', () => {
  const gpu = useGpu();
  const edits: Edit[] = [{ at: 'blocks.1.attn.hook_z', heads: [5], set: 0 }]; // the head that reads the colour
  const heads = [{ layer: 1, head: 6 }];
  let vlm: VisionLanguageModel;
  let input: ModelInput;
  let corrupted: ModelInput;
  let file: string;
  beforeAll(async () => {
    vlm = await VisionLanguageModel.load(await openFolder('weights/tiny-llava'), { gpu: gpu() });
    const ask = async (image: string) => vlm.input({ images: [await readFile(image)], prompt: question });
    [input, corrupted] = [await ask(picture), await ask(other)];
    file = join(folder, 'edits.json');
    await writeFile(file, JSON.stringify(edits));
  });
  afterAll(() => vlm?.destroy());

  const [pink, purple] = ['pink', 'purple'].map(
    (text) => () => vlm.processor.tokenizer.encode(text, { addSpecialTokens: false })[0],
  );
  const target = () => ({ token: pink(), against: purple() });
  const targeted = ['--token', 'pink', '--against', 'purple'];

  // biome-ignore lint/suspicious/noExplicitAny: what a command prints
  it.each<[string[], (found: any) => number[], (edits: Edit[]) => Promise<ArrayLike<number>>]>([
    [
      ['lens', '--top', '3'],
      ({ rows }) => rows.flatMap(({ top }: LensRow) => top.map(({ logit }) => logit)),
      async (e) =>
        (await logitLens(vlm.with({ edits: e }), input, { k: 3 })).flatMap(({ top }) => top.map(({ logit }) => logit)),
    ],
    [
      ['attention', '--heads', '2.*'],
      (found) => found.heads.map(({ share }: { share: number }) => share),
      async (e) => {
        const layer = Array.from({ length: 8 }, (_, head) => ({ layer: 2, head }));
        return (await attentionMaps(vlm.with({ edits: e }), input, { heads: layer })).maps.map(({ share }) => share);
      },
    ],
    [
      ['attention', '--rollout', 'decoder'],
      ({ values }) => values[0],
      async (e) => (await decoderRollout(vlm.with({ edits: e }), input)).values[0],
    ],
    [
      ['attribute', ...targeted],
      (found) => [...found.heads, ...found.mlp],
      async (e) => {
        const found = await attributeLogit(vlm.with({ edits: e }), input, { ...target() });
        return [...found.heads, ...found.mlp];
      },
    ],
    [
      ['words', '--heads', '2.3', '--top', '4'],
      (found) => found.heads[0].promoted.map(({ value }: { value: number }) => value),
      async (e) => {
        const outputs = await headOutputs(vlm.with({ edits: e }), input, { heads: [{ layer: 2, head: 3 }] });
        return (await headWords(vlm, outputs, { k: 4 }))[0].promoted.map(({ value }) => value);
      },
    ],
    [
      ['ablate', '--heads', '1.6', ...targeted],
      (found) => [found.baseline, found.heads[0].value],
      async (e) => {
        const found = await ablateHeads(vlm.with({ edits: e }), input, target(), { heads });
        return [found.baseline, found.values[0]];
      },
    ],
    [
      ['patch', '--corrupted-image', other, '--pos', 'last', ...targeted],
      (found) => [found.clean, found.corrupted, ...found.patches.map(({ value }: { value: number }) => value)],
      async (e) => {
        const pair = { clean: input, corrupted };
        const found = await patchResidual(vlm.with({ edits: e }), pair, target(), { positions: [-1] });
        return [found.clean, found.corrupted, ...found.values];
      },
    ],
    [
      ['knockout', ...targeted],
      (found) => [found.baseline, found.everywhere],
      async (e) => {
        const found = await knockOutImages(vlm.with({ edits: e }), input, target());
        return [found.baseline, found.everywhere];
      },
    ],
  ])(
    '%j says what its function does',
    async ([command, ...options], numbers, analyse) => {
      const found = numbers(await result(command, ...asked, ...options, '--edits', file));
      expect(relativeError(found, await analyse(edits))).toBeLessThan(1e-5);
      expect(relativeError(found, await analyse([]))).toBeGreaterThan(1e-3);
    },
    60_000,
  );

  it('attribute: what they write into the residual stream is a part', async () => {
    const [written, csv] = [join(folder, 'written.json'), join(folder, 'written.csv')];
    await writeFile(written, JSON.stringify([{ at: 'blocks.2.hook_resid_post', scale: 2 }]));
    const { total, logit } = await result('attribute', ...asked, '--edits', written, '--csv', csv);
    expect(Math.abs(logit - total)).toBeGreaterThan(1);
    expect((await csvOf(csv)).at(-1)).toBe(`edits,,,${logit - total}`);
  }, 120_000);

  it('measures what is likeliest then', async () => {
    const silent = join(folder, 'silent.json');
    const add = Array.from({ length: vlm.config.text.vocabSize }, (_, id) => (id === purple() ? 100 : 0));
    await writeFile(silent, JSON.stringify([{ at: 'logits', add }]));
    expect(await result('knockout', ...asked, '--edits', silent)).toMatchObject({ token: '␣purple' });
  }, 60_000);
});

describe('usage', () => {
  it.each([
    [['attention', '--prompt', 'x'], /no picture to look at/],
    [['attention', ...asked, '--rollout', 'decoder', '--heads', '1.1'], /leave --heads out/],
    [['lens', ...asked, '--out', 'lens.pdf'], /\.svg or \.png/],
    [['words', '--heads', '1.1'], /give either --prompt or --data/],
    [['words', '--data', 'x.jsonl', '--edits', 'e.json'], /--edits are of a prompt/],
    [['ablate', '--prompt', 'x', '--classifier', 'y'], /go together/],
    [['patch', ...asked], /--corrupted-image or --corrupted-prompt/],
    [['similarity', '--data', 'one.jsonl'], /give --data twice/],
  ] as const)(
    '%j',
    async (args, message) => {
      const found = await headlight(...args);
      expect(found.stderr).toMatch(message);
      expect(found.code).toBe(2);
      expect(found.stdout).toBe('');
    },
    60_000,
  );
});

describe('Ctrl-C ends a command with 130, and leaves no half of a file', () => {
  const halves = async () => (await readdir(folder)).filter((file) => file.endsWith('.part'));

  it('in a process of its own, by its signal', async () => {
    const out = ['--out', join(folder, 'interrupted.safetensors')];
    const said = /loading the checkpoint/;
    expect(await interruptedProcess(said, 'capture', ...asked, '--names', 'logits', ...out)).toBe(130);
    expect(await halves()).toEqual([]);
  }, 60_000);

  it.each([
    // One that asks for its signal now and then, and one that runs in one piece.
    ['ablate', /taking heads out/, '--csv', 'interrupted.csv', ['--heads', '0.*,1.*']],
    ['attention', /attention rollout/, '--out', 'interrupted.png', ['--rollout', 'decoder']],
  ])(
    '%s',
    async (name, said, option, file, rest) => {
      const { code, stderr } = await interrupted(said, name, ...asked, ...rest, option, join(folder, file));
      expect(code, stderr).toBe(130);
      expect((await readdir(folder)).filter((each) => each.startsWith('interrupted'))).toEqual([]);
    },
    60_000,
  );
});
