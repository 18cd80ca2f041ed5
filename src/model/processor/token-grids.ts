// Where a picture's tokens stand in it: the way back from positions in a prompt to places in a picture.

import type { Rectangle } from '../../base/rectangle.ts';
import type { Visual } from '../input.ts';
import { type Size, unresized } from './anyres.ts';

/** Normalised pixel values by channel, [3, height, width], as the tower is shown them. */
export interface Planes extends Size {
  readonly data: Float32Array;
}

/** Rows and columns over a picture, or over the part of it that the tower is shown. */
export interface Grid {
  /** `image`, `tiles`, `frame 2` */
  readonly label: string;
  readonly rows: number;
  readonly columns: number;
  /** The pixels beneath the grid. */
  picture(): Planes;
  /**
   * The part of the user's picture beneath the grid, in pixels of the picture as it is upright, so that what is drawn over the grid can be drawn
   * over that picture: a place (y, x) is an equal share of it (`cellArea`). Where the tower is shown padding, it lies partly outside. Absent
   * where pixel values were not made here.
   */
  readonly area?: Rectangle;
}

/** The part of the user's picture at place (y, x) of a grid. @returns undefined where the grid has no area. */
export function cellArea({ area, rows, columns }: Grid, y: number, x: number): Rectangle | undefined {
  if (!area) return undefined;
  const [height, width] = [area.height / rows, area.width / columns];
  return { top: area.top + y * height, left: area.left + x * width, height, width };
}

/** A picture's tokens in the prompt. */
export interface TokenGrid extends Grid {
  /** Which of the picture's tokens stands at (y, x). */
  tokenOf(y: number, x: number): number;
}

/** A picture's patches in the tower. */
export interface PatchGrid extends Grid {
  /** Which of the sequences that the tower attends within: the crop, or 0 where all pictures are one. */
  readonly sequence: number;
  /** Which row of that sequence stands at (y, x). */
  rowOf(y: number, x: number): number;
  /** CLIP: the row of the class token. */
  readonly classRow?: number;
}

/** What patches cover of a crop, from its upper left corner. @param covered of its side, where patches do not fill it. */
export function cropArea({ areas }: Visual, crop: number, covered: number): Rectangle | undefined {
  const area = areas?.[crop];
  return area && { ...area, height: area.height * covered, width: area.width * covered };
}

/**
 * A square of tokens over one crop, which has `perCrop` of them: the last ones, behind a class token if that is kept.
 * @param covered see `cropArea`.
 */
export function cropGrid(visual: Visual, crop: number, perCrop: number, covered: number, label: string): TokenGrid {
  const side = Math.floor(Math.sqrt(perCrop));
  const first = crop * perCrop + perCrop - side ** 2;
  return {
    label,
    rows: side,
    columns: side,
    tokenOf: (y, x) => first + y * side + x,
    picture: () => cropPlanes(visual, crop),
    area: cropArea(visual, crop, covered),
  };
}

/** @param visual of crops, [crops, 3, height, width] */
export function cropPlanes({ pixels, shape }: Visual, crop: number): Planes {
  const [, channels, height, width] = shape;
  const size = channels * height * width;
  return { height, width, data: pixels.subarray(crop * size, (crop + 1) * size) };
}

/** How tiles are put together: crops 1, 2, … are tiles row by row, `wide` in a row, of `side` x `side` features. */
export interface TileLayout {
  readonly wide: number;
  readonly side: number;
  /** The part of the features of all tiles that shows the picture. */
  readonly shown: Rectangle;
}

/** The picture that tiles show, without its padding. */
export function tilePlanes({ pixels, shape }: Visual, { wide, side, shown }: TileLayout): Planes {
  const [, , size] = shape;
  const scale = size / side; // a patch, or a little more where patches do not fill the tile
  const [top, left] = [Math.round(shown.top * scale), Math.round(shown.left * scale)];
  const [height, width] = [Math.round(shown.height * scale), Math.round(shown.width * scale)];
  const data = new Float32Array(3 * height * width);
  for (let c = 0, at = 0; c < 3; c++)
    for (let y = top; y < top + height; y++)
      for (let x = left; x < left + width; x++, at++) {
        const tile = 1 + Math.floor(y / size) * wide + Math.floor(x / size);
        data[at] = pixels[((tile * 3 + c) * size + (y % size)) * size + (x % size)];
      }
  return { height, width, data };
}

/** The part of the user's picture that tiles show, without their padding. */
export function tiledArea({ areas, shape }: Visual, { wide, side, shown }: TileLayout): Rectangle | undefined {
  if (!areas) return undefined;
  const [, first] = areas;
  const high = (shape[0] - 1) / wide;
  const all = { width: wide * side, height: high * side };
  const part = unresized(shown, all, { width: wide * first.width, height: high * first.height });
  return { ...part, top: first.top + part.top, left: first.left + part.left };
}

/** How a picture is cut into patches, `merge` x `merge` of which follow each other. */
export interface PatchLayout {
  readonly patch: number;
  readonly temporalPatch: number;
  readonly merge: number;
}

/** Which of a picture's patches stands at (y, x) of a frame. */
export function patchIndex(
  [, height, width]: readonly number[],
  merge: number,
  [frame, y, x]: readonly [number, number, number],
): number {
  const square = Math.floor(y / merge) * (width / merge) + Math.floor(x / merge);
  return frame * height * width + square * merge ** 2 + (y % merge) * merge + (x % merge);
}

/** A frame put together from its patches, each [3, temporalPatch, patch, patch] of which the first moment is taken. */
export function patchPlanes({ pixels, grid }: Visual, layout: PatchLayout, frame: number): Planes {
  const { patch, temporalPatch, merge } = layout;
  const [height, width] = [grid![1] * patch, grid![2] * patch];
  const data = new Float32Array(3 * height * width);
  for (let c = 0, at = 0; c < 3; c++)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++, at++) {
        const index = patchIndex(grid!, merge, [frame, Math.floor(y / patch), Math.floor(x / patch)]);
        const plane = (index * 3 + c) * temporalPatch * patch ** 2;
        data[at] = pixels[plane + (y % patch) * patch + (x % patch)];
      }
  return { height, width, data };
}

/** `frame 2` of several, else what the kind of picture is called. */
export const frameLabel = (kind: Visual['kind'], frame: number, frames: number): string =>
  frames > 1 ? `frame ${frame + 1}` : kind;
