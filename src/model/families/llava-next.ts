import * as s from '../../base/schema.ts';
import type { Taps } from '../../kernels/mix-rows/bilinear.ts';
import { Settings } from '../config/settings.ts';
import { ConfigError, InputError } from '../errors.ts';
import { type Size, selectBestResolution, unpadded } from '../processor/anyres.ts';
import {
  nextPinpoints,
  parseTiling,
  pinpointsSchema,
  type TilingConfig,
  tiledShape,
  tileImage,
} from '../processor/tiles.ts';
import { cropGrid, type TokenGrid, tiledArea, tilePlanes } from '../processor/token-grids.ts';
import type { VisualProcessor } from '../processor/visual-processor.ts';
import type { Family } from './family.ts';
import { type LlavaSideOptions, llavaDefaults, llavaEntries, llavaSide, parseLlava } from './llava-side.ts';
import { identity, newline, type Packer } from './packing.ts';

const schema = s.looseObject({ ...llavaEntries, image_grid_pinpoints: s.nullish(pinpointsSchema) });

/** LLaVA-NeXT, alias LLaVA-1.6 (HF `LlavaNextForConditionalGeneration`). */
export const llavaNext: Family = {
  name: 'LLaVA-NeXT',
  modelTypes: ['llava_next'],
  parse(json, file) {
    const settings = new Settings(file);
    const raw = settings.read(schema, json);
    const { text, vision } = parseLlava(settings, raw, llavaDefaults);
    settings.finish();
    const pinpoints = raw.image_grid_pinpoints ?? nextPinpoints;
    const { imageSize, side } = vision.tower;
    return {
      family: this.name,
      className: 'LlavaNextForConditionalGeneration',
      text,
      vision: llavaSide(vision, text, {
        processing: {
          imageToken: '<image>',
          load: ({ image }) =>
            tiles(checkPinpoints(parseTiling(image, 'LlavaNextImageProcessor'), pinpoints, image.file)),
        },
        ...tiledFeatures({ pinpoints, imageSize, side }),
      }),
    };
  },
};

/** The whole of each image and its tiles (HF `LlavaNextProcessor`). */
export const tiles = (config: TilingConfig): VisualProcessor => ({
  image: (image) => ({
    kind: 'image',
    ...tileImage(image, config),
    size: { height: image.height, width: image.width },
  }),
  imageShape: ({ height, width }) => ({
    kind: 'image',
    shape: tiledShape({ height, width }, config),
    size: { height, width },
  }),
});

/**
 * The model finds the tiles of an image by config.json's pinpoints, the processor makes them by its own.
 * @throws ConfigError where they differ.
 */
export function checkPinpoints(config: TilingConfig, expected: readonly Size[], file: string): TilingConfig {
  const text = (sizes: readonly Size[]) => JSON.stringify(sizes.map(({ height, width }) => [height, width]));
  if (text(config.pinpoints) !== text(expected))
    throw new ConfigError(
      `${file}: image_grid_pinpoints ${text(config.pinpoints)} are not those of config.json, ${text(expected)}`,
    );
  return config;
}

export interface TileGrid {
  readonly pinpoints: readonly Size[];
  /** Side of a tile in pixels, and in features. */
  readonly imageSize: number;
  readonly side: number;
}

/** The tiles of the resolution that an image is fitted into: how many along its height and width. */
function tilesOf(image: Size, { pinpoints, imageSize }: TileGrid): readonly [high: number, wide: number] {
  const { height, width } = selectBestResolution(image, pinpoints);
  return [Math.floor(height / imageSize), Math.floor(width / imageSize)];
}

/** The whole image, and its tiles. */
export function tileCrops(image: Size, grid: TileGrid): number {
  const [high, wide] = tilesOf(image, grid);
  return 1 + high * wide;
}

/** What the model makes of tiles. */
export const tiledFeatures = (grid: TileGrid): Omit<LlavaSideOptions, 'processing'> => ({
  pack: packTiles(grid),
  crops: (image) => tileCrops(image, grid),
  hasNewline: true,
  settings: { pinpoints: grid.pinpoints },
});

/** Resizes a map of features: of `size`, its feature at (y, x) being row `rowOf(y, x)`. Undefined where it stays as it is. */
export type Resize = (map: Size, rowOf: (y: number, x: number) => number) => { size: Size; taps: Taps } | undefined;

/**
 * The features of the whole image, then those of its tiles put together, row by row, without what shows padding, and a
 * newline after each row. A picture of one crop has its features and one newline (HF `pack_image_features`).
 */
export function packTiles(grid: TileGrid, resize: Resize = () => undefined): Packer {
  const { side } = grid;
  return (visual, perCrop, covered) => {
    const { shape, size } = visual;
    const whole = cropGrid(visual, 0, perCrop, covered, 'image');
    const base = Array.from({ length: perCrop }, (_, i) => i);
    const [crops] = shape;
    if (crops === 1) return { rows: [...base, newline], grids: [whole] };
    if (!size) throw new InputError(`pixel values: [${shape}] are tiles, but the size of the image is not given`);
    const [high, wide] = tilesOf(size, grid);
    if (crops !== 1 + high * wide || perCrop !== side ** 2)
      throw new InputError(
        `pixel values: ${crops} crops of ${perCrop} features for an image of ${size.width}x${size.height}, expected 1 + ${high} x ${wide} of ${side ** 2}`,
      );
    const shown = unpadded(size, { height: high * side, width: wide * side });
    const rowOf = (y: number, x: number) => {
      const [top, left] = [shown.top + y, shown.left + x];
      const tile = 1 + Math.floor(top / side) * wide + Math.floor(left / side);
      return tile * perCrop + (top % side) * side + (left % side);
    };
    const resized = resize(shown, rowOf);
    const { height, width } = resized?.size ?? shown;
    const rows = [...base];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) rows.push(resized ? perCrop + y * width + x : rowOf(y, x));
      rows.push(newline);
    }
    const tiled: TokenGrid = {
      label: 'tiles',
      rows: height,
      columns: width,
      tokenOf: (y, x) => perCrop + y * (width + 1) + x, // a newline ends each row
      picture: () => tilePlanes(visual, { wide, side, shown }),
      area: tiledArea(visual, { wide, side, shown }),
    };
    const grids = height && width ? [whole, tiled] : [whole]; // of a very narrow image the tiles show nothing
    return resized ? { rows, grids, taps: joinTaps(identity(perCrop), resized.taps) } : { rows, grids };
  };
}

function joinTaps(...all: readonly Taps[]): Taps {
  return {
    indices: Uint32Array.from(all.flatMap(({ indices }) => Array.from(indices))),
    weights: Float32Array.from(all.flatMap(({ weights }) => Array.from(weights))),
  };
}
