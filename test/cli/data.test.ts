// Data as commands take it, before any model.
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { confusionText } from '../../src/cli/confusion.ts';
import { Context } from '../../src/cli/context.ts';
import { type DataOptions, defaultQuestion, type ReadDataOptions, readData } from '../../src/cli/data.ts';
import { progressLines } from '../../src/cli/progress.ts';
import { readQueries } from '../../src/cli/queries.ts';
import { checkHeadOptions } from '../../src/cli/training.ts';
import { readAnswers } from '../../src/sav/answers.ts';
import { MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import { evaluate } from '../../src/sav/metrics.ts';
import { encodeProject } from '../../src/sav/project-file.ts';
import { example, FakeModel, fitNow } from '../sav/synthetic.ts';

class QuietContext extends Context {
  readonly notes: string[] = [];
  constructor() {
    super(false, new AbortController().signal);
  }
  override note(text: string): void {
    this.notes.push(text);
  }
}

let root: string;
const picture = (name: string) => cp('test/fixtures/images/tiny-3x2.png', join(root, name), { recursive: true });
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'headlight-data-'));
  for (const name of ['photos/cat/1.png', 'photos/cat/2.png', 'photos/dog/1.png', 'a.png', 'b c.png'])
    await picture(name);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const write = async (name: string, text: string) => {
  await writeFile(join(root, name), text);
  return join(root, name);
};
const read = async (location: string, options: DataOptions = {}, how?: ReadDataOptions) => {
  const context = new QuietContext();
  const examples = await readData(context, location, options, how).catch((error: Error) => error);
  return { context, examples, failure: examples instanceof Error ? examples.message : undefined };
};
const rowsOf = async (...args: Parameters<typeof read>) => {
  const { examples } = await read(...args);
  if (examples instanceof Error) throw examples;
  return examples.map(({ images, prompt, label }) => [images.join('+'), prompt, label]);
};

