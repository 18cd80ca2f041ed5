// Files of benchmarks, and two of them side by side.
import { describe, expect, it } from 'vitest';
import { benchmarkFile, decodeBenchmarkFile } from '../../src/verify/benchmark-file.ts';
import { compareBenchmarks } from '../../src/verify/compare.ts';
import { measured } from './measured.ts';

const file = (times: Record<string, number>) => benchmarkFile(measured(times));
const bytesOf = (content: unknown) =>
  new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content));

describe('a file of benchmarks', () => {
  it('comes back as it was written, with the check of custom kernels', () => {
    const rows = [{ op: 'add', kernel: 'mine.wgsl', problem: '[7,33]', error: 0 }];
    const written = benchmarkFile(measured({ default: 2, tile: 1 }), { passed: true, rows });
    expect(written).toMatchObject({ format: 'headlight-bench', runtime: expect.stringMatching(/^node \d/) });
    expect(decodeBenchmarkFile(bytesOf(written), 'a.json')).toEqual(written);
  });

  const [row] = file({ default: 1 }).rows;
  it.each<[string, unknown, RegExp]>([
    ['what is no JSON', 'x', /^a\.json: not JSON/],
    ['another file', [1], /^a\.json: not a file of benchmarks; give a file that headlight bench --json wrote$/],
    ['another version', { ...file({}), version: 2 }, /^a\.json: its version is 2, this headlight .* reads 1/],
    ['a time below 0', { ...file({}), rows: [{ ...row, milliseconds: -1 }] }, /^a\.json: rows\.0\.milliseconds: /],
    [
      'a row that is there twice',
      { ...file({}), rows: [row, row] },
      /^a\.json: rows\.1: an earlier row is of the same/,
    ],
    ['too many bytes', ' '.repeat(2 ** 24 + 1), /^a\.json: 16777217 bytes are too many/],
  ])('refuses %s', (_, content, message) => {
    expect(() => decodeBenchmarkFile(bytesOf(content), 'a.json')).toThrow(
      expect.objectContaining({ name: 'FileError', message: expect.stringMatching(message) }),
    );
  });

  it('is not made of what no reader would take', () => {
    const adapter = { ...measured({}).adapter, description: 'x'.repeat(1001) };
    expect(() => benchmarkFile({ ...measured({}), adapter })).toThrow(
      /^what was measured cannot be kept: adapter\.descr/,
    );
  });
});

describe('compareBenchmarks', () => {
  it('gives the ratio of what is in both, and names what is in one', () => {
    const { rows, ratio, onlyA, onlyB } = compareBenchmarks(
      file({ default: 2, close: 1, gone: 1 }),
      file({ default: 1, close: 1.05, fresh: 3 }),
    );
    expect(rows.map((row) => [row.candidate, row.ratio, row.apart])).toEqual([
      ['default', 0.5, true],
      ['close', 1.05, false],
    ]);
    expect(ratio).toBeCloseTo((0.5 * 1.05) ** 0.5);
    expect([onlyA, onlyB]).toEqual([['add [60,128]: gone'], ['add [60,128]: fresh']]);
    expect(compareBenchmarks(file({ a: 1 }), file({ a: 1 }), 'matmul')).toMatchObject({ rows: [], ratio: undefined });
  });
});
