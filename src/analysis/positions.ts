import { InputError } from '../model/errors.ts';
import type { Architecture } from '../model/families/family.ts';
import type { ModelInput } from '../model/input.ts';
import type { Grid, TokenGrid } from '../model/processor/token-grids.ts';

/** The position that a number means, negative ones counted from the end. @throws InputError outside the input. */
export function resolvePosition(position: number, length: number): number {
  const at = position < 0 ? position + length : position;
  if (!(Number.isInteger(at) && at >= 0 && at < length))
    throw new InputError(`position ${position} does not lie within the ${length} positions of this input`);
  return at;
}

/** Where in the prompt each visual's tokens stand, in the order of `input.visuals`. */
export function visualPositions({ vision }: Architecture, { inputIds, visuals }: ModelInput): number[][] {
  if (!vision) return [];
  const ids = Array.from(inputIds);
  const places = (wanted: number | undefined) => ids.flatMap((id, i) => (id === wanted ? [i] : []));
  const left = { image: places(vision.imageTokenId), video: places(vision.videoTokenId) };
  return visuals.map((visual) => left[visual.kind].splice(0, vision.tokens(visual)));
}

export interface PictureGrid extends Grid {
  /** Which of `input.visuals`. */
  readonly visual: number;
}

/** One of the grids that a prompt's pictures have. */
export interface PlacedGrid extends TokenGrid, PictureGrid {
  /** The position in the prompt of the token at (y, x). */
  positionOf(y: number, x: number): number;
}

/** Every grid of every picture of a prompt. */
export function placedGrids(architecture: Architecture, input: ModelInput): PlacedGrid[] {
  return visualPositions(architecture, input).flatMap((positions, visual) =>
    architecture.vision!.tokenGrids(input.visuals[visual]).map((grid) => ({
      ...grid,
      visual,
      positionOf: (y: number, x: number) => positions[grid.tokenOf(y, x)],
    })),
  );
}