describe('readData', () => {
  it('takes a folder, a CSV and JSON Lines for the same task', async () => {
    const rows = [
      ['cat/1.png', 'Which?', 'cat'],
      ['cat/2.png', 'Which?', 'cat'],
      ['dog/1.png', 'Which?', 'dog'],
    ];
    const asked = { question: 'Which?' };
    expect(await rowsOf(join(root, 'photos'), asked)).toEqual(rows);
    expect(await rowsOf(`${join(root, 'photos')}/`, asked)).toEqual(rows);
    const csv = 'label,image,more\ncat,cat/1.png,\ncat,./cat/2.png,x\ndog,dog\\1.png,\n';
    const paths = rows.map(([path, ...rest], i) => [[path, './cat/2.png', 'dog\\1.png'][i], ...rest]);
    expect(await rowsOf(await write('photos/rows.csv', csv), asked)).toEqual(paths);
    expect(await rowsOf(await write('photos/rows.tsv', `\uFEFF${csv.replaceAll(',', '\t')}`), asked)).toEqual(paths);
    expect(await rowsOf(await write('photos/rows', csv.replaceAll(',', ';').replaceAll('\n', '\r\n')), asked)).toEqual(
      paths,
    );
    const json = rows.map(([image, , label]) => JSON.stringify({ image, label })).join('\n');
    expect(await rowsOf(await write('photos/rows.jsonl', json), asked)).toEqual(rows);
    await rm(join(root, 'photos/rows.csv'));
  });

  it('takes a project with its question, and with another where one is given', async () => {
    const bytes = await readFile('test/fixtures/images/tiny-3x2.png');
    const pictures = [
      { name: '1.png', label: 'cat', bytes },
      { name: 'q.png', bytes },
      { name: '1.png', label: 'dog', bytes },
    ];
    const file = join(root, 'pets.headlight');
    const project = { question: 'Which animal?', fit: {}, pictures };
    await writeFile(file, encodeProject(project));
    const [cat, query, dog] = pictures.map(({ name, label }) => [name, project.question, label]);
    expect(await rowsOf(file)).toEqual([cat, dog]);
    expect(await rowsOf(pathToFileURL(file).href, {}, { labels: 'optional' })).toEqual([cat, query, dog]);
    const questions = async (options?: DataOptions, how?: ReadDataOptions) =>
      new Set((await rowsOf(file, options, how)).map(([, prompt]) => prompt));
    expect(await questions({ question: 'Q?' })).toEqual(new Set(['Q?']));
    expect(await questions({}, { prompt: 'fitted' })).toEqual(new Set(['fitted']));
    expect((await read(file, { imageFolder: root })).failure).toMatch(/go with a data file; .* is a project$/);
    await writeFile(file, encodeProject(project).subarray(0, -1));
    expect((await read(file)).failure).toBe(
      `${file}: is no whole safetensors file: damaged, or not a project; save the project again`,
    );
  });

  it('asks the question of rows that have none, or the default where nobody asks anything', async () => {
    const mixed = await write('mixed.csv', 'image,label,question\na.png,x,Own?\nb c.png,y,\n');
    expect((await rowsOf(mixed, { question: 'Q?' })).map(([, prompt]) => prompt)).toEqual(['Own?', 'Q?']);
    expect((await read(mixed)).failure).toMatch(/mixed\.csv:3: has no field 'question'; .*--question/);
    expect((await rowsOf(mixed, {}, { prompt: 'fitted' })).map(([, prompt]) => prompt)).toEqual(['Own?', 'fitted']);
    const silent = await read(await write('silent.csv', 'image,label\na.png,x\nb c.png,y\n'));
    expect(silent.examples).toMatchObject([{ prompt: defaultQuestion }, { prompt: defaultQuestion }]);
    expect(silent.context.notes.join()).toContain(`“${defaultQuestion}”; --question asks another`);
    expect(await rowsOf(join(root, 'silent.csv'), { promptSet: 'pets', question: 'Q?' })).toContainEqual([
      'a.png',
      '\nQ? Answer with the class name.',
      'x',
    ]);
  });

  it('does not ask --question of rows that have no picture either', async () => {
    const ids = await write('ids.csv', 'id,label\n1,x\n2,y\n');
    const bare = /ids\.csv: 2 of 2 cannot be used/;
    const { failure, context } = await read(ids, { question: 'Q?' });
    expect(failure).toMatch(bare);
    expect(context.notes[0]).toMatch(/ids\.csv:2: has neither a picture nor a field 'question'; .* into 'image'$/);
    expect((await read(ids, {}, { prompt: 'fitted' })).failure).toMatch(bare);
    const texts = await write('texts.csv', 'question,label\nOne?,x\nTwo?,y\n');
    expect((await rowsOf(texts, { question: 'Q?' })).map(([, prompt]) => prompt)).toEqual(['One?', 'Two?']);
  });

  it('lists the bad rows before anything is loaded, or goes on without them', async () => {
    const lines = [
      '{"image": "a.png", "question": "q", "label": "x"}',
      '{',
      '{"image": "none.png", "question": "q", "label": "x"}',
    ];
    lines.push('{"image": "a.png", "question": "q"}', '{"image": "../out.png", "question": "q", "label": "x"}');
    for (let i = 0; i < 12; i++) lines.push('{"image": "bad.jsonl", "question": "q", "label": "x"}');
    const file = await write('bad.jsonl', lines.join('\n'));
    const { failure, context } = await read(file);
    expect(failure).toMatch(/bad\.jsonl: 16 of 17 cannot be used \(listed above\); .*--skip-bad$/);
    expect(context.notes).toHaveLength(11);
    expect(context.notes.slice(0, 3).join('\n')).toMatch(
      /bad\.jsonl:2: .*\n.*bad\.jsonl:4: has no field 'label'.*\n.*:5: '..\/out.png' is outside/,
    );
    expect(context.notes[10]).toBe('  and 6 more');
    const skipped = await read(file, { skipBad: true });
    expect(skipped.examples).toHaveLength(1);
    expect(skipped.context.notes.at(-1)).toMatch(/16 of 17 cannot be used and are left out/);
    const one = await read(await write('one.csv', 'image,label\na.png,x\nnone.png,y\n'), { question: 'q' });
    expect(one.failure).toMatch(/^one\.csv:3: cannot read 'none\.png' in .* \(--skip-bad goes on without it\)$/);
    const strange = await write('strange.jsonl', '{"image": "a.png", "question": "q", "candidates": ["x", "z"]}');
    expect((await read(strange, {}, { labels: 'optional', known: ['x', 'y'] })).failure).toMatch(/has no label 'z'/);
  });

  it('says what is wrong with a file as a whole', async () => {
    const of = async (name: string, text: string | Uint8Array) => {
      await writeFile(join(root, name), text);
      return (await read(join(root, name))).failure;
    };
    expect(await of('p.csv', 'path,label\na.png,x\n')).toMatch(
      /no row has 'image', but "path" holds what looks like a picture/,
    );
    expect(await of('pictures.jsonl', '{"images": ["a.png"], "label": "x"}\n')).toMatch(
      /no row has 'image', but "images" holds what looks like a picture; call it 'image'/,
    );
    expect(await of('short.csv', 'image,label\na.png\n')).toMatch(/^short\.csv:2: has 1 of the header's 2 cells; /);
    expect(await of('twice.csv', 'image,label,label\na.png,x,y\n')).toMatch(
      /^twice\.csv:2: field 'label': a list \(or columns of one name\) cannot stand here/,
    );
    expect(await of('bytes.jsonl', '{"image": {"path": "a.png"}, "label": "x"}\n')).toMatch(
      /^bytes\.jsonl:1: field 'image': an object cannot stand here/,
    );
    expect(await of('p.png', new Uint8Array([0x89, 0x50]))).toMatch(/^p\.png: is a picture, not rows; give a folder/);
    expect(await of('lable.csv', 'image,lable\na.png,x\n')).toMatch(
      /^lable\.csv:2: has no field 'label'; it has "image", "lable"/,
    );
    expect(await of('lable.jsonl', '{"image": "a.png", "question": "q", "lable": "x"}')).toMatch(
      /^lable\.jsonl:1: has no field 'label'; it has "image", "question", "lable"/,
    );
    expect(await of('h.csv', 'a.png,x\nb.png,y\n')).toMatch(
      /h\.csv:1: the first line names the columns, and none of these is one/,
    );
    expect(await of('l.json', '[{"image": "a.png"}]')).toMatch(/is a JSON list; expected one object a line/);
    expect(await of('u.csv', Uint8Array.of(0xff, 0xfe, 0x61, 0))).toMatch(
      /is not UTF-8 text but UTF-16; save it as UTF-8/,
    );
    expect(await of('e.csv', 'image,label\n')).toMatch(/no examples; expected rows under the header/);
    expect(await of('c.csv', 'image,label,question\na.png,x,one, two\n')).toMatch(
      /c\.csv:2: has 4 cells, the header 3 columns/,
    );
    const folder = await read(join(root, 'photos'), { imageFolder: root });
    expect(folder.failure).toMatch(/--image-folder and --allow-folder go with a data file/);
    expect((await read(join(root, 'a.csv'))).failure).toMatch(/a\.csv: there is no such file/);
  });

  it('reads rows from a pipe, their pictures from the working directory', async () => {
    const script = `
      import { Context } from './src/cli/context.ts';
      import { readData } from './src/cli/data.ts';
      const context = new Context(false, new AbortController().signal);
      const rows = await readData(context, '-', { question: 'q' });
      console.log(rows.map(({ source, label }) => source + ' ' + label).join());
      process.exit();`;
    const file = await write('script.mts', script.replaceAll("'./src", `'${process.cwd()}/src`));
    const run = promisify(execFile)('node', ['--import', 'tsx', '-C', 'headlight-source', file]);
    run.child.stdin!.end('image;label\ntest/fixtures/images/scene.png;x\n');
    expect((await run).stdout).toBe('standard input:2 x\n');
  });
});

describe('queries of classify', () => {
  const classifier = async (images: number | undefined, prompt?: string) => {
    const vectors = [
      [1, 0],
      [1, 0.1],
      [0, 1],
      [0.1, 1],
    ].map((x) => Float32Array.from(x));
    const features = { modelId: 'm', nLayers: 1, nHeads: 1, dHead: 2, vectors };
    return fitNow(features, ['x', 'x', 'y', 'y'], { k: 1, calibrate: false, images, prompt }).classifier;
  };
  const queries = async (images: number | undefined, options: object) =>
    (await readQueries(new QuietContext(), { pictures: [], ...options }, await classifier(images, 'fitted'))).map(
      ({ images, prompt }) => [images.length, prompt],
    );
  it('are a picture each, or as many together as an example had', async () => {
    const [a, b] = [join(root, 'a.png'), join(root, 'b c.png')];
    expect(await queries(1, { image: [a, b] })).toEqual([
      [1, 'fitted'],
      [1, 'fitted'],
    ]);
    expect(await queries(2, { image: [a, b] })).toEqual([[2, 'fitted']]);
    expect(await queries(undefined, { image: [a, b] })).toEqual([[2, 'fitted']]);
    expect(await queries(1, { pictures: [a, join(root, 'photos')], question: 'Own?' })).toEqual(
      new Array(4).fill([1, 'Own?']),
    );
    await expect(queries(2, { image: [a] })).rejects.toThrow(
      /fitted on 2 pictures an example, and 1 is given: give --image 2 times/,
    );
    await expect(queries(0, { image: [a] })).rejects.toThrow(/leave --image out/);
    await expect(queries(1, { pictures: [join(root, 'none.png')] })).rejects.toThrow(
      /none\.png: there is no such file/,
    );
    await mkdir(join(root, 'nothing'), { recursive: true });
    await expect(queries(1, { pictures: [join(root, 'nothing')] })).rejects.toThrow(/nothing: no pictures in it/);
  });
});

describe('what long runs and many classes print', () => {
  it('a line every ten seconds at most, and none of short work', () => {
    let now = 0;
    const lines: string[] = [];
    const progress = progressLines(
      (line) => lines.push(line),
      'vectors',
      100,
      () => now,
    );
    for (let done = 1; done <= 100; done++) {
      now += 3000;
      progress.update(done, 'detail');
    }
    expect(lines.slice(0, 2)).toEqual(['vectors …', 'vectors: 10 %, 270 s left, detail'.replace('270 s', '5 min')]);
    expect(lines.length).toBe(10);
    const short: string[] = [];
    progressLines(
      (line) => short.push(line),
      'x',
      2,
      () => 0,
    ).update(1);
    expect(short).toEqual(['x …']);
  });

  it('a matrix of few classes, the worst of many', () => {
    const few = evaluate(['a', 'b'], ['a', 'a'], ['a', 'b']);
    expect(confusionText(few)).toMatch(/^truth \\ SAV +a +b\n/);
    const labels = Array.from({ length: 200 }, (_, i) => `class ${i}`);
    const said = labels.map((label, i) => (i % 2 ? label : labels[(i + 1) % 200]));
    const many = confusionText(evaluate(labels, said, labels));
    expect(many.length).toBeLessThan(2000);
    expect(many).toMatch(/^200 labels; what is taken for what most often \(10 of 100; all in --json/);
    expect(confusionText(evaluate(labels, labels, labels))).toBe('200 labels, every query right');
  });

  it('names the option that asks for too many heads', () => {
    const model = { nLayers: 2, nHeads: 4 };
    expect(() => checkHeadOptions(model, { heads: 9 })).toThrow('--heads 9: there are 8 heads in layers 0 to 1');
    expect(() => checkHeadOptions(model, { heads: 5, maxLayer: 0 })).toThrow(
      '--heads 5: there are 4 heads in layers 0 to 0',
    );
    expect(() => checkHeadOptions(model, { maxLayer: 2 })).toThrow('--max-layer 2: this model has layers 0 to 1');
  });
});

describe('readAnswers', () => {
  it('keeps answers in a cache, under all that they depend on, and answers again where an entry is damaged', async () => {
    const model = Object.assign(new FakeModel(), {
      asked: 0,
      endTokens: new Set([1]),
      async answers(this: { asked: number }, prompts: readonly { prompt: string }[]) {
        this.asked += prompts.length;
        return prompts.map(({ prompt }) => ({
          text: `é "${prompt}"\n`,
          labelScores: [-0.1, Number(prompt.length) / 3],
          headVectors: new Float32Array(16).fill(prompt.length),
        }));
      },
    });
    const rows = [example('one', { 'a.png': Uint8Array.of(1) }), example('three', { 'a.png': Uint8Array.of(1) })];
    const store = new MemoryFeatureStore();
    const notices: string[] = [];
    const ask = (labels: string[]) =>
      readAnswers(model, rows, labels, { store, onNotice: (notice) => notices.push(notice) });
    const first = await ask(['x', 'y']);
    expect(await ask(['x', 'y'])).toEqual(first);
    expect(model.asked).toBe(2);
    await ask(['x', 'z']);
    expect(model.asked).toBe(4);
    for (const [key, bytes] of store.entries)
      store.entries.set(
        key,
        bytes.map((byte, i) => (i === 70 ? byte ^ 1 : byte)),
      );
    expect(await ask(['x', 'y'])).toEqual(first);
    expect(model.asked).toBe(6);
    expect(notices).toHaveLength(2);
  });
});
