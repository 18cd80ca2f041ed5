import { describe, expect, it } from 'vitest';
import { type AttentionVariant, attention, attentionVariants } from '../../src/kernels/attention/attention.ts';
import { visiblePairs } from '../../src/kernels/attention/shapes.ts';
import { useGpu } from '../gpu.ts';
import { attentionCase, type Case, referenceAttention } from './attention-reference.ts';
import { guarded, nmse, random, readGuarded } from './check.ts';

const gpu = useGpu();

interface Inputs {
  q: Float32Array<ArrayBuffer>;
  k: Float32Array<ArrayBuffer>;
  v: Float32Array<ArrayBuffer>;
}

function inputs(c: Case, logitSize = 4): Inputs {
  // q·k·scale of uniform numbers in [-1, 1) has variance headSize * scale² / 9
  const stretch = logitSize / ((c.headSize ** 0.5 * c.scale) / 3) / 3;
  return {
    q: random(c.batch * c.queries * c.heads * c.headSize, 1).map((x) => x * stretch) as Float32Array<ArrayBuffer>,
    k: random(c.batch * c.keyRows * c.kvHeads * c.headSize, 2) as Float32Array<ArrayBuffer>,
    v: random(c.batch * c.keyRows * c.kvHeads * c.headSize, 3) as Float32Array<ArrayBuffer>,
  };
}

async function run(c: Case, { q, k, v }: Inputs, variant?: AttentionVariant): Promise<Float32Array> {
  const recorder = gpu().record('attention', { bindToEnd: true });
  const out = guarded(gpu(), 'z', 'f32', [c.batch * c.queries, c.heads, c.headSize]);
  attention(recorder, {
    q: recorder.input('q', 'f32', [c.batch * c.queries, c.heads, c.headSize], q),
    k: recorder.input('k', 'f32', [c.batch * c.keyRows, c.kvHeads, c.headSize], k),
    v: recorder.input('v', 'f32', [c.batch * c.keyRows, c.kvHeads, c.headSize], v),
    keys: c.keys,
    batch: c.batch,
    causal: c.causal,
    offset: c.offset,
    scale: c.scale,
    label: 'z',
    out,
    variant,
  });
  const z = await readGuarded(recorder, out);
  gpu().destroy(out);
  return z;
}

const cases: [string, Case][] = [
  ...[1, 2, 5, 24, 33, 40, 64, 72, 80, 96, 128].map((headSize): [string, Case] => [
    `head size ${headSize}`,
    attentionCase({ queries: 19, headSize, causal: headSize % 3 === 0 }),
  ]),
  ['head size 600, larger than a workgroup of vectors', attentionCase({ queries: 3, headSize: 600, keys: 5 })],
  ['odd head size 131, larger than a workgroup', attentionCase({ queries: 3, headSize: 131, keys: 5 })],
  ...[1, 3, 16, 17, 31, 33, 65, 67].map((queries): [string, Case] => [
    `${queries} queries`,
    attentionCase({ queries, headSize: 32, causal: true }),
  ]),
  ...[1, 2, 63, 64, 65, 129, 257].map((keys): [string, Case] => [
    `a full row of ${keys} keys for 1 query`,
    attentionCase({ queries: 1, headSize: 64, keys }),
  ]),
  ['vision: 65 tokens, 4 heads of 32', attentionCase({ queries: 65, heads: 4, headSize: 32 })],
  ['decoder: 80 tokens, 8 heads of 16', attentionCase({ queries: 80, heads: 8, headSize: 16, causal: true })],
  ['grouped 4:2', attentionCase({ queries: 21, heads: 4, kvHeads: 2, headSize: 24, causal: true })],
  ['grouped 7:1', attentionCase({ queries: 9, heads: 7, kvHeads: 1, headSize: 16, causal: true })],
  ['grouped 6:3, cached', attentionCase({ queries: 2, heads: 6, kvHeads: 3, headSize: 40, keys: 77, causal: true })],
  [
    'cache longer than its filling',
    attentionCase({ queries: 7, headSize: 32, keys: 50, keyRows: 90, causal: true, kvHeads: 1 }),
  ],
  [
    'queries in the middle, offset 5 of 40 keys',
    attentionCase({ queries: 13, headSize: 32, keys: 40, offset: 5, causal: true }),
  ],
  ['the first query sees one key', attentionCase({ queries: 40, headSize: 16, keys: 70, offset: 0, causal: true })],
  ['queries past the last key', attentionCase({ queries: 20, headSize: 16, keys: 10, offset: 3, causal: true })],
  ['full, fewer keys than queries', attentionCase({ queries: 37, headSize: 16, keys: 5 })],
  ['batch 3', attentionCase({ batch: 3, queries: 18, heads: 3, headSize: 32 })],
  ['batch 2, causal', attentionCase({ batch: 2, queries: 35, headSize: 16, causal: true, heads: 4, kvHeads: 2 })],
  [
    'batch 2, one query each, unfilled rows',
    attentionCase({ batch: 2, queries: 1, headSize: 16, keys: 33, keyRows: 40, causal: true }),
  ],
  ['another scale', attentionCase({ queries: 11, headSize: 16, scale: 1 })],
];

