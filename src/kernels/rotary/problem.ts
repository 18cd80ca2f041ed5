import { matrixShape } from '../../gpu/formats/format.ts';
import { formats } from '../../gpu/formats/index.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { elementCount, type Tensor } from '../../gpu/tensor.ts';
import { type Problem, placeOf } from '../problem.ts';
import { type MakeTensor, pseudoRandom } from '../pseudo-random.ts';
import { rotateAndAppend } from './append.ts';
import { copyRows, rotaryEmbedding } from './rotary.ts';

/** Where rows go in a cache: `batch` sequences of `capacity` rows, from `outRow` on in each. */
export interface Cache {
  /** Default f32. */
  readonly dtype?: 'f16';
  readonly batch: number;
  readonly capacity: number;
  readonly outRow: number;
}

/** Rows of `width` numbers into a cache that held other numbers before: what is where afterwards. */
function inCache(rows: number, width: number, { batch, capacity, outRow, dtype: stored }: Cache) {
  const dtype = stored ?? 'f32';
  const shape = [batch * capacity, width] as const;
  const [bytes] = formats[dtype].pack(pseudoRandom(batch * capacity * width, 3), shape);
  const before = formats[dtype].unpack([bytes], shape);
  const perSequence = rows / batch;
  const at = (index: number, moved: (index: number) => number) => {
    const [row, column] = placeOf(index, width);
    const [sequence, place] = placeOf(row, capacity);
    const own = place - outRow;
    return own >= 0 && own < perSequence ? moved((sequence * perSequence + own) * width + column) : before[index];
  };
  return { before: bytes, at };
}

export const namedCache = (cache?: Cache) =>
  cache
    ? ` into ${cache.dtype ? `${cache.dtype}, ` : ''}${cache.batch} x ${cache.capacity} rows from ${cache.outRow} on`
    : '';

export type RotarySizes = readonly [rows: number, heads: number, headSize: number];

export function rotaryProblem(shape: RotarySizes, cache?: Cache): Problem {
  const [rows, heads, headSize] = shape;
  const x = pseudoRandom(elementCount(shape), 1);
  const { table, turned } = rotation((index) => x[index], heads * headSize, headSize);
  const into = cache && inCache(rows, heads * headSize, cache);
  return {
    name: `[${shape}]${namedCache(cache)}`,
    shape: [cache ? cache.batch * cache.capacity : rows, heads, headSize],
    dtype: cache?.dtype,
    before: into?.before,
    prepare(make) {
      const args = {
        x: make('x', 'f32', shape, x),
        table: make('table', 'f32', [rows, headSize], table(rows)),
        ...(cache && { batch: cache.batch, outRow: cache.outRow }),
        label: 'y',
      };
      return (rec, options) => rotaryEmbedding(rec, { ...args, ...options });
    },
    expected: () => ({ at: (index) => (into ? into.at(index, turned) : turned(index)) }),
  };
}

/** By definition: pairs are complex numbers, row r's turned by its angles of position r + 11. */
function rotation(x: (index: number) => number, rowWidth: number, headSize: number) {
  const half = headSize / 2;
  const angle = (row: number, pair: number) => (row + 11) * 10000 ** (-pair / half);
  return {
    table: (rows: number) =>
      Float32Array.from({ length: rows * headSize }, (_, index) => {
        const [row, d] = placeOf(index, headSize);
        return d < half ? Math.cos(angle(row, d)) : Math.sin(angle(row, d - half));
      }),
    turned(index: number) {
      const d = index % headSize;
      const pair = d % half;
      const [re, im] = [x(index - d + pair), x(index - d + pair + half)];
      const phase = Math.atan2(im, re) + angle(Math.floor(index / rowWidth), pair);
      return Math.hypot(re, im) * (d < half ? Math.cos(phase) : Math.sin(phase));
    },
  };
}

export function copyRowsProblem(shape: readonly number[], cache: Cache): Problem {
  const [rows, ...rest] = shape;
  const dtype = cache.dtype ?? 'f32';
  const matrix = matrixShape(shape);
  // Numbers that the format holds: others may be rounded either way.
  const x = Float32Array.from(
    formats[dtype].unpack(formats[dtype].pack(pseudoRandom(elementCount(shape), 1), matrix), matrix),
  );
  const { before, at } = inCache(rows, elementCount(rest), cache);
  const outShape = [cache.batch * cache.capacity, ...rest];
  return {
    name: `[${shape}]${namedCache(cache)}`,
    shape: outShape,
    exact: true,
    dtype: cache.dtype,
    before,
    prepare(make) {
      const input = make('x', 'f32', shape, x);
      return (rec, { out = rec.temp('y', dtype, outShape) } = {}) => {
        copyRows(rec, { x: input, out, outRow: cache.outRow, batch: cache.batch, label: 'y' });
        return out;
      };
    },
    expected: () => ({ at: (index) => at(index, (from) => x[from]) }),
  };
}

export type AppendSizes = readonly [rows: number, heads: number, kvHeads: number, headSize: number];

export const appendOutputs = ['q', 'keys', 'values'] as const;
export type AppendOutput = (typeof appendOutputs)[number];

/**
 * Where q, k and v go that lie side by side in rows, and what one of the three outputs then holds. Those into caches leave what was
 * there before and behind.
 * @param qkv the numbers of [rows, (heads + 2 * kvHeads) * headSize]
 */
