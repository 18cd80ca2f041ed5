import { describe, expect, it } from 'vitest';
import { DryGpu } from '../../src/gpu/dry-gpu.ts';
import type { Replacement } from '../../src/gpu/recorder.ts';
import { rows } from '../../src/gpu/tensor.ts';
import {
  type AttentionVariant,
  attention,
  attentionVariants,
  chooseAttention,
} from '../../src/kernels/attention/attention.ts';
import { decodeHeads, decodeSplits } from '../../src/kernels/attention/decode.wgsl.ts';
import { attentionTile } from '../../src/kernels/attention/plan.ts';
import { attentionData, attentionProblem } from '../../src/kernels/attention/problem.ts';
import { attentionCase, blocks, type Case, sees } from '../../src/kernels/attention/reference.ts';
import { segmentsOf, visiblePairs } from '../../src/kernels/attention/shapes.ts';
import { replacementOf } from '../../src/kernels/custom/kernels.ts';
import { vectorWidth } from '../../src/kernels/vectors.ts';
import { errorOf } from '../../src/verify/solve.ts';
import { useGpu } from '../gpu.ts';
import { expectSolved, nmse, random } from './check.ts';

const gpu = useGpu();

type Data = ReturnType<typeof attentionData>;

const solved = (c: Case, variant: AttentionVariant, data: Data = attentionData(c)) =>
  expectSolved(gpu(), attentionProblem('attention', c, data), { variant });

async function run(c: Case, data: Data, variant: AttentionVariant): Promise<Float32Array> {
  const recorder = gpu().record('attention');
  const call = attentionProblem('attention', c, data).prepare((...tensor) => recorder.input(...tensor));
  const z = recorder.read(call(recorder, { variant }));
  await recorder.submit();
  return z.f32;
}

/** Software adapters compile these for a second each: lengths are tried on one shape of heads. */
const small = { heads: 2, kvHeads: 1, headSize: 16 };

const lengths: [string, Case][] = [
  ...[1, 3, 16, 17, 31, 33, 65, 67].map((queries): [string, Case] => [
    `${queries} causal queries`,
    attentionCase({ ...small, queries, causal: true }),
  ]),
  ...[1, 2, 63, 64, 65, 129, 257].map((keys): [string, Case] => [
    `a full row of ${keys} keys for 1 query`,
    attentionCase({ ...small, queries: 1, keys }),
  ]),
  ['full, 37 queries', attentionCase({ ...small, queries: 37 })],
  ['full, fewer keys than queries', attentionCase({ ...small, queries: 37, keys: 5 })],
  ['cached', attentionCase({ ...small, queries: 2, keys: 77, causal: true })],
  ['cache longer than its filling', attentionCase({ ...small, queries: 7, keys: 50, keyRows: 90, causal: true })],
  ['queries in the middle', attentionCase({ ...small, queries: 13, keys: 40, offset: 5, causal: true })],
  ['the first query sees one key', attentionCase({ ...small, queries: 40, keys: 70, offset: 0, causal: true })],
  ['queries past the last key', attentionCase({ ...small, queries: 20, keys: 10, offset: 3, causal: true })],
  ['batch 3', attentionCase({ ...small, batch: 3, queries: 18 })],
  ['batch 2, causal', attentionCase({ ...small, batch: 2, queries: 35, causal: true })],
  [
    'batch 2, one query each, unfilled rows',
    attentionCase({ ...small, batch: 2, queries: 1, keys: 33, keyRows: 40, causal: true }),
  ],
  ['another scale', attentionCase({ ...small, queries: 11, scale: 1 })],
];

