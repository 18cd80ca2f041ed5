// Every example of docs/ runs and finds what its page reports: one as its first lines say, in a process of its own, the others
// within this one and on one device, since a process and the compiling of the same kernels take longer than most examples.
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { format, promisify } from 'node:util';
import { describe, expect, it, vi } from 'vitest';
import { parseConfig } from '../src/model/families/index.ts';
import { hookPoints } from '../src/model/interventions/hook-points.ts';

// Each opens a GPU: on the device of the first.
vi.mock('../src/gpu/gpu.ts', async (original) => {
  const { openGpu, ...rest } = await original<typeof import('../src/gpu/gpu.ts')>();
  let first: ReturnType<typeof openGpu> | undefined;
  const openShared = async () => {
    first ??= openGpu();
    return openGpu({ device: (await first).device });
  };
  return { ...rest, openGpu: openShared };
});

/** The first number behind a text, on the same line. */
function after(output: string, text: string): number {
  const line = output.split('\n').find((l) => l.includes(text));
  const found = /-?\d+(\.\d+)?(e-?\d+)?/.exec(line?.slice(line.indexOf(text) + text.length) ?? '');
  if (!found) throw new Error(`no number behind "${text}" in:\n${output}`);
  return Number(found[0]);
}

/** The numbers of the line that begins so. */
const row = (output: string, start: string): number[] =>
  Array.from(
    output
      .split('\n')
      .find((line) => line.startsWith(start))!
      .slice(start.length)
      .matchAll(/-?\d+(?:\.\d+)?/g),
    Number,
  );

