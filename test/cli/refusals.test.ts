// Every command with something wrong on its line: one line on stderr, nothing on stdout, an exit code that is not 0, and no work
// before it. All of it in this process; cli.test.ts has the same for processes.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { commands, runProgram } from '../../src/cli/program.ts';
import { encodeClassifier } from '../../src/sav/classifier-file.ts';
import { fitNow, synthetic } from '../sav/synthetic.ts';

const folder = mkdtempSync(join(tmpdir(), 'headlight-refusals-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const out = join(folder, 'out');
const image = 'test/fixtures/images/odd-37x53.png';
const row = (label: string, i: number) => JSON.stringify({ image: null, question: `q ${i}`, label });
const rows = file('rows.jsonl', ['a', 'b', 'a', 'b'].map(row).join('\n'));
const notJson = file('broken.json', '{');

async function runHere(args: readonly string[]) {
  const said = { out: '', err: '' };
  const to = (name: 'out' | 'err') => (text: string | Uint8Array, done?: unknown) => {
    said[name] += text;
    if (typeof done === 'function') done();
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(to('out')),
    vi.spyOn(process.stderr, 'write').mockImplementation(to('err')),
  ];
  try {
    return { code: await runProgram(args), ...said };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const prompt = ['--prompt', 'x'];
/** What each command needs to get as far as its model. */
const whole: Record<keyof typeof commands, string[]> = {
  demo: [],
  fit: ['--train', rows, '--out', out],
  classify: ['--classifier', 'none', '--image', image],
  eval: ['--train', rows, '--test', rows],
  generate: prompt,
  capture: [...prompt, '--names', 'logits', '--out', out],
  attention: [...prompt, '--image', image],
  lens: prompt,
  attribute: prompt,
  words: prompt,
  ablate: prompt,
  patch: [...prompt, '--image', image, '--corrupted-image', image],
  knockout: prompt,
  similarity: ['--data', rows, '--data', rows],
  inspect: [],
  bench: [],
  tune: [],
  isa: ['--op', 'add'],
  'dump-wgsl': ['--out', join(folder, 'wgsl')],
  doctor: [],
  download: ['a/b'],
  quantize: ['tiny-llava', '--out', out],
};

/** Command lines, with the exit code and what the line is to say. */
const wrong: [string[], 1 | 2, RegExp][] = [
  ...Object.entries(whole).flatMap(([name, given]): [string[], 1 | 2, RegExp][] => [
    [[name, ...given, '--no-such-option'], 2, /unknown option '--no-such-option'/],
    ['bench', 'doctor', 'download', 'isa', 'quantize'].includes(name)
      ? [[name, ...given, '--model', 'nowhere'], 2, /unknown option '--model'/]
      : [
          [name, ...given, '--model', '/nowhere'],
          1,
          name === 'classify' ? /none: there is no/ : /^headlight: \/nowhere/,
        ],
    ...(['classify', 'isa'].includes(name)
      ? []
      : [[[name, ...given, 'surplus', 'surplus'], 2, /too many arguments/] as [string[], 2, RegExp]]),
  ]),
  [['frobnicate'], 2, /unknown command 'frobnicate'/],
  [['fti'], 2, /Did you mean fit/],
  [
    ['bench', '--filter', 'no such group'],
    2,
    /--filter: no benchmark whose name contains "no such group"; there are: /,
  ],
  [['bench', '--rounds', '0'], 2, /'--rounds <n>' argument '0' is invalid/],
  [['bench', '--kernel', 'none.wgsl'], 2, /none\.wgsl: no such file/],
  [['bench', '--op', 'attention'], 2, /--op goes with --kernel/],
  [['demo', '--tasks', 'none'], 2, /--tasks: there is no none; there are novel-words, /],
  [['demo', '--heads', '0'], 2, /'--heads <k>' argument '0' is invalid/],
  [['fit', '--train', 'none.jsonl', '--out', out], 1, /none\.jsonl/],
  [['fit', '--train', notJson, '--out', out], 1, /broken\.json:1: not a JSON object/],
  [['fit', '--train', rows, '--out', folder], 2, /'--out <file>' argument '.*' is invalid. It is a folder/],
  [['fit', '--train', rows, '--out', join(rows, 'x')], 2, /rows\.jsonl is no folder/],
  [['fit', '--train', rows, '--out', out, '--heads-from', 'none'], 1, /none: there is no/],
  [['fit', '--train', rows, '--out', out, '--max-layer', '-1'], 2, /'--max-layer <l>' argument '-1' is invalid/],
  [['fit', '--train', rows, '--out', out, '--prompt-set', 'x'], 2, /'--prompt-set <name>' argument 'x' is invalid/],
  [['classify', '--classifier', notJson, '--image', image], 1, /broken\.json: /],
  [['classify', '--classifier', 'x'], 2, /give either --data or a query/],
  [['eval', '--train', rows, '--test', 'none.jsonl'], 1, /none\.jsonl/],
  [['eval', '--train', rows, '--test', rows, '--baseline-encoder', '/nowhere'], 1, /\/nowhere/],
  [['eval', '--train', rows, '--test', rows, '--method', 'x'], 2, /'--method <names>' argument 'x' is invalid/],
  [['generate', ...prompt, '--image', 'none.png'], 1, /none\.png/],
  [['generate', ...prompt, '--video', 'none.mp4'], 1, /none\.mp4/],
  [['generate', ...prompt, '--temperature', 'hot'], 2, /'--temperature <t>' argument 'hot' is invalid/],
  [['generate', ...prompt, '--edits', 'none.json'], 1, /none\.json/],
  [['generate', ...prompt, '--edits', notJson], 2, /broken\.json: not JSON/],
  [['capture', ...prompt, '--names', 'x', '--out', out, '--pos', 'x'], 2, /'--pos <position>' argument 'x' is invalid/],
  [['attention', ...prompt, '--heads', 'x'], 2, /'--heads <list>' argument 'x' is invalid/],
  [['lens', ...prompt, '--out', 'x.gif'], 2, /'--out <file>' argument 'x.gif' is invalid. Plots are written as/],
  [['words'], 2, /give either --prompt or --data/],
  [['ablate', '--classifier', 'x'], 2, /--classifier and --data go together/],
  [['ablate', ...prompt, '--mean', 'none.jsonl'], 1, /none\.jsonl: there is no such file/],
  [['similarity', '--data', rows], 2, /two tasks are compared: give --data twice/],
  [['inspect', '--image-size', '640'], 2, /'--image-size <WxH>' argument '640' is invalid/],
  [['generate', '--prompt', 'a', '--arithmetic', 'f64'], 2, /argument 'f64' is invalid. Allowed choices are f32, f16/],
  [['dump-wgsl', '--tokens', '3', '--image-size', '1x1'], 2, /--image-size and --tokens are two kinds of prompt/],
  [['download', 'x'], 2, /x is no model's id/],
  [['download'], 2, /missing required argument 'hub-id'/],
  [['quantize', '--out', out], 2, /missing required argument 'model'/],
  [['quantize', 'tiny-llava'], 2, /required option '--out <dir>' not specified/],
  [['quantize', 'tiny-llava', '--out', ''], 2, /--out: name the folder to write/],
  [['quantize', '/nowhere', '--out', out], 1, /^headlight: \/nowhere/],
  [['quantize', 'tiny-llava', '--out', rows], 2, /--out: .*rows\.jsonl is a file; name a folder/],
  [['quantize', 'tiny-llava', '--out', folder], 2, /--out: .* is not empty; name another folder, or give --replace/],
  [['quantize', 'tiny-llava', '--out', folder, '--replace'], 2, /--out: .* is not of quantize, and is not replaced/],
  [['quantize', 'tiny-llava', '--out', 'weights/tiny-llava', '--replace'], 2, /is the checkpoint itself; name another/],
  [['quantize', 'tiny-llava', '--out', out, '--weights', 'q5'], 2, /'--weights <format>' argument 'q5' is invalid/],
  [['quantize', 'tiny-llava', '--out', out, '--weights', 'heads=q4'], 2, /weights: no part heads; there are tower/],
];

describe('what is wrong on a command line', () => {
  it('has an entry for every command', () => {
    expect(Object.keys(whole)).toEqual(Object.keys(commands));
  });

  it.each(wrong)('%j', async (args, code, message) => {
    const { code: got, out, err } = await runHere(args);
    const lines = err.split('\n').filter((line) => /^(headlight|error): /.test(line));
    expect(lines).toHaveLength(1);
    expect(err).toMatch(message);
    expect(err).not.toMatch(/adapter:|\n\s+at /); // before anything is opened
    expect([got, out]).toEqual([code, '']);
  });
});

describe('the list of commands', () => {
  it.each([['--help'], ['--version'], ['fti'], []])('loads none of them: %j', async (...args) => {
    const loads = Object.values(commands).map((each) => vi.spyOn(each, 'load'));
    const { out, err } = await runHere(args);
    for (const load of loads) expect(load).not.toHaveBeenCalled();
    for (const load of loads) load.mockRestore();
    const [word] = args;
    if (word === 'fti') expect(err).toMatch(/unknown command 'fti'\n\(Did you mean fit\?\)/);
    else if (word === '--version') expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
    else
      for (const [name, { summary }] of Object.entries(commands))
        expect((out + err).replace(/\s+/g, ' ')).toContain(` ${name} ${summary} `);
  });

  it('gives way to the help of a command that is named', async () => {
    const { out } = await runHere(['help', 'fit']);
    expect(out).toBe((await runHere(['fit', '--help'])).out);
    expect(out).toMatch(/--question/);
  });
});

it('names no page of the documentation that the package does not ship', async () => {
  const packed = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8', stdio: 'pipe' }),
  )[0].files.map((f: { path: string }) => f.path);
  const named: string[] = [];
  for (const name of Object.keys(commands)) {
    const { out } = await runHere([name, '--help']);
    // Help is folded at the width of the terminal.
    for (const [, page] of out
      .replace(/\n\s+/g, '\n')
      .replace(/\n/g, ' ')
      .matchAll(/(\S+\.md)\b/g))
      named.push(page);
  }
  expect(new Set(named).size).toBeGreaterThan(1);
  for (const page of named) {
    expect(existsSync(page), page).toBe(true);
    expect(packed).toContain(relative(process.cwd(), page));
  }
});

it.each([
  ['--none-of-these', 'the distance of examples from their classes'],
  ['--abstain', 'confidence'],
])('classify names the flag %s where the classifier has no measure for it', async (flag, what) => {
  const { features, labels } = synthetic({ labels: ['a', 'b'], perLabel: 1 });
  const classifier = join(folder, 'single.safetensors');
  writeFileSync(classifier, encodeClassifier(fitNow(features, labels).classifier));
  const { code, err } = await runHere(['classify', '--classifier', classifier, '--image', image, flag, '0.05']);
  expect(code).toBe(1);
  expect(err).toBe(
    `headlight: ${flag}: ${what} was not measured for this classifier; fit it with two or more different pictures a label\n`,
  );
});