/** Windows and segments: what they leave of tiles, blocks and rows. 67 queries take five tiles of the largest kind. */
const masks: [string, Case][] = [
  ...[1, 2, 15, 16, 17, 33, 66, 67, 200].map((window): [string, Case] => [
    `67 queries, window ${window}`,
    attentionCase({ ...small, queries: 67, causal: true, window }),
  ]),
  ...[1, 127, 128, 129, 299, 300].map((window): [string, Case] => [
    `1 query, 300 keys, window ${window}`,
    attentionCase({ ...small, queries: 1, keys: 300, causal: true, window }),
  ]),
  ['window, cached', attentionCase({ ...small, queries: 5, keys: 177, keyRows: 190, causal: true, window: 40 })],
  [
    'window, queries in the middle',
    attentionCase({ ...small, queries: 13, keys: 90, offset: 37, causal: true, window: 9 }),
  ],
  [
    'window, the last query sees one key',
    attentionCase({ ...small, queries: 20, keys: 10, offset: 3, causal: true, window: 14 }),
  ],
  [
    'window, batch 2, grouped',
    attentionCase({
      batch: 2,
      queries: 35,
      keys: 70,
      keyRows: 75,
      heads: 6,
      kvHeads: 3,
      headSize: 24,
      causal: true,
      window: 20,
    }),
  ],
  ['window, head size 33', attentionCase({ queries: 41, headSize: 33, causal: true, window: 6 })],
  ['segments of equal length', attentionCase({ ...small, queries: 48, segments: blocks(16, 16, 16) })],
  ['segments of 1', attentionCase({ ...small, queries: 35, segments: blocks(...Array(35).fill(1)) })],
  ['one segment', attentionCase({ ...small, queries: 37, segments: blocks(37) })],
  ['segments of many lengths', attentionCase({ ...small, queries: 200, segments: blocks(3, 61, 1, 70, 17, 48) })],
  // Blocks of keys that some queries of a tile see none of: before their keys, after them, and in the reverse order.
  [
    'intervals from the end to the start',
    attentionCase({
      ...small,
      queries: 66,
      keys: 300,
      segments: Array.from({ length: 66 }, (_, i) => [296 - 4 * i, 300 - 3 * i]),
    }),
  ],
  [
    'segments of other keys than queries',
    attentionCase({
      ...small,
      queries: 3,
      keys: 300,
      segments: [
        [290, 300],
        [0, 1],
        [100, 260],
      ],
    }),
  ],
  ['segments, grouped', attentionCase({ queries: 50, heads: 6, kvHeads: 3, headSize: 24, segments: blocks(20, 30) })],
  ['segments, head size 80', attentionCase({ queries: 40, headSize: 80, segments: blocks(4, 19, 17) })],
  ['segments, filled rows', attentionCase({ ...small, queries: 9, keyRows: 20, segments: blocks(4, 5) })],
];

const groupings: [string, Case][] = [
  ['grouped 6:3', attentionCase({ queries: 21, heads: 6, kvHeads: 3, headSize: 24, causal: true })],
];

/** Every size on the variant that software adapters take; on the others, those whose vectors and rounds differ. */
const headSizes: Record<AttentionVariant, number[]> = {
  quad: [1, 2, 5, 24, 33, 40, 64, 72, 80, 96, 128],
  broadcast: [2, 33, 72],
  tile: [5, 40, 72, 131],
  split: [2, 33, 128, 600],
  decode: [2, 33, 128, 300, 512],
};

/** What splits, their last parts, and heads that share keys make of it. */
const splits: [string, Case][] = [
  ...[1, 4, 5, 7, 9, 16].flatMap((group) =>
    [1, 127, 128, 129, 640, 1000].map((keys): [string, Case] => [
      `${keys} keys, groups of ${group} heads`,
      attentionCase({ queries: 1, heads: 2 * group, kvHeads: 2, headSize: 16, keys, keyRows: keys + 3, causal: true }),
    ]),
  ),
  [
    'batch 2, 4 queries, groups of 7 heads',
    attentionCase({ batch: 2, queries: 4, heads: 14, kvHeads: 2, headSize: 24, keys: 387, causal: true }),
  ],
  [
    'a part of the splits seen by no early query',
    attentionCase({ ...small, queries: 4, keys: 700, offset: 126, causal: true }),
  ],
  [
    'a window that begins within a block',
    attentionCase({ ...small, queries: 3, keys: 900, window: 391, causal: true }),
  ],
  ...[1, 4, 7].map((group): [string, Case] => [
    `f16, groups of ${group} heads of 128`,
    attentionCase({
      ...{ queries: 1, heads: group, kvHeads: 1, headSize: 128, keys: 300, keyRows: 512, causal: true },
      stored: 'f16',
    }),
  ]),
];