describe.each(attentionVariants)('attention.%s', (variant) => {
  it.each(cases)('%s', async (_, c) => {
    const data = inputs(c);
    const z = await run(c, data, variant);
    expect(nmse(z, referenceAttention(c, data.q, data.k, data.v))).toBeLessThanOrEqual(1e-7);
  });

  it('stays finite and right for logits far beyond what exp takes', async () => {
    for (const causal of [false, true]) {
      const c = attentionCase({ queries: 70, headSize: 32, causal });
      const data = inputs(c, 300);
      const z = await run(c, data, variant);
      // float32 rounds a logit of 300 by 2e-5, and the weights by as much relatively
      expect(nmse(z, referenceAttention(c, data.q, data.k, data.v))).toBeLessThanOrEqual(1e-7);
    }
  });

  it('copies the value of a key that outweighs all others by 80 and more', async () => {
    const c = attentionCase({ queries: 67, headSize: 64, heads: 1, scale: 1 });
    const q = new Float32Array(67 * 64);
    const k = new Float32Array(67 * 64);
    const v = random(67 * 64, 4) as Float32Array<ArrayBuffer>;
    // query i looks for key 66 - i: one of 64 directions, the last three told apart by sign
    const axis = (i: number) => [i % 64, i < 64 ? 160 : -160];
    for (let i = 0; i < 67; i++) {
      const [d, sign] = axis(i);
      k[i * 64 + d] = sign;
      q[(66 - i) * 64 + d] = Math.sign(sign);
    }
    const z = await run(c, { q, k, v }, variant);
    const expected = new Float32Array(67 * 64);
    for (let i = 0; i < 67; i++) expected.set(v.subarray((66 - i) * 64, (67 - i) * 64), i * 64);
    expect(z).toEqual(expected);
  });

  it('averages the values when all logits are equal, however low', async () => {
    const c = attentionCase({ queries: 5, headSize: 16, keys: 130, heads: 1, scale: 1 });
    const q = new Float32Array(5 * 16).fill(1000);
    const k = new Float32Array(130 * 16).fill(-1000);
    const v = random(130 * 16, 5) as Float32Array<ArrayBuffer>;
    const z = await run(c, { q, k, v }, variant);
    expect(nmse(z, referenceAttention(c, q, k, v))).toBeLessThanOrEqual(1e-7);
  });

  it('ignores keys that are masked or past the filled rows, whatever they hold', async () => {
    const c = attentionCase({ queries: 6, headSize: 16, keys: 20, keyRows: 30, offset: 8, causal: true });
    const data = inputs(c);
    const z = await run(c, data, variant);
    const row = c.kvHeads * c.headSize;
    data.k.fill(1e4, 14 * row);
    data.v.fill(1e4, 14 * row);
    expect(await run(c, data, variant)).toEqual(z);
  });
});

describe('attention', () => {
  it('counts the pairs that a mask leaves', () => {
    const count = (queries: number, keys: number, offset: number) => {
      let pairs = 0;
      for (let i = 0; i < queries; i++) for (let j = 0; j < keys; j++) if (j <= offset + i) pairs++;
      return pairs;
    };
    for (const [queries, keys, offset] of [
      [5, 5, 0],
      [3, 10, 7],
      [3, 10, 2],
      [20, 10, 3],
      [4, 4, 9],
      [1, 1, 0],
    ])
      expect(visiblePairs({ queries, keys, offset, causal: true })).toBe(count(queries, keys, offset));
    expect(visiblePairs({ queries: 3, keys: 4, offset: 0, causal: false })).toBe(12);
  });

  it('names what does not fit', () => {
    const recorder = gpu().record('misfits');
    const tensor = (label: string, shape: number[]) => recorder.temp(label, 'f32', shape);
    const q = tensor('q', [4, 6, 8]);
    const k = tensor('k', [4, 2, 8]);
    const v = tensor('v', [4, 2, 8]);
    const rest = { causal: true, scale: 1, label: 'z' };
    const attempt = (args: object) => () => attention(recorder, { q, k, v, ...rest, ...args });
    expect(attempt({ k: tensor('k', [4, 2, 7]) })).toThrow('k: expected [?,?,8], got [4,2,7] (in attention)');
    expect(attempt({ v: tensor('v', [3, 2, 8]) })).toThrow('v: expected [4,2,8], got [3,2,8] (in attention)');
    expect(attempt({ k: tensor('k', [4, 4, 8]) })).toThrow('z: the 6 heads of q are no multiple of the 4 of k');
    expect(attempt({ batch: 3 })).toThrow('q [4,6,8] and k [4,2,8] do not split into 3 sequences');
    expect(attempt({ keys: 5 })).toThrow('5 keys of k, which has 4 a sequence');
    expect(attempt({ keys: 3 })).toThrow('the first of 4 queries would stand at position -1 of 3 keys');
    expect(attempt({ offset: 0.5 })).toThrow('position 0.5');
    expect(attempt({ out: tensor('out', [4, 6, 4]) })).toThrow('out: expected [4,6,8], got [4,6,4]');
    expect(attempt({ q: recorder.temp('q', 'f16', [4, 6, 8]) })).toThrow('q: expected f32, got f16');
  });
});
