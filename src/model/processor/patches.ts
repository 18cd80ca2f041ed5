import type { Rectangle } from '../../base/rectangle.ts';
import * as s from '../../base/schema.ts';
import type { RgbImage } from '../../platform/types.ts';
import { parse } from '../config/json.ts';
import { InputError } from '../errors.ts';
import type { Size } from './anyres.ts';
import { type ChannelTables, commonSize, imageTables, maxPixels, resize, type Scaling, videoTables } from './pixels.ts';
import type { Filter } from './resample.ts';
import { roundHalfEven } from './rounding.ts';
import { classOf, clipStatistics, commonSettings, parsePixels, type Settings, throwIfAny } from './settings.ts';

/** How pictures become patches (HF `Qwen2VLImageProcessor`, `Qwen2VLVideoProcessor`). */
export interface PatchingConfig extends Scaling {
  /** Resize, so that pixels lie between the bounds and sides are multiples of `patch * merge`. */
  readonly resize: boolean;
  readonly filter: Filter;
  readonly minPixels: number;
  readonly maxPixels: number;
  readonly patch: number;
  readonly temporalPatch: number;
  /** The decoder is shown merge x merge patches as one token; they follow each other in the patches' order. */
  readonly merge: number;
  /** Of videos: the most tokens of one, from which follows a bound on the pixels of each frame; none by default. */
  readonly maxVideoTokens?: number;
}

export interface Patches {
  readonly pixels: Float32Array;
  /** [patches, 3 * temporal patch * patch * patch] */
  readonly shape: readonly number[];
  /** Patches over time, height and width. */
  readonly grid: readonly [number, number, number];
  /** The whole picture, for each moment of `grid` (`Visual.areas`). */
  readonly areas: readonly Rectangle[];
}

const pixelCount = s.int(1, maxPixels);
const schema = s.object({
  ...commonSettings,
  size: s.nullish(s.looseObject({ shortest_edge: s.nullish(pixelCount), longest_edge: s.nullish(pixelCount) })),
  min_pixels: s.nullish(pixelCount),
  max_pixels: s.nullish(pixelCount),
  patch_size: s.nullish(s.int(1, 1024)),
  temporal_patch_size: s.nullish(s.int(1, 64)),
  merge_size: s.nullish(s.int(1, 64)),
  cap_pixels_per_frame: s.nullish(s.boolean()),
  max_video_tokens: s.nullish(s.int(1, 100_000_000)),
});

const defaultPixels = {
  image: { shortest_edge: 56 * 56, longest_edge: 28 * 28 * 1280 },
  video: { shortest_edge: 128 * 28 * 28, longest_edge: 28 * 28 * 768 },
};

/**
 * Reads preprocessor_config.json, or for videos video_preprocessor_config.json, or their nested forms.
 * @throws ConfigError naming every setting that is wrong or not supported.
 */
export function parsePatching({ json, file }: Settings, kind: 'image' | 'video'): PatchingConfig {
  const raw = parse(schema, json, file);
  const problems: string[] = [];
  classOf(raw, ['Qwen2VLImageProcessor'], problems);
  const { filter, scaling } = parsePixels(raw, clipStatistics, problems);
  const size = raw.size ?? defaultPixels[kind];
  const minPixels = raw.min_pixels ?? size.shortest_edge;
  const most = raw.max_pixels ?? size.longest_edge;
  if (minPixels == null || most == null)
    problems.push('size: expected {"shortest_edge": pixels, "longest_edge": pixels}, or min_pixels and max_pixels');
  throwIfAny(problems, file);
  return {
    ...scaling,
    resize: raw.do_resize ?? true,
    filter,
    minPixels: minPixels!,
    maxPixels: most!,
    patch: raw.patch_size ?? 14,
    temporalPatch: raw.temporal_patch_size ?? 2,
    merge: raw.merge_size ?? 2,
    maxVideoTokens: kind === 'video' && raw.cap_pixels_per_frame ? (raw.max_video_tokens ?? 128_000) : undefined,
  };
}

/** What `patchImage` gives, without the pixels. @throws InputError as it does. */
export function patchedShape(image: Size, config: PatchingConfig): Omit<Patches, 'pixels' | 'areas'> {
  const { patch, merge, temporalPatch, minPixels, maxPixels: most } = config;
  const size = config.resize ? smartSize(image, patch * merge, minPixels, most) : image;
  checkBlocks(size, patch * merge);
  const grid = [1, size.height / patch, size.width / patch] as const;
  return { grid, shape: [grid[1] * grid[2], 3 * temporalPatch * patch ** 2] };
}

