// The geometry of Qwen2-VL's images, which keep their shape: as many patches as they have pixels for, within bounds.
import { z } from 'zod';
import type { Size } from './anyres.ts';
import { InputError } from './errors.ts';
import { parse } from './json.ts';

const pixels = z.int().min(1).max(1_000_000_000).nullish();
const schema = z.looseObject({
  min_pixels: pixels,
  max_pixels: pixels,
  size: z.looseObject({ shortest_edge: pixels, longest_edge: pixels }).nullish(),
});

/** The fewest and the most pixels of an image, by preprocessor_config.json or else by HF's class. */
export function pixelBounds(json: unknown): { least: number; most: number } {
  const { min_pixels, max_pixels, size } = parse(schema, json, 'preprocessor_config.json');
  return {
    least: min_pixels ?? size?.shortest_edge ?? 56 * 56,
    most: max_pixels ?? size?.longest_edge ?? 28 * 28 * 1280,
  };
}

/**
 * The size nearest to an image's own that has sides of multiples of `factor` and pixels between the bounds (HF
 * `smart_resize`).
 * @throws InputError for an image more than 200 times as long as wide.
 */
export function smartSize({ height, width }: Size, factor: number, least: number, most: number): Size {
  if (Math.max(height, width) / Math.min(height, width) > 200)
    throw new InputError(`an image of ${width}x${height}: sides may differ 200 times at most; crop it`);
  const nearest = { height: roundHalfEven(height / factor) * factor, width: roundHalfEven(width / factor) * factor };
  const area = nearest.height * nearest.width;
  if (area > most) {
    const by = Math.sqrt((height * width) / most);
    const shrunk = (n: number) => Math.max(factor, Math.floor(n / by / factor) * factor);
    return { height: shrunk(height), width: shrunk(width) };
  }
  if (area < least) {
    const by = Math.sqrt(least / (height * width));
    const grown = (n: number) => Math.ceil((n * by) / factor) * factor;
    return { height: grown(height), width: grown(width) };
  }
  return nearest;
}

/** Python's `round`. */
function roundHalfEven(x: number): number {
  const down = Math.floor(x);
  if (x - down !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
