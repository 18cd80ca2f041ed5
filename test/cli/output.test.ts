// What reaches a terminal, and streams that fail: the command line in processes of its own.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hostileTexts, raw } from '../base/hostile.ts';
import { headlight, headlightProcess } from './headlight.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-output-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('text from outside', () => {
  const name = '\u001b[32mgreen\u0007\n\u202e.png';

  /** Labels and questions that are hostile, on pictures with hostile names. */
  async function rows(file: string, labels: readonly string[]): Promise<string> {
    const path = join(folder, file);
    await cp('test/fixtures/images/odd-37x53.png', join(folder, name));
    const text = labels.map((label) => JSON.stringify({ image: name, question: `${hostileTexts[1]}?`, label }));
    await writeFile(path, text.join('\n'));
    return path;
  }

  it('reaches no terminal raw when a classifier is fitted and used', async () => {
    const model = ['--model', 'test/fixtures/checkpoints/llava-f32'];
    const labels = [hostileTexts[0], hostileTexts[5]];
    const train = await rows('train.jsonl', [...labels, ...labels]);
    const out = join(folder, 'hostile\nheadlight: all is well.safetensors');
    const query = ['--image', join(folder, name)];
    const runs = [
      await headlight('fit', '--train', train, '--out', out, '--heads', '3', ...model),
      await headlight('classify', '--classifier', out, ...query, ...model),
    ];
    for (const { stdout, stderr, code } of runs) {
      expect(`${stdout}${stderr}`).not.toMatch(raw);
      expect(`${stdout}${stderr}`).not.toMatch(/^headlight: all is well/m);
      expect(code).toBe(0);
    }
    for (const { stdout } of runs) expect(stdout).toContain('\\u001b[31mRED');
  });

  it('reaches no terminal raw in errors', async () => {
    const bad = join(folder, '\u001b[31mbad.jsonl');
    await writeFile(bad, JSON.stringify({ image: 'x\u009b.png', question: 'q', label: '\u001b[31m' }));
    for (const args of [
      ['fit', '--train', bad, '--out', join(folder, 'never')],
      ['fit', '--train', '\u001b[2Jnone\u009b', '--out', join(folder, 'never')],
      ['\u001b[31mfrobnicate'],
      ['inspect', '--model', '\u001b]0;pwned\u0007'],
    ]) {
      const { stdout, stderr, code } = await headlight(...args);
      expect(stderr).toContain('\\u');
      expect(`${stdout}${stderr}`).not.toMatch(raw);
      expect(code).toBeGreaterThan(0);
    }
  });
});

describe('streams that fail', () => {
  const command = `"${process.execPath}" --import tsx -C headlight-source src/cli/main.ts`;
  /** A line of bash, in which H is the command line: its exit code and what it said. */
  const bash = (line: string) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((done) => {
      execFile('bash', ['-c', `set -o pipefail; H() { ${command} "$@"; }; ${line}`], (error, stdout, stderr) => {
        done({ code: error ? Number(error.code) : 0, stdout, stderr });
      });
    });
  const spoken = (stderr: string) =>
    stderr.split('\n').filter((line) => /^headlight:|^node:|^\w*Error|\.[jt]s:/.test(line));

  it('ends quietly where nobody reads on, and says it where there is no room', async () => {
    const closed = await bash('H inspect --json --hooks | true');
    expect([closed.code, spoken(closed.stderr)]).toEqual([141, []]);
    const part = await bash('H --help | head -c 5');
    expect([part.stdout, spoken(part.stderr)]).toEqual(['Usage', []]);
    const muted = await bash('H frobnicate 2>&-');
    expect([muted.code, muted.stdout, muted.stderr]).toEqual([2, '', '']);
  });

  it.runIf(existsSync('/dev/full'))(
    'says where there is no room for results, and does without room for notes',
    async () => {
      const full = await bash('H inspect > /dev/full');
      expect(full.code).toBe(1);
      expect(spoken(full.stderr)).toEqual(['headlight: standard output: no space left on the device']);
      const silent = await bash('H frobnicate 2> /dev/full');
      expect([silent.code, silent.stdout]).toEqual([2, '']);
    },
  );

  it('says in one line what nobody awaited', async () => {
    const module = join(folder, 'rejects.mjs');
    await writeFile(
      module,
      `Promise.reject(new Error('first\\n second'));\nawait new Promise((r) => setTimeout(r, 20_000));`,
    );
    const { code, stderr } = await headlightProcess('bench', '--kernel', module);
    expect([code, stderr]).toEqual([1, 'headlight: first second\n']);
  });
});

it('unpacks the software adapter where it may, or says that it may nowhere', async () => {
  // tsx needs a temporary folder itself: it is set after tsx has started.
  const run = (temporary: string) =>
    new Promise<{ code: number; stdout: string; stderr: string }>((done) => {
      const set = `data:text/javascript,process.env.TMPDIR=${JSON.stringify(temporary)}`;
      const args = ['--import', 'tsx', '--import', set, '-C', 'headlight-source', 'src/cli/main.ts', 'doctor'];
      const env = {
        ...process.env,
        HOME: '/dev/null',
        XDG_CACHE_HOME: '',
        HEADLIGHT_HOME: '',
        HEADLIGHT_SOFTWARE: '1',
      };
      execFile(process.execPath, args, { env }, (error, stdout, stderr) =>
        done({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
  const temporary = await mkdtemp(join(tmpdir(), 'headlight-tmp-'));
  const there = await run(temporary);
  expect(there.stdout).toContain('SwiftShader');
  expect(there.code).toBe(0);
  expect((await readdir(temporary)).filter((name) => name.startsWith('headlight'))).toEqual([]);
  await rm(temporary, { recursive: true });
  const nowhere = await run('/dev/null');
  expect(nowhere.stderr).toMatch(/^headlight: no WebGPU adapter: .*set HEADLIGHT_HOME or TMPDIR to a folder/m);
  expect(nowhere.code).toBe(1);
});