export function appended(
  [rows, heads, kvHeads, headSize]: AppendSizes,
  qkv: (index: number) => number,
  cache: Cache,
  output: AppendOutput,
) {
  const perRow = (heads + 2 * kvHeads) * headSize;
  const { table, turned } = rotation(qkv, perRow, headSize);
  const cacheShape = [cache.batch * cache.capacity, kvHeads, headSize];
  const first = { q: 0, keys: heads * headSize, values: (heads + kvHeads) * headSize }[output];
  const width = (output === 'q' ? heads : kvHeads) * headSize;
  const moved = (index: number) => {
    const [row, column] = placeOf(index, width);
    const source = row * perRow + first + column;
    return output === 'values' ? qkv(source) : turned(source);
  };
  const into = output === 'q' ? undefined : inCache(rows, width, cache);
  return {
    shape: output === 'q' ? [rows, heads, headSize] : cacheShape,
    dtype: output === 'q' ? undefined : cache.dtype,
    before: into?.before,
    /** What the call is given beside the product or its rows. */
    args(make: MakeTensor) {
      const angles = make('table', 'f32', [rows, headSize], table(rows));
      return (rec: Recorder, out?: Tensor) => {
        const dtype = cache.dtype ?? 'f32';
        const [keys, values] = ['keys', 'values'].map((name) =>
          output === name && out ? out : rec.temp(name, dtype, cacheShape),
        );
        const { batch, outRow } = cache;
        return { table: angles, keys, values, heads, out: output === 'q' ? out : undefined, outRow, batch, label: 'y' };
      };
    },
    at: (index: number) => (into ? into.at(index, moved) : moved(index)),
  };
}

/** One of the three outputs. */
export function rotateAndAppendProblem(sizes: AppendSizes, cache: Cache, output: AppendOutput): Problem {
  const [rows, heads, kvHeads, headSize] = sizes;
  const perRow = (heads + 2 * kvHeads) * headSize;
  const qkv = pseudoRandom(rows * perRow, 1);
  const { shape, dtype, before, args, at } = appended(sizes, (index) => qkv[index], cache, output);
  return {
    name: `${output} of [${rows}, (${heads} + 2 * ${kvHeads}) * ${headSize}]${namedCache(cache)}`,
    ...{ shape, dtype, before },
    prepare(make) {
      const x = make('qkv', 'f32', [rows, perRow], qkv);
      const into = args(make);
      return (rec, { out } = {}) => {
        const given = into(rec, out);
        const q = rotateAndAppend(rec, { qkv: x, ...given });
        return output === 'q' ? q : given[output];
      };
    },
    expected: () => ({ at }),
  };
}

export const rotateAndAppendProblems = () =>
  (
    [
      [[1, 4, 2, 16], { batch: 1, capacity: 3, outRow: 2 }],
      [[1, 3, 3, 6], { batch: 1, capacity: 1, outRow: 0 }],
      [[7, 5, 1, 10], { batch: 1, capacity: 12, outRow: 3 }],
      [[6, 2, 1, 4], { batch: 3, capacity: 5, outRow: 2 }],
      [[1, 14, 2, 64], { dtype: 'f16', batch: 1, capacity: 9, outRow: 4 }],
      [[6, 3, 3, 8], { dtype: 'f16', batch: 3, capacity: 5, outRow: 3 }],
      [[64, 2, 1, 40], { dtype: 'f16', batch: 1, capacity: 79, outRow: 11 }],
    ] as const
  ).flatMap(([sizes, cache]) => appendOutputs.map((output) => rotateAndAppendProblem(sizes, cache, output)));

export const rotaryProblems = () => [
  rotaryProblem([1, 1, 2]),
  rotaryProblem([7, 3, 10]),
  rotaryProblem([33, 2, 16]),
  rotaryProblem([67, 4, 24]),
  rotaryProblem([3, 2, 8], { batch: 1, capacity: 10, outRow: 4 }),
  rotaryProblem([6, 2, 8], { batch: 3, capacity: 5, outRow: 2 }),
];
/** Into a cache of f16. A custom kernel has no part in that: it writes f32. */
export const rotaryIntoHalves = () => [
  rotaryProblem([1, 1, 8], { dtype: 'f16', batch: 1, capacity: 1, outRow: 0 }),
  rotaryProblem([6, 3, 40], { dtype: 'f16', batch: 3, capacity: 5, outRow: 2 }),
  rotaryProblem([67, 2, 16], { dtype: 'f16', batch: 1, capacity: 79, outRow: 11 }),
];

export const copyRowsProblems = () => [
  copyRowsProblem([1, 1], { batch: 1, capacity: 3, outRow: 2 }),
  copyRowsProblem([3, 5], { batch: 1, capacity: 5, outRow: 2 }),
  copyRowsProblem([7, 2, 3], { batch: 1, capacity: 12, outRow: 2 }),
  copyRowsProblem([5, 4, 32], { batch: 1, capacity: 7, outRow: 0 }),
  copyRowsProblem([6, 2, 8], { batch: 3, capacity: 5, outRow: 3 }),
  copyRowsProblem([1, 4], { dtype: 'f16', batch: 1, capacity: 3, outRow: 1 }),
  copyRowsProblem([7, 3, 12], { dtype: 'f16', batch: 1, capacity: 12, outRow: 2 }),
  copyRowsProblem([66, 2, 8], { dtype: 'f16', batch: 3, capacity: 25, outRow: 3 }),
];
