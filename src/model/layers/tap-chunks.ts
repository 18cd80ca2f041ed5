import type { Taps } from '../../kernels/mix-rows/bilinear.ts';
import { rowStep } from './chunks.ts';

/** Some of the sums of `Taps`, and the rows that these read. */
export interface TapChunk extends Taps {
  /** Of all sums, [start, end). */
  readonly start: number;
  readonly end: number;
  /** The rows that they read, each once. */
  readonly read: Uint32Array<ArrayBuffer>;
  /** By their place in `read`. */
  readonly indices: Uint32Array<ArrayBuffer>;
}

/** Chunks whose sums read at most so many rows, or else `rowStep` sums. Each begins at a multiple of that. */
export function* tapChunks({ indices, weights }: Taps, mostRows: number): Generator<TapChunk> {
  const count = indices.length / 4;
  let end = 0;
  for (let start = 0; start < count; start = end) {
    const placeOf = new Map<number, number>();
    while (end < count) {
      const next = Math.min(count, end + rowStep);
      const further = new Set(indices.subarray(4 * end, 4 * next).filter((row) => !placeOf.has(row)));
      if (end > start && placeOf.size + further.size > mostRows) break;
      for (const row of further) placeOf.set(row, placeOf.size);
      end = next;
    }
    yield {
      start,
      end,
      read: Uint32Array.from(placeOf.keys()),
      indices: indices.slice(4 * start, 4 * end).map((row) => placeOf.get(row)!),
      weights: weights.slice(4 * start, 4 * end),
    };
  }
}