describe.each(attentionVariants)('attention.%s', (variant) => {
  const sizes = headSizes[variant].map((headSize): [string, Case] => [
    `head size ${headSize}`,
    attentionCase({ queries: 9, keys: 19, headSize, causal: true }),
  ]);

  const cases = [...lengths, ...masks, ...groupings, ...sizes, ...(variant === 'decode' ? splits : [])];
  it.each(cases.filter(([, { segments }]) => variant !== 'decode' || !segments))('%s', (_, c) => solved(c, variant));

  it('stays finite and right for logits far beyond what exp takes', async () => {
    for (const causal of [false, true]) {
      const c = attentionCase({ ...small, queries: 70, causal });
      await solved(c, variant, attentionData(c, 100));
    }
  });

  it('copies the value of a key that outweighs all others by 80 and more', async () => {
    const c = attentionCase({ ...small, queries: 67, scale: 1 });
    // Keys are 67 corners of a cube, 8 times the unit cube's; another corner is at least 2 * 64 behind.
    const corner = (i: number) => Float32Array.from({ length: 16 }, (_, d) => (((i * 977) >> d) & 1 ? 8 : -8));
    const q = new Float32Array(67 * 32);
    const k = new Float32Array(67 * 16);
    const v = random(67 * 16, 4);
    for (let i = 0; i < 67; i++) {
      k.set(corner(i), i * 16);
      q.set(corner(66 - i), i * 32); // head 0 looks for the key as far from the end
      q.set(corner(i), i * 32 + 16); // head 1 for its own
    }
    const expected = new Float32Array(67 * 32);
    for (let i = 0; i < 67; i++) {
      expected.set(v.subarray((66 - i) * 16, (67 - i) * 16), i * 32);
      expected.set(v.subarray(i * 16, (i + 1) * 16), i * 32 + 16);
    }
    expect(nmse(await run(c, { q, k, v }, variant), expected)).toBeLessThanOrEqual(1e-13); // 1 / total may round
  });

  it.each([
    ['up', 1],
    ['down', -1],
  ])('rescales when the logits of 300 keys go %s', async (_, sign) => {
    const c = attentionCase({ ...small, queries: 3, keys: 300, scale: 1 });
    const q = new Float32Array(3 * 32).fill(1);
    const k = Float32Array.from({ length: 300 * 16 }, (_, i) => (sign * Math.floor(i / 16)) / 16 / 50); // 6 in all
    const v = random(300 * 16, 6);
    await solved(c, variant, { q, k, v });
  });

  it('averages the values when all logits are equal, however low', async () => {
    const c = attentionCase({ ...small, queries: 5, keys: 130, scale: 1 });
    const q = new Float32Array(5 * 32).fill(1000);
    const k = new Float32Array(130 * 16).fill(-1000);
    const v = random(130 * 16, 5);
    await solved(c, variant, { q, k, v });
  });

  it.runIf(variant !== 'decode')(
    'gives hidden keys no weight at all, before and after the first one seen',
    async () => {
      // Whole blocks of keys before query 1's first. Were they summed up to be scaled down by 0 later, infinity * 0 is NaN.
      const c = attentionCase({
        ...small,
        queries: 4,
        keys: 400,
        segments: [
          [0, 400],
          [399, 400],
          [150, 160],
          [0, 3],
        ],
      });
      const data = attentionData(c);
      data.v.fill(3e38, 4 * 16, 140 * 16).fill(3e38, 200 * 16, 390 * 16);
      const z = await run(c, data, variant);
      const { at } = attentionProblem('attention', c, data).expected();
      expect(errorOf(z.subarray(32), (index) => at(32 + index))).toBeLessThanOrEqual(1e-7);
    },
  );

  it('does not look at keys before the window', async () => {
    const c = attentionCase({ ...small, queries: 3, keys: 500, causal: true, window: 20 });
    const data = attentionData(c);
    const z = await run(c, data, variant);
    data.k.fill(Number.NaN, 0, 478 * 16);
    data.v.fill(Number.NaN, 0, 478 * 16);
    expect(await run(c, data, variant)).toEqual(z);
  });

  it('ignores keys that are masked or past the filled rows, whatever they hold', async () => {
    const c = attentionCase({ ...small, queries: 6, keys: 20, keyRows: 30, offset: 8, causal: true });
    const data = attentionData(c);
    const z = await run(c, data, variant);
    data.k.fill(1e4, 14 * 16);
    data.v.fill(1e4, 14 * 16);
    expect(await run(c, data, variant)).toEqual(z);
  });
});

