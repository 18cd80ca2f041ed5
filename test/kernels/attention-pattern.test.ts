import { describe, expect, it } from 'vitest';
import { openGpu } from '../../src/gpu/gpu.ts';
import { attention } from '../../src/kernels/attention/attention.ts';
import { attentionData, queryKeyArgs } from '../../src/kernels/attention/problem.ts';
import { attentionCase, blocks, type Case } from '../../src/kernels/attention/reference.ts';
import { attentionPattern, attentionScores } from '../../src/kernels/attention-pattern/attention-pattern.ts';
import { attentionPatternProblems, attentionScoresProblem } from '../../src/kernels/attention-pattern/problem.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, nmse } from './check.ts';

const gpu = useGpu();
const lowest = -3.4028234663852886e38;

const cases: [string, Case][] = [
  ...[1, 2, 5, 24, 33, 40, 64, 72, 80, 96, 128].map((headSize): [string, Case] => [
    `head size ${headSize}`,
    attentionCase({ queries: 9, headSize, causal: headSize % 3 === 0 }),
  ]),
  ...[1, 3, 31, 65, 67].map((queries): [string, Case] => [
    `${queries} queries`,
    attentionCase({ queries, headSize: 16, causal: true }),
  ]),
  ['vision: 65 tokens, 4 heads of 32', attentionCase({ queries: 65, heads: 4, headSize: 32 })],
  ['grouped 4:2', attentionCase({ queries: 21, heads: 4, kvHeads: 2, headSize: 24, causal: true })],
  [
    'grouped 7:1, one query',
    attentionCase({ queries: 1, heads: 7, kvHeads: 1, headSize: 16, keys: 131, causal: true }),
  ],
  [
    'cache longer than its filling',
    attentionCase({ queries: 7, headSize: 32, keys: 50, keyRows: 90, causal: true, kvHeads: 1 }),
  ],
  [
    'queries in the middle, offset 5 of 40 keys',
    attentionCase({ queries: 13, headSize: 32, keys: 40, offset: 5, causal: true }),
  ],
  ['the first query sees one key', attentionCase({ queries: 40, headSize: 16, keys: 70, offset: 0, causal: true })],
  ...[1, 7, 20, 21].map((window): [string, Case] => [
    `window ${window}`,
    attentionCase({ queries: 13, headSize: 8, keys: 21, keyRows: 25, causal: true, window }),
  ]),
  [
    'batch 2, grouped, window',
    attentionCase({ batch: 2, queries: 35, headSize: 16, keyRows: 40, causal: true, heads: 4, kvHeads: 2, window: 9 }),
  ],
  ['segments', attentionCase({ queries: 43, headSize: 16, keyRows: 50, segments: blocks(1, 17, 9, 16) })],
  ['batch 3', attentionCase({ batch: 3, queries: 18, heads: 3, headSize: 32 })],
  [
    'batch 2, causal, unfilled rows',
    attentionCase({ batch: 2, queries: 35, headSize: 16, keyRows: 40, causal: true, heads: 4, kvHeads: 2 }),
  ],
];

describe('attentionScores and attentionPattern', () => {
  it.each(cases)('scores of %s', (name, c) => expectSolved(gpu(), attentionScoresProblem(name, c)));
  it.each(attentionPatternProblems())('pattern of $name', (problem) => expectSolved(gpu(), problem));

  it('gives a pattern that attention follows', async () => {
    const c = attentionCase({ queries: 23, headSize: 8, heads: 3, causal: true });
    const recorder = gpu().record('both');
    const { v: values, ...data } = attentionData(c);
    const args = queryKeyArgs((...tensor) => recorder.input(...tensor), c, data);
    const v = recorder.input('v', 'f32', args.k.shape, values);
    const scores = attentionScores(recorder, { ...args, label: 'scores' });
    const pattern = recorder.read(attentionPattern(recorder, { scores, label: 'pattern' }));
    const z = recorder.read(attention(recorder, { ...args, v, label: 'z' }));
    await recorder.submit();
    const weighted = new Float64Array(z.f32.length);
    for (let h = 0; h < c.heads; h++)
      for (let i = 0; i < c.queries; i++)
        for (let j = 0; j < c.keys; j++)
          for (let d = 0; d < c.headSize; d++)
            weighted[(i * c.heads + h) * c.headSize + d] +=
              pattern.f32[(h * c.queries + i) * c.keys + j] * values[(j * c.heads + h) * c.headSize + d];
    expect(nmse(z.f32, weighted)).toBeLessThanOrEqual(1e-12);
  });

  it('keeps rows of equal and of huge scores finite', async () => {
    const keys = 70;
    const rows = [
      new Float32Array(keys).fill(-3e5),
      new Float32Array(keys).fill(3e38),
      new Float32Array(keys).fill(lowest).fill(-1e38, 3, 4),
    ];
    const recorder = gpu().record('huge');
    const scores = recorder.input('scores', 'f32', [1, 3, keys], Float32Array.from(rows.flatMap((r) => [...r])));
    const pattern = recorder.read(attentionPattern(recorder, { scores, label: 'pattern' }));
    await recorder.submit();
    const even = new Float32Array(keys).fill(1 / keys);
    expect(pattern.f32.slice(0, keys)).toEqual(even);
    expect(pattern.f32.slice(keys, 2 * keys)).toEqual(even);
    expect(pattern.f32.slice(2 * keys)).toEqual(new Float32Array(keys).fill(1, 3, 4));
  });

  it('goes on in the second dimension past the limit of workgroups', async () => {
    const other = await openGpu();
    Object.assign(other.capabilities, { maxWorkgroupsPerDimension: 4 });
    const recorder = other.record('many rows');
    const scores = recorder.input('scores', 'f32', [1, 41, 1], new Float32Array(41).fill(3));
    const pattern = recorder.read(attentionPattern(recorder, { scores, label: 'pattern' }));
    await recorder.submit();
    other.dispose();
    expect(pattern.f32.every((p) => p === 1)).toBe(true);
  });

  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const q = recorder.temp('q', 'f32', [4, 6, 8]);
    const k = recorder.temp('k', 'f32', [4, 2, 8]);
    const rest = { q, k, causal: true, scale: 1, label: 'scores' };
    const out = recorder.temp('out', 'f32', [6, 4, 5]);
    expect(() => attentionScores(recorder, { ...rest, out })).toThrow(
      'out: expected [6,4,4], got [6,4,5] (in attentionScores)',
    );
    expect(() => attentionScores(recorder, { ...rest, keys: 9 })).toThrow('9 keys of k, which has 4 a sequence');
    expect(() => attentionPattern(recorder, { scores: k, label: 'p', out })).toThrow('expected [4,2,8], got [6,4,5]');
  });
});
