// The geometry of "any resolution": how an image is cut into tiles, and which features of the tiles are padding. What the
// image processor crops, what the processor counts as tokens and what the model packs follow from the same functions.
import type { Rectangle } from '../../base/rectangle.ts';
import { floorDivide, roundTo7 } from './rounding.ts';

export interface Size {
  readonly height: number;
  readonly width: number;
}

/** A part of a resized picture, as a part of the picture that it was resized from. */
export function unresized(part: Rectangle, resized: Size, from: Size): Rectangle {
  const [down, across] = [from.height / resized.height, from.width / resized.width];
  return {
    top: part.top * down,
    left: part.left * across,
    height: part.height * down,
    width: part.width * across,
  };
}

/**
 * Which of the resolutions in the config an image is fitted into: the one that keeps most of its pixels and, of equals,
 * wastes least (HF `select_best_resolution`).
 */
export function selectBestResolution(image: Size, pinpoints: readonly Size[]): Size {
  let best = pinpoints[0];
  let most = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const pinpoint of pinpoints) {
    const scale = Math.min(pinpoint.width / image.width, pinpoint.height / image.height);
    const kept = Math.min(
      Math.trunc(image.width * scale) * Math.trunc(image.height * scale),
      image.width * image.height,
    );
    const wasted = pinpoint.width * pinpoint.height - kept;
    if (kept > most || (kept === most && wasted < least)) {
      best = pinpoint;
      most = kept;
      least = wasted;
    }
  }
  return best;
}

/** The part of a map (features or pixels of all tiles) that shows the image and not its padding (HF `unpad_image`). */
export function unpadded(image: Size, map: Size): Rectangle {
  if (image.width / image.height > map.width / map.height) {
    const height = Math.trunc(roundTo7(image.height * (map.width / image.width)));
    const top = Math.floor((map.height - height) / 2);
    return { top, left: 0, height: map.height - 2 * top, width: map.width };
  }
  const width = Math.trunc(roundTo7(image.width * (map.height / image.height)));
  const left = Math.floor((map.width - width) / 2);
  return { top: 0, left, height: map.height, width: map.width - 2 * left };
}

/**
 * What a map is resized to where it has more features than `maxTiles` tiles of `side` x `side` have (`anyres_max_9`); the
 * map's own size where it stays as it is (HF `LlavaOnevisionModel.pack_image_features`).
 */
export function limited(map: Size, side: number, maxTiles: number): Size {
  const ratio = Math.sqrt((map.height * map.width) / (maxTiles * side ** 2));
  if (!(ratio > 1.1)) return map;
  return { height: floorDivide(map.height, ratio), width: floorDivide(map.width, ratio) };
}
