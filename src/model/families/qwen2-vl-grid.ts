// Where the patches of Qwen2-VL stand: their rows and columns, the frames and windows that they attend within. Patches come
// from the processor square by square: the mergeSize x mergeSize patches of one token follow each other.

import type { BlockShape } from '../config/block.ts';

/** Qwen2-VL's tower (HF `Qwen2VLVisionConfig`, `Qwen2_5_VLVisionConfig`). */
export interface QwenVisionConfig extends BlockShape {
  readonly nLayers: number;
  readonly patchSize: number;
  readonly temporalPatchSize: number;
  /** Patches along a side of the squares that become one token. */
  readonly mergeSize: number;
  /** Qwen2.5-VL: patches along a side of an attention window, and the layers that attend to whole frames nevertheless. */
  readonly window?: { readonly side: number; readonly fullLayers: readonly number[] };
  /** Qwen2.5-VL: how far apart in position the frames of a second stand. */
  readonly tokensPerSecond?: number;
  readonly imageTokenId: number;
  readonly videoTokenId: number;
}

/** Patches over time, height and width. */
export type Grid = readonly [time: number, height: number, width: number];

/** Which patches attend to each other. */
export interface Segments {
  /** For each patch, the first patch of its segment and the first after it: [patches, 2] */
  readonly bounds: Uint32Array<ArrayBuffer>;
  /** Pairs of patches that see each other. */
  readonly pairs: number;
}

/** All pictures' patches in the order in which the blocks see them. */
export interface PatchLayout {
  /** Row and column of each patch within its frame: [2][patches] */
  readonly positions: readonly [rows: Uint32Array, columns: Uint32Array];
  readonly frames: Segments;
  /** Where there are any. */
  readonly windows?: Segments;
  /** With windows: which square (token) of the processor's order stands at each place. */
  readonly order?: Uint32Array<ArrayBuffer>;
}

/**
 * HF `get_vision_position_ids`, `get_vision_cu_seqlens` and `get_vision_window_index`.
 * @param windowSide of attention windows, in patches and a multiple of mergeSize; windows at the right and lower edge are
 *   smaller where it does not divide the picture.
 */
export function layPatches(grids: readonly Grid[], mergeSize: number, windowSide?: number): PatchLayout {
  const rows: number[] = [];
  const columns: number[] = [];
  const frames: number[] = [];
  const windows: number[] = [];
  const order: number[] = [];
  let firstSquare = 0;
  for (const [time, height, width] of grids) {
    const [high, wide] = [height / mergeSize, width / mergeSize]; // in squares
    const step = windowSide === undefined ? Math.max(high, wide) : windowSide / mergeSize;
    for (let frame = 0; frame < time; frame++) {
      const frameStart = rows.length;
      for (let top = 0; top < high; top += step)
        for (let left = 0; left < wide; left += step) {
          const windowStart = rows.length;
          for (let y = top; y < Math.min(top + step, high); y++)
            for (let x = left; x < Math.min(left + step, wide); x++) {
              order.push(firstSquare + y * wide + x);
              for (let patch = 0; patch < mergeSize ** 2; patch++) {
                rows.push(y * mergeSize + Math.floor(patch / mergeSize));
                columns.push(x * mergeSize + (patch % mergeSize));
              }
            }
          for (let i = windowStart; i < rows.length; i++) windows.push(windowStart, rows.length);
        }
      for (let i = frameStart; i < rows.length; i++) frames.push(frameStart, rows.length);
      firstSquare += high * wide;
    }
  }
  return {
    positions: [Uint32Array.from(rows), Uint32Array.from(columns)],
    frames: segments(frames),
    ...(windowSide !== undefined && { windows: segments(windows), order: Uint32Array.from(order) }),
  };
}

function segments(bounds: readonly number[]): Segments {
  let pairs = 0;
  for (let i = 0; i < bounds.length; i += 2) pairs += bounds[i + 1] - bounds[i];
  return { bounds: Uint32Array.from(bounds), pairs };
}

/** The inverse permutation. */
export function inverse(order: Uint32Array): Uint32Array<ArrayBuffer> {
  const back = new Uint32Array(order.length);
  for (const [to, from] of order.entries()) back[from] = to;
  return back;
}
