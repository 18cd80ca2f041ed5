// Where Qwen2-VL's tokens and patches stand in a picture.
import { elementCount } from '../../gpu/tensor.ts';
import type { Visual } from '../input.ts';
import { frameLabel, type PatchGrid, patchIndex, patchPlanes, type TokenGrid } from '../processor/token-grids.ts';
import { type Grid, inverse, layPatches, type QwenVisionConfig } from './qwen2-vl-grid.ts';

/** How the picture of a frame is put together from its patches. */
const framePicture = ({ patchSize, temporalPatchSize, mergeSize }: QwenVisionConfig, visual: Visual, frame: number) =>
  patchPlanes(visual, { patch: patchSize, temporalPatch: temporalPatchSize, merge: mergeSize }, frame);

/** The tokens: a grid of squares for each frame. */
export function squareGrids(config: QwenVisionConfig, visual: Visual, [frames, high, wide]: Grid): TokenGrid[] {
  const [rows, columns] = [high / config.mergeSize, wide / config.mergeSize];
  return Array.from({ length: frames }, (_, frame) => ({
    label: frameLabel(visual.kind, frame, frames),
    rows,
    columns,
    tokenOf: (y, x) => (frame * rows + y) * columns + x,
    picture: () => framePicture(config, visual, frame),
    area: visual.areas?.[frame],
  }));
}

/**
 * A grid of patches for each frame of each picture. All are rows of the one sequence that the tower sees, which in
 * Qwen2.5-VL stands window by window.
 */
export function towerGrids(
  config: QwenVisionConfig,
  visuals: readonly Visual[],
  grids: readonly Grid[],
): PatchGrid[][] {
  const { mergeSize, window } = config;
  const merged = mergeSize ** 2;
  const { order } = layPatches(grids, mergeSize, window?.side);
  const placeOf = order && inverse(order); // of squares
  let first = 0;
  return visuals.map((visual, i) => {
    const grid = grids[i];
    const start = first;
    first += elementCount(grid);
    return Array.from({ length: grid[0] }, (_, frame) => ({
      label: frameLabel(visual.kind, frame, grid[0]),
      rows: grid[1],
      columns: grid[2],
      sequence: 0,
      rowOf: (y, x) => {
        const row = start + patchIndex(grid, mergeSize, [frame, y, x]);
        return placeOf ? placeOf[Math.floor(row / merged)] * merged + (row % merged) : row;
      },
      picture: () => framePicture(config, visual, frame),
      area: visual.areas?.[frame],
    }));
  });
}