const findings: Record<string, (output: string) => void> = {
  'classify-images.ts': (output) =>
    expect(output).toMatch(
      /\d+ of 48 heads vote[\s\S]*leave-one-out accuracy \d+ %[\s\S]*(warm|cool) \(truth (warm|cool)\)/,
    ),
  'measure-a-kernel.ts': (output) => expect(output).toMatch(/1 dispatch[\s\S]*largest error \d\.\de-\d+[\s\S]*matmul/),

  'read-a-head.ts'(output) {
    expect(output).toContain('blocks.1.attn.hook_pattern [8,1,50]');
    expect(output).toContain('blocks.1.hook_resid_post [3,128]');
    expect(after(output, 'blocks.0.attn.hook_z at the last position:')).toBe(8 * 16 * 4);
    expect(output).toMatch(/lengths of block 3's heads at the last position:( \d+\.\d\d){8}$/m);
    expect(output).toMatch(/47: \[8,1,48\] 48: \[8,1,49\]/);
    // colours: 0.7 reads the word, 1.5 looks at the thing; shapes: 0.4 and 1.6
    for (const [kind, word, look] of [
      ['colour', '0.7', '1.5'],
      ['shape', '0.4', '1.6'],
    ]) {
      expect(after(output, `${kind} asked, ${word}, the word:`)).toBeGreaterThan(80);
      expect(after(output, `${kind} asked, ${look}, its patches:`)).toBeGreaterThan(70);
      expect(after(output, `${kind} asked, ${look}, another's patches:`)).toBeLessThan(20);
    }
    expect(after(output, 'colour asked, 0.4, the word:')).toBeLessThan(30);
    expect(after(output, 'colour asked, 1.6, its patches:')).toBeLessThan(30);
  },

  'find-and-cut-heads.ts'(output) {
    for (const how of ['set to zero', 'set to the mean']) {
      const part = output.slice(output.indexOf(how));
      const [color, shape] = [0, 1].map((kind) => (what: string) => {
        const line = part.split('\n').find((l) => l.startsWith(what))!;
        return Number(/\d+/.exec(line.split('|')[kind + 1])![0]);
      });
      expect([color('nothing'), shape('nothing')], how).toEqual([100, 100]);
      // no single one of the chosen heads; together they carry colours, and not shapes
      expect(color('warm-cool, best 1'), how).toBeGreaterThan(85);
      expect(color('warm-cool, best 5'), how).toBeLessThan(60);
      expect(shape('warm-cool, best 5'), how).toBeGreaterThan(85);
      expect(color('any 5 others'), how).toBeGreaterThan(80);
      expect(color('5 others, same layers'), how).toBeGreaterThan(75);
      // the honest no: the heads that tell round from angular do not carry the names of shapes
      expect(shape('round-angular, best 5'), how).toBeGreaterThan(85);
    }
    expect(output).toMatch(/one head alone set to zero, color: 0\.7 /);
    expect(output).toMatch(/one head alone set to zero, shape: (0\.4|1\.6) .*(0\.4|1\.6) /);
  },

  'patch-between-two-images.ts'(output) {
    expect(output).toContain('the other run, bit for bit');
    for (const l of [0, 1, 2, 5]) {
      const [its, , rest, , question, , last] = row(output, `  ${l}  `); // shares, with flips between them
      expect(rest, `block ${l}`).toBeCloseTo(0, 1);
      expect(question, `block ${l}`).toBeCloseTo(0, 1);
      expect(l < 2 ? its : last, `block ${l}`).toBeGreaterThan(0.8);
      expect(l < 2 ? last : its, `block ${l}`).toBeLessThan(0.2);
    }
    const heads = row(output, '1 ');
    expect(heads.indexOf(Math.max(...heads))).toBe(5);
    expect(heads[5] + heads[7]).toBeGreaterThan(0.4);
  },

  'steer.ts'(output) {
    const at = (l: number) => row(output, `${l}: `); // four shares turned, four kept, one by chance
    expect(at(0).slice(0, 3)).toEqual([0, 0, 0]);
    for (const l of [1, 3, 5]) {
      expect(at(l)[0], `block ${l}`).toBe(0);
      expect(at(l)[2], `block ${l}`).toBeGreaterThan(75);
      expect(at(l)[6], `block ${l}`).toBeGreaterThan(60);
      expect(at(l)[8], `block ${l}`).toBeLessThan(25);
    }
    const [, plain, steered] = /: "(\w+)", steered: "(\w+)"/.exec(output)!;
    expect(steered).not.toBe(plain);
    expect(after(output, 'nothing cut')).toBe(100);
    expect(after(output, 'text to picture, all blocks')).toBeLessThan(50);
    expect(after(output, 'text to picture, all but block 1 ')).toBe(100);
    expect(after(output, 'question to picture, all blocks')).toBe(100);
    expect(after(output, 'last token to question, block 0')).toBeLessThan(25);
  },

  'compare-names.ts'(output) {
    expect(output.match(/: equal/g)).toHaveLength(5);
    expect(output).not.toContain('NOT equal');
    expect(output).toContain('a masked score: -3.4028234663852886e+38, its pattern: 0');
  },

  'measure-noise.ts'(output) {
    for (const same of [
      'the same run again',
      'all outputs of heads and blocks read',
      'scores and patterns read',
      'hook_z times 1',
      'hook_scale times 1',
    ])
      expect(output).toMatch(new RegExp(`${same} +bit for bit`));
    for (const near of [
      'hook_attn_scores times 1',
      'hook_pattern times 1',
      'hook_result times 1',
      'a last block of one position',
      'in a batch, or alone: hook_z',
      'runVariations, or',
    ])
      expect(output).toMatch(new RegExp(`${near}.* (bit for bit|\\d\\.\\de-([6-9]|\\d\\d))\n`));
    expect(after(output, 'an edit that matters: head 2.0 cut')).toBeGreaterThan(1e-3);
    expect(output).toContain('patches 4 to 39');
    expect(output).toContain('set 1, add 2: 3.00; add 2, set 1: 1.00');
    expect(output).toContain('no hook point is named "blocks.0.hook_z"');
  },

  'entropy-per-head.ts': (output) =>
    expect(output).toMatch(
      /(blocks\.\d\.attn\.hook_entropy \[1,8\]( \d\.\d\d){8}\n){6}largest difference .* (0\.0e\+0|\de-(0?[6-9]|\d\d)|\d\.\de-(0?[6-9]|\d\d))/,
    ),
  'sliding-window.ts': (output) =>
    expect(output).toMatch(
      /\d+ problems against float64: all pass\n.*built-in window \d\.\de-(0?[6-9]|\d\d)\n.*full attention \d\.\de(-[1-3]|\+0)\n(.* as before\n){4}(.* changed\n){2}/,
    ),
  'temperature-per-head.ts': (output) =>
    expect(output).toMatch(
      /\d+ problems against float64: all pass\n.*temperature 1 \d\.\de-(0?[6-9]|\d\d)\n.*temperature 2 \d\.\de(-[1-3]|\+0)\n(head 5\.[0-2] as before\n){3}head 5\.3 changed\n(head 5\.[4-7] as before\n){4}at temperature 4/,
    ),
};

/** What a run is asked for where it would take long by itself: enough for what the page says of it. */
const counts: Record<string, readonly string[]> = {
  'find-and-cut-heads.ts': ['6', '4'],
  'patch-between-two-images.ts': ['2'],
};

const outputs = new Map<string, string>();

/** The shortest: the way into an example is the same for all. */
const inProcess = 'measure-a-kernel.ts';

async function outputOf(file: string): Promise<string> {
  const path = `docs/examples/${file}`;
  if (file === inProcess)
    return (await promisify(execFile)(process.execPath, ['--import', 'tsx', '-C', 'headlight-source', path])).stdout;
  const lines: string[] = [];
  const log = vi.spyOn(console, 'log').mockImplementation((...all) => void lines.push(`${format(...all)}\n`));
  const { argv } = process;
  process.argv = [process.execPath, path, ...(counts[file] ?? [])];
  try {
    await import(`../docs/examples/${file.replace(/\.ts$/, '')}.ts`);
  } finally {
    process.argv = argv;
    log.mockRestore();
  }
  return lines.join('');
}

it.each(readdirSync('docs/examples').filter((file) => file.endsWith('.ts')))(
  'docs/examples/%s',
  async (file) => {
    const text = readFileSync(`docs/examples/${file}`, 'utf8');
    expect(text).toContain(`// Run: npx tsx -C headlight-source docs/examples/${file}`);
    expect(text, 'ends its process').toMatch(/gpu\.dispose\(\);\n$/);
    const output = await outputOf(file);
    outputs.set(file, output);
    findings[file](output);
  },
  600_000,
);

describe.each(readdirSync('docs/recipes'))('docs/recipes/%s', (page) => {
  const text = readFileSync(`docs/recipes/${page}`, 'utf8');
  const example = /\(\.\.\/examples\/([\w-]+\.ts)\)/.exec(text)?.[1];
  const fences = Array.from(text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language, block]) => ({
    language,
    block,
  }));
  const blocks = (language: string) => fences.filter((f) => f.language === language).map((f) => f.block);

  it('shows code that is in its example', () => {
    if (!example) return expect(blocks('ts')).toEqual([]);
    const code = readFileSync(`docs/examples/${example}`, 'utf8');
    for (const block of blocks('ts')) expect(code).toContain(block);
  });

  // Numbers differ between adapters, and a page may report a longer run than the test's.
  it('shows output as it is printed', () => {
    const words = (line: string) =>
      line
        .replaceAll(/bit for bit|-?\d[\d.e+-]*/g, '#')
        .replaceAll(/\s+/g, ' ')
        .trim();
    const printed = new Set((outputs.get(example!) ?? '').split('\n').map(words));
    for (const line of blocks('').flatMap((block) => block.trimEnd().split('\n')))
      expect(printed.has(words(line)), line).toBe(true);
  });

  it('links to files that are there', () => {
    for (const [, target] of text.matchAll(/\]\((?!http)([^)#]+)/g))
      expect(() => readFileSync(`docs/recipes/${target}`), target).not.toThrow();
  });
});

it('every name of the comparison with TransformerLens is a hook point', () => {
  const text = readFileSync('docs/recipes/compare-with-transformerlens.md', 'utf8');
  const names = Array.from(text.matchAll(/^\| `((?:[\w.{}]*hook_\w+)|logits)` \|/gm), ([, name]) => name);
  expect(names.length).toBeGreaterThan(25);
  const config = JSON.parse(readFileSync('weights/tiny-llava/config.json', 'utf8'));
  const there = new Set(hookPoints(parseConfig(config, 'config.json')).map(({ name }) => name));
  for (const name of names) expect(there.has(name.replace('{l}', '1')), name).toBe(true);
  // and none of a decoder block's is missing from it
  const missing = [...there].filter((n) => n.startsWith('blocks.1.') && !names.includes(n.replace('.1.', '.{l}.')));
  expect(missing).toEqual([]);
});