describe('attention', () => {
  it('chooses by the number of queries, and by the subgroups of an adapter without a GPU', () => {
    const chosen = (
      queries: number[],
      software: boolean,
      subgroupMinSize: number,
      splits?: number,
      heads = 4,
      headSize = 64,
    ) =>
      queries.map((n) =>
        chooseAttention({ queries: n, heads, kvHeads: 2, headSize }, { software, subgroupMinSize }, splits),
      );
    expect(chosen([1, 4, 5, 600], false, 32)).toEqual(['split', 'split', 'tile', 'tile']);
    expect(chosen([1, 4, 5], false, 32, 2)).toEqual(['decode', 'decode', 'tile']);
    expect(chosen([1, 600], true, 4, 2, 14)).toEqual(['quad', 'quad']);
    expect(chosen([1, 5, 255, 256], true, 8, 2)).toEqual(['quad', 'quad', 'quad', 'broadcast']);
    expect(chosen([256], true, 8, 1, 4, 256)).toEqual(['quad']);
    expect(chosen([1, 4, 5], true, 8, 2, 6)).toEqual(['decode', 'decode', 'quad']);
    expect(chosen([1], true, 8, 1, 6)).toEqual(['quad']);
  });

  it('splits keys until there are workgroups for a large GPU, each with as many blocks of 128', () => {
    const splits = (workgroups: number, keys: number) => decodeSplits(workgroups, keys);
    expect([1, 128, 129, 640, 4096].map((keys) => splits(32, keys))).toEqual([1, 1, 2, 5, 16]);
    expect([640, 4096, 16384, 131072].map((keys) => splits(4, keys))).toEqual([5, 32, 128, 128]);
    expect([640, 131072].map((keys) => splits(600, keys))).toEqual([1, 1]);
    for (let keys = 1; keys < 5000; keys += 37) {
      const count = splits(12, keys);
      const each = Math.ceil(Math.ceil(keys / 128) / count) * 128;
      expect((count - 1) * each).toBeLessThan(keys); // none without keys
      expect(count * each).toBeGreaterThanOrEqual(keys);
    }
  });

  it('gives a workgroup the heads of a group, 8 at most and 1024 numbers of queries', () => {
    const own = (heads: number, headSize = 128) => decodeHeads({ heads: 3 * heads, kvHeads: 3, headSize });
    expect([1, 4, 7, 8, 9, 11, 12, 16].map((heads) => own(heads))).toEqual([1, 4, 7, 8, 3, 1, 6, 8]);
    expect([own(8, 256), own(7, 256), own(1, 2048)]).toEqual([4, 1, 1]);
  });

  it('splits for ours alone: a custom kernel takes the place of one dispatch', () => {
    const dry = new DryGpu();
    const kernelsOf = (replacement?: Replacement, splitKeys?: boolean) => {
      const rec = dry.record('decode', { replacement });
      const [q, k, v] = [1, 700, 700].map((rows) => rec.temp('x', 'f32', [rows, 4, 64]));
      attention(rec, { q, k, v, causal: true, scale: 1, splitKeys, label: 'z' });
      return rec.work.kernels;
    };
    expect(kernelsOf()).toEqual(['attention.decode', 'attention.merge']);
    expect(kernelsOf(undefined, false)).toEqual(['attention.split']);
    const mine = { name: 'mine.wgsl', wgsl: '@compute @workgroup_size(1) fn main() {}' };
    expect(kernelsOf(replacementOf({ attention: mine }))).toEqual(['attention mine.wgsl']);
  });

  it('divides workgroups so that all fit 256 threads, 16 KiB and three vectors of the head a thread', () => {
    for (let headSize = 1; headSize <= 256; headSize++) {
      const chunks = headSize / vectorWidth(headSize);
      const { groups, lanes, keysPerThread } = attentionTile('tile', chunks);
      expect(groups * lanes).toBeLessThanOrEqual(256);
      expect(16 * groups * lanes * (keysPerThread + 1)).toBeLessThanOrEqual(16384);
      if (chunks <= 192) expect(Math.ceil(chunks / lanes)).toBeLessThanOrEqual(3);
    }
  });

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
      expect(visiblePairs({ queries, keys, offset })).toBe(count(queries, keys, offset));
    expect(visiblePairs({ queries: 3, keys: 4, offset: 4 })).toBe(12);
    for (const [queries, keys, offset, window] of [
      [5, 5, 0, 1],
      [5, 5, 0, 3],
      [5, 5, 0, 9],
      [3, 10, 7, 4],
      [20, 10, 3, 14],
      [7, 40, 20, 25],
      [1, 8, 7, 8],
    ]) {
      const c = attentionCase({ queries, keys, offset, window, causal: true, headSize: 1 });
      let pairs = 0;
      for (let i = 0; i < queries; i++) for (let j = 0; j < keys; j++) if (sees(c, i, j)) pairs++;
      expect(visiblePairs({ queries, keys, offset, window })).toBe(pairs);
    }
    expect(visiblePairs({ queries: 9, keys: 9, offset: 9, pairs: 41 })).toBe(41);
  });

  it('makes segments of lengths', () => {
    const { segments, pairs } = segmentsOf([2, 3, 1]);
    expect([...segments]).toEqual(blocks(2, 3, 1).flat());
    expect(pairs).toBe(14);
  });

  it('costs what a window or segments leave', () => {
    const cost = (args: object) => {
      const recorder = gpu().record('cost');
      const [q, k, v] = ['q', 'k', 'v'].map((label) => recorder.temp(label, 'f32', [100, 2, 8]));
      attention(recorder, { q, k, v, causal: true, scale: 1, label: 'z', variant: 'tile', ...args });
      return recorder.work;
    };
    const segments = gpu().tensor('segments', 'u32', [100, 2]);
    expect(cost({ window: 1 })).toEqual({ flops: 4 * 2 * 8 * 100, bytes: 25600, kernels: ['attention.tile window'] });
    expect(cost({ window: 100 }).kernels).toEqual(['attention.tile']); // no query fills it
    expect(cost({ segments, causal: false }).flops).toBe(4 * 2 * 8 * 100 * 100);
    expect(cost({ segments, causal: false, pairs: 200 }).flops).toBe(4 * 2 * 8 * 200);
    gpu().destroy(segments);
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
    const segments = recorder.temp('segments', 'u32', [4, 2]);
    const some = { segments, causal: false };
    expect(attempt({ window: 2, causal: false })).toThrow('z: a window of 2 keys; it is to be 1 or more, and causal');
    expect(attempt({ window: 0 })).toThrow('z: a window of 0 keys');
    expect(attempt({ window: 1.5 })).toThrow('z: a window of 1.5 keys');
    expect(attempt({ window: 3, offset: 3 })).toThrow(
      'z: the query at position 6 sees none of 4 keys through a window of 3 (in attention)',
    );
    expect(attempt({ segments })).toThrow('z: segments are for one sequence, without causal and offset (in attention)');
    expect(attempt({ ...some, batch: 2, segments: rows(segments, 0, 2) })).toThrow('segments are for one sequence');
    expect(attempt({ ...some, offset: 1 })).toThrow('segments are for one sequence');
    expect(attempt({ ...some, segments: recorder.temp('frames', 'u32', [3, 2]) })).toThrow(
      'frames: expected [4,2], got [3,2]',
    );
    expect(attempt({ ...some, segments: tensor('frames', [4, 2]) })).toThrow('frames: expected u32, got f32');
    expect(attempt({ out: tensor('out', [4, 6, 4]) })).toThrow('out: expected [4,6,8], got [4,6,4]');
    expect(attempt({ q: recorder.temp('q', 'f16', [4, 6, 8]) })).toThrow('q: expected f32, got f16');
  });
});
