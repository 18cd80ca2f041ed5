import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readBenchmarkFile } from '../../src/cli/bench-compare.ts';

import { type BenchmarkFile, benchmarkFile } from '../../src/verify/benchmark-file.ts';
import { measured } from '../verify/measured.ts';
import { headlight } from './headlight.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headlight-bench-'));
});
afterAll(() => rm(folder, { recursive: true }));

const file = (times: Record<string, number>): BenchmarkFile => benchmarkFile(measured(times));

async function written(name: string, content: unknown): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

describe('bench --json', () => {
  it('is a file that --compare reads', async () => {
    const { code, stdout, stderr } = await headlight('bench', '--filter', 'add [60,128]', '--rounds', '2', '--json');
    expect(code, stderr).toBe(0);
    const read = await readBenchmarkFile(await written('real.json', stdout));
    expect(read).toMatchObject({ format: 'headlight-bench', version: 1, headlight: '0.1.0', rounds: 2 });
    expect(read.adapter.description).not.toBe('');
    expect(read.rows).toHaveLength(1);
    const [row] = read.rows;
    expect(row).toMatchObject({ op: 'add', sizes: '[60,128]', candidate: 'default', flops: 7680, bytes: 92160 });
    expect(row.gbps).toBeCloseTo(row.bytes / row.milliseconds / 1e6, 6);
  });
});

describe('bench --compare', () => {
  it('prints a table, or says it as JSON', async () => {
    const a = await written('a.json', file({ default: 2, gone: 1 }));
    const b = await written('b.json', { ...file({ default: 1 }), clock: 'wall' });
    const { code, stdout, stderr } = await headlight('bench', '--compare', a, b);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/A: .*a\.json: A card, driver 1\.2, headlight 0\.1\.0, node .*clock: timestamps/);
    expect(stdout).toContain('timed by different clocks');
    expect(stdout).toMatch(/add \[60,128\] +default +2\.000 +1\.000 +0\.50 +apart +50 % +50 %/);
    expect(stdout).toMatch(/geometric mean of B \/ A: 0\.50 over 1 rows/);
    expect(stdout).toContain('only in A:\n  add [60,128]: gone');
    expect(stderr).toBe(''); // no adapter is opened
    const json = JSON.parse((await headlight('bench', '--compare', a, b, '--json')).stdout);
    expect(json).toMatchObject({ ratio: 0.5, onlyA: ['add [60,128]: gone'] });
  });

  it('refuses what is no such file, by its name', async () => {
    const good = await written('good.json', file({ default: 1 }));
    const cases: [string, unknown, RegExp][] = [
      ['text.json', 'x', /text\.json: not JSON/],
      ['other.json', { rows: [] }, /other\.json: not a file of benchmarks; give a file that headlight bench --json/],
      ['more.json', { ...file({}), extra: 1 }, /Unrecognized key: "extra"/],
      ['long.json', ' '.repeat(2 ** 24 + 1), /long\.json: 16777217 bytes are too many/],
    ];
    for (const [name, content, message] of cases) {
      const { code, stderr } = await headlight('bench', '--compare', good, await written(name, content));
      expect(stderr).toMatch(message);
      expect(stderr.trim().split('\n')).toHaveLength(1);
      expect(code).toBe(2);
    }
  });

  it('takes two files, and nothing that is about a run', async () => {
    const good = await written('good.json', file({ default: 1 }));
    const one = await headlight('bench', '--compare', good);
    expect([one.code, one.stderr]).toEqual([2, 'headlight: --compare takes two files, A.json B.json, not 1\n']);
    const rounds = await headlight('bench', '--rounds', '3', '--compare', good, good);
    expect(rounds.stderr).toMatch(/option '--compare <files...>' cannot be used with option '--rounds <n>'/);
    expect(rounds.code).toBe(2);
    const absent = await headlight('bench', '--compare', good, join(folder, 'none.json'));
    expect(absent.stderr).toMatch(/none\.json: there is no such file/);
  });
});