/** An image to patches; it fills a temporal patch by itself. */
export function patchImage(image: RgbImage, config: PatchingConfig): Patches {
  const sized = config.resize ? smartResize(image, config, config.maxPixels) : image;
  return { ...patchify(Array(config.temporalPatch).fill(sized), config, imageTables(config)), areas: [wholeOf(image)] };
}

/** Frames of one size to patches; the last one is repeated until they fill the last temporal patch. */
export function patchFrames(frames: readonly RgbImage[], config: PatchingConfig): Patches {
  const area = wholeOf(commonSize(frames));
  const most = frameBound(frames.length, config);
  const sized = config.resize ? frames.map((frame) => smartResize(frame, config, most)) : [...frames];
  while (sized.length % config.temporalPatch) sized.push(sized[sized.length - 1]);
  const patches = patchify(sized, config, videoTables(config));
  return { ...patches, areas: Array.from({ length: patches.grid[0] }, () => area) };
}

const wholeOf = ({ height, width }: Size): Rectangle => ({ top: 0, left: 0, height, width });

/** The most pixels of a frame (HF's `cap_pixels_per_frame`). */
export function frameBound(
  frames: number,
  config: Pick<PatchingConfig, 'maxVideoTokens' | 'maxPixels' | 'minPixels' | 'patch' | 'merge' | 'temporalPatch'>,
): number {
  const { maxVideoTokens, patch, merge, temporalPatch, minPixels } = config;
  if (maxVideoTokens === undefined) return config.maxPixels;
  const total = Math.trunc(maxVideoTokens * (patch * merge) ** 2 * 0.9);
  const share = Math.min(config.maxPixels, Math.floor((total * temporalPatch) / frames));
  return Math.max(share, Math.trunc(minPixels * 1.05));
}

function smartResize(image: RgbImage, config: PatchingConfig, most: number): RgbImage {
  return resize(image, smartSize(image, config.patch * config.merge, config.minPixels, most), config.filter);
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
  const pixels = nearest.height * nearest.width;
  if (pixels > most) {
    const by = Math.sqrt((height * width) / most);
    const shrunk = (n: number) => Math.max(factor, Math.floor(n / by / factor) * factor);
    return { height: shrunk(height), width: shrunk(width) };
  }
  if (pixels < least) {
    const by = Math.sqrt(least / (height * width));
    const grown = (n: number) => Math.ceil((n * by) / factor) * factor;
    return { height: grown(height), width: grown(width) };
  }
  return nearest;
}

function checkBlocks({ width, height }: Size, unit: number): void {
  if (height % unit || width % unit)
    throw new InputError(`an image of ${width}x${height} pixels is not made of blocks of ${unit}x${unit}; resize it`);
}

/** Patches in the order of merged blocks: over time, blocks row by row, the patches of a block row by row. */
function patchify(
  frames: readonly RgbImage[],
  config: PatchingConfig,
  channels: ChannelTables,
): Omit<Patches, 'areas'> {
  const { patch, merge, temporalPatch } = config;
  const { height, width } = commonSize(frames);
  const unit = patch * merge;
  checkBlocks({ width, height }, unit);
  if (frames.length * height * width > maxPixels)
    throw new InputError(`${frames.length} frames of ${width}x${height} pixels are too many; take fewer`);
  const grid = [frames.length / temporalPatch, height / patch, width / patch] as const;
  const rowLength = 3 * temporalPatch * patch ** 2;
  const pixels = new Float32Array(grid[0] * grid[1] * grid[2] * rowLength);
  let at = 0;
  /** One row of the result. */
  const put = (first: number, top: number, left: number) => {
    for (const [c, table] of channels.entries())
      for (let t = first; t < first + temporalPatch; t++) {
        const { data } = frames[t];
        for (let y = top; y < top + patch; y++)
          for (let i = (y * width + left) * 3 + c, end = i + patch * 3; i < end; i += 3) pixels[at++] = table[data[i]];
      }
  };
  for (let first = 0; first < frames.length; first += temporalPatch)
    for (let blockTop = 0; blockTop < height; blockTop += unit)
      for (let blockLeft = 0; blockLeft < width; blockLeft += unit)
        for (let y = 0; y < unit; y += patch)
          for (let x = 0; x < unit; x += patch) put(first, blockTop + y, blockLeft + x);
  return { pixels, shape: [at / rowLength, rowLength], grid };
}
