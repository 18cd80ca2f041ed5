// docs/extending.md is true: its examples, put into a copy of the source, compile and work there.
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const page = 'docs/extending.md';

interface Block {
  /** The line of the page where it begins. */
  readonly line: number;
  readonly file: string;
  /** Beside or in the place of the line that has a text; without it the block is a new file. */
  readonly place?: { readonly how: 'after' | 'before' | 'instead of'; readonly anchor: string };
  readonly text: string;
}

interface Section {
  readonly title: string;
  /** Those that it lists. */
  readonly files: readonly string[];
  readonly blocks: readonly Block[];
}

/** @throws where a block does not say where it goes. */
function parsePage(text: string): Section[] {
  const lines = text.split('\n');
  const sections: { title: string; files: string[]; blocks: Block[] }[] = [];
  for (let i = 0; i < lines.length; i++) {
    const section = sections.at(-1);
    if (lines[i].startsWith('## ')) sections.push({ title: lines[i].slice(3), files: [], blocks: [] });
    const [, listed] = /^- `([^`]+)`: ./.exec(lines[i]) ?? [];
    if (listed) section!.files.push(listed);
    if (!lines[i].startsWith('~~~')) continue;
    const line = i + 1;
    const [, kind, file, how, anchor] =
      /^~~~\w+ (new|in) (\S+)(?: (after|before|instead of) `(.+)`)?$/.exec(lines[i]) ?? [];
    if (!kind || (kind === 'in') !== (anchor !== undefined))
      throw new Error(`${page}:${line}: a block says \`new FILE\` or \`in FILE after|before|instead of \`text\`\``);
    const end = lines.indexOf('~~~', i + 1);
    const place = anchor === undefined ? undefined : { how: how as 'after', anchor };
    section!.blocks.push({ line, file, place, text: lines.slice(i + 1, end).join('\n') });
    i = end;
  }
  return sections;
}

/** What a file is with a block in it. @throws naming the page's line, where the anchor is not that of one line. */
function applied(block: Block, content: string | undefined): string {
  const { line, file, place, text } = block;
  const fail = (problem: string) => new Error(`${page}:${line}: ${problem}`);
  if (!place) {
    if (content !== undefined) throw fail(`${file} is there already`);
    return `${text}\n`;
  }
  if (content === undefined) throw fail(`${file} is not there`);
  const lines = content.split('\n');
  const found = lines.flatMap((each, i) => (each.includes(place.anchor) ? [i] : []));
  if (found.length !== 1)
    throw fail(`${found.length} lines of ${file} have \`${place.anchor}\`, which is to be in one`);
  lines.splice(found[0] + (place.how === 'after' ? 1 : 0), place.how === 'instead of' ? 1 : 0, text);
  return lines.join('\n');
}

const contentOf = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
};

function run(folder: string, ...args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((done) => {
    execFile(process.execPath, args, { cwd: folder, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      done({ code: error ? Number(error.code ?? 1) : 0, output: stdout + (error ? stderr : '') });
    });
  });
}

const sections = parsePage(readFileSync(page, 'utf8')).filter(({ blocks }) => blocks.length);
const blocks = sections.flatMap((section) => section.blocks);

describe('the page', () => {
  it('has an example of each kind', () => {
    const titles = ['operation', 'weight format', 'model family', 'hook point', 'vote rule', 'command'];
    expect(sections.map(({ title }) => title.replace(/^An? /, ''))).toEqual(titles);
  });

  it.each(sections)('$title: lists the files of its blocks, and ends with a command', ({ title, files, blocks }) => {
    expect([...files].sort()).toEqual([...new Set(blocks.map(({ file }) => file))].sort());
    expect(files.length).toBeGreaterThanOrEqual(2);
    expect(files.length).toBeLessThanOrEqual(6);
    const text = readFileSync(page, 'utf8').split(`## ${title}\n`)[1].split('\n## ')[0];
    expect(text).toMatch(/\nProof:[^~]*\n {4}\S.*\n+$/);
  });
});

describe('a block', () => {
  const block = { line: 7, file: 'a.ts', place: { how: 'after', anchor: 'one' }, text: 'new' } as const;
  const placed = (how: 'after' | 'before' | 'instead of') => ({ ...block, place: { how, anchor: 'one' } });

  it('goes beside the line that has its anchor, or in its place', () => {
    expect(applied(placed('after'), 'zero\none;\ntwo')).toBe('zero\none;\nnew\ntwo');
    expect(applied(placed('before'), 'zero\none;\ntwo')).toBe('zero\nnew\none;\ntwo');
    expect(applied(placed('instead of'), 'zero\none;\ntwo')).toBe('zero\nnew\ntwo');
  });

  it('is refused by the page’s line where its anchor is nowhere, or twice', () => {
    expect(() => applied(block, 'zero')).toThrow('docs/extending.md:7: 0 lines of a.ts have `one`');
    expect(() => applied(block, 'one\none')).toThrow('docs/extending.md:7: 2 lines of a.ts have `one`');
    expect(() => applied(block, undefined)).toThrow('docs/extending.md:7: a.ts is not there');
    expect(() => applied({ ...block, place: undefined }, '')).toThrow('docs/extending.md:7: a.ts is there already');
    expect(() => parsePage('## A\n~~~ts in a.ts\n~~~')).toThrow('docs/extending.md:2: a block says');
  });
});

describe('the source with all examples', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'headlight-extended-'));
    for (const path of ['src', 'package.json', 'tsconfig.json', 'README.md'])
      cpSync(path, join(folder, path), { recursive: true });
    cpSync('docs', join(folder, 'docs'), { recursive: true });
    const fixtures = resolve('test/fixtures');
    cpSync('test', join(folder, 'test'), { recursive: true, filter: (path) => resolve(path) !== fixtures });
    for (const path of ['weights', 'node_modules']) symlinkSync(resolve(path), join(folder, path), 'junction');
    for (const block of blocks) {
      const path = join(folder, block.file);
      const text = applied(block, contentOf(path));
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    // The source, and what the blocks change of the tests: to compile all of these would take three times as long.
    const tests = blocks.map(({ file }) => file).filter((file) => file.startsWith('test/'));
    const config = { extends: './tsconfig.json', include: ['src', 'test/extending-proof.ts', ...tests] };
    writeFileSync(join(folder, 'tsconfig.extended.json'), JSON.stringify(config));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('compiles', async () => {
    const { output } = await run(
      folder,
      resolve('node_modules/@typescript/native/bin/tsc'),
      '-p',
      'tsconfig.extended.json',
    );
    expect(output).toBe('');
  });

  it('works', async () => {
    const { output } = await run(folder, '--import', 'tsx', '-C', 'headlight-source', 'test/extending-proof.ts');
    expect(output.trim().split('\n')).toEqual(sections.map(({ title }) => `${title}: proven`));
  });
});
