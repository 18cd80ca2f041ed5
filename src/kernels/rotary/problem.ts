import { matrixShape } from '../../gpu/formats/format.ts';
import { formats } from '../../gpu/formats/index.ts';
import { elementCount } from '../../gpu/tensor.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
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

const namedCache = (cache?: Cache) =>
  cache
    ? ` into ${cache.dtype ? `${cache.dtype}, ` : ''}${cache.batch} x ${cache.capacity} rows from ${cache.outRow} on`
    : '';

export type RotarySizes = readonly [rows: number, heads: number, headSize: number];

/** Row r stands at position r + 11. */
export function rotaryProblem(shape: RotarySizes, cache?: Cache): Problem {
  const [rows, heads, headSize] = shape;
  const half = headSize / 2;
  const x = pseudoRandom(elementCount(shape), 1);
  const angle = (row: number, pair: number) => (row + 11) * 10000 ** (-pair / half);
  const table = Float32Array.from({ length: rows * headSize }, (_, index) => {
    const [row, d] = placeOf(index, headSize);
    return d < half ? Math.cos(angle(row, d)) : Math.sin(angle(row, d - half));
  });
  // By definition: a pair is a complex number, turned by the angle.
  const turned = (index: number) => {
    const [row, d] = placeOf(index, headSize);
    const pair = d % half;
    const [re, im] = [x[row * headSize + pair], x[row * headSize + pair + half]];
    const phase = Math.atan2(im, re) + angle(Math.floor(row / heads), pair);
    return Math.hypot(re, im) * (d < half ? Math.cos(phase) : Math.sin(phase));
  };
  const into = cache && inCache(rows, heads * headSize, cache);
  return {
    name: `[${shape}]${namedCache(cache)}`,
    shape: [cache ? cache.batch * cache.capacity : rows, heads, headSize],
    dtype: cache?.dtype,
    before: into?.before,
    prepare(make) {
      const args = {
        x: make('x', 'f32', shape, x),
        table: make('table', 'f32', [rows, headSize], table),
        ...(cache && { batch: cache.batch, outRow: cache.outRow }),
        label: 'y',
      };
      return (rec, options) => rotaryEmbedding(rec, { ...args, ...options });
    },
    expected: () => ({ at: (index) => (into ? into.at(index, turned) : turned(index)) }),
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
