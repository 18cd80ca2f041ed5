import { elementCount } from '../../gpu/tensor.ts';
import { type Problem, placeOf } from '../problem.ts';
import { pseudoRandom } from '../pseudo-random.ts';
import { copyRows, rotaryEmbedding } from './rotary.ts';

/** Where rows go in a cache: `batch` sequences of `capacity` rows, from `outRow` on in each. */
export interface Cache {
  readonly batch: number;
  readonly capacity: number;
  readonly outRow: number;
}

/** Rows of `width` numbers into a cache that held other numbers before: what is where afterwards. */
function inCache(rows: number, width: number, { batch, capacity, outRow }: Cache) {
  const before = pseudoRandom(batch * capacity * width, 3);
  const perSequence = rows / batch;
  const at = (index: number, moved: (index: number) => number) => {
    const [row, column] = placeOf(index, width);
    const [sequence, place] = placeOf(row, capacity);
    const own = place - outRow;
    return own >= 0 && own < perSequence ? moved((sequence * perSequence + own) * width + column) : before[index];
  };
  return { before, at };
}

const namedCache = (cache?: Cache) =>
  cache ? ` into ${cache.batch} x ${cache.capacity} rows from ${cache.outRow} on` : '';

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
  const x = pseudoRandom(elementCount(shape), 1);
  const { before, at } = inCache(rows, elementCount(rest), cache);
  const outShape = [cache.batch * cache.capacity, ...rest];
  return {
    name: `[${shape}]${namedCache(cache)}`,
    shape: outShape,
    exact: true,
    before,
    prepare(make) {
      const input = make('x', 'f32', shape, x);
      return (rec, { out = rec.temp('y', 'f32', outShape) } = {}) => {
        copyRows(rec, { x: input, out, outRow: cache.outRow, batch: cache.batch, label: 'y' });
        return out;
      };
    },
    expected: () => ({ at: (index) => at(index, (moved) => x[moved]) }),
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

export const copyRowsProblems = () => [
  copyRowsProblem([1, 1], { batch: 1, capacity: 3, outRow: 2 }),
  copyRowsProblem([3, 5], { batch: 1, capacity: 5, outRow: 2 }),
  copyRowsProblem([7, 2, 3], { batch: 1, capacity: 12, outRow: 2 }),
  copyRowsProblem([5, 4, 32], { batch: 1, capacity: 7, outRow: 0 }),
  copyRowsProblem([6, 2, 8], { batch: 3, capacity: 5, outRow: 3 }),
];
