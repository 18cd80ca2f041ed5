import { z } from 'zod';
import { limited, type Size, selectBestResolution, unpadded } from '../../anyres.ts';
import { ConfigError } from '../../errors.ts';
import { parse } from '../../json.ts';
import { pinpointsSchema, type TilingConfig } from '../tiles.ts';
import type { ProcessorFiles } from './family.ts';

/**
 * Tokens of a tiled image's tiles: their features without padding, shrunk where they are more than `maxTiles` tiles have,
 * and one token at the end of each row (HF `_get_unpadded_features`).
 * @param patches features along a tile's side.
 */
export function tileTokens(image: Size, { pinpoints, tile }: TilingConfig, patches: number, maxTiles?: number): number {
  const best = selectBestResolution(image, pinpoints);
  const map = { height: (best.height / tile) * patches, width: (best.width / tile) * patches };
  const shown = unpadded(image, map);
  const { height, width } = maxTiles === undefined ? shown : limited(shown, patches, maxTiles);
  return height * width + height;
}

const schema = z.looseObject({ image_grid_pinpoints: pinpointsSchema.nullish() });

/**
 * The model finds the tiles of an image by config.json's pinpoints, the processor makes them by its own.
 * @throws ConfigError where they differ.
 */
export function checkPinpoints({ config }: ProcessorFiles, { pinpoints }: TilingConfig, file: string): void {
  const { image_grid_pinpoints: expected } = parse(schema, config, 'config.json');
  const text = (sizes: readonly Size[]) => JSON.stringify(sizes.map(({ height, width }) => [height, width]));
  if (expected && text(expected) !== text(pinpoints))
    throw new ConfigError(
      `${file}: image_grid_pinpoints ${text(pinpoints)} are not those of config.json, ${text(expected)}`,
    );
}
