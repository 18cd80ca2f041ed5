// Where grids lie in the user's picture: a place is painted there, and found in what the tower is shown.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import type { Rectangle } from '../../../src/base/rectangle.ts';
import { parseConfig } from '../../../src/model/families/index.ts';
import type { Size } from '../../../src/model/processor/anyres.ts';
import { cropArea, type ImageProcessorConfig, processImage } from '../../../src/model/processor/image-processor.ts';
import { cellArea, type Grid, type Planes } from '../../../src/model/processor/token-grids.ts';
import { fixturePath, loadProcessor, readJsonFixture } from '../../fixtures.ts';

/** A black picture that is white in a rectangle; pixels that it covers in part are grey. */
function painted({ width, height }: Size, area?: Rectangle) {
  const data = new Uint8Array(width * height * 3);
  const share = (i: number, from: number, length: number) =>
    Math.max(0, Math.min(i + 1, from + length) - Math.max(i, from));
  if (area)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const covered = share(y, area.top, area.height) * share(x, area.left, area.width);
        data.fill(Math.round(255 * covered), 3 * (y * width + x), 3 * (y * width + x) + 3);
      }
  return { width, height, data };
}

/** The middle of what differs between two pictures, in their pixels. */
function middleOf(shown: Planes, black: Planes): readonly [down: number, across: number] {
  let [sum, down, across] = [0, 0, 0];
  for (let y = 0; y < shown.height; y++)
    for (let x = 0; x < shown.width; x++) {
      const at = y * shown.width + x;
      const weight = shown.data[at] - black.data[at];
      [sum, down, across] = [sum + weight, down + weight * (y + 0.5), across + weight * (x + 0.5)];
    }
  return [down / sum, across / sum];
}

const inside = ({ top, left, height, width }: Rectangle, size: Size) =>
  top >= 0 && left >= 0 && top + height <= size.height && left + width <= size.width;

const sized = (min: number) =>
  fc.record({ width: fc.integer({ min, max: 150 }), height: fc.integer({ min, max: 150 }) });

const checkpoints = {
  'checkpoints/llava-f32': 'cropped',
  'families/llava-f32-original': 'padded',
  'families/next-mistral-f32': 'tiles',
  'families/onevision-f32': 'tiles, resized maps',
  'families/onevision-f16-original': 'tiles of the original repository',
  'families/qwen2-vl-f32': 'resized',
  'families/qwen2_5-vl-f32': 'resized, in windows',
};

describe('the area of a grid', () => {
  it.each(Object.entries(checkpoints))('%s (%s): what is painted there is seen there', async (checkpoint) => {
    const processor = await loadProcessor(await openFolder(fixturePath(checkpoint)));
    const vision = parseConfig(readJsonFixture(`${checkpoint}/config.json`)).vision!;
    const gridsOf = (image: ReturnType<typeof painted>): Grid[] => {
      const visual = processor.show(image, 1);
      return [...vision.tokenGrids(visual), ...vision.patchGrids([visual])[0]];
    };
    let seen = 0;
    fc.assert(
      fc.property(sized(8), fc.nat(10_000), (size, n) => {
        fc.pre(Math.max(size.width / size.height, size.height / size.width) < 6);
        const black = gridsOf(painted(size));
        for (const [g, grid] of black.entries()) {
          const place = n % (grid.rows * grid.columns);
          const [y, x] = [Math.floor(place / grid.columns), place % grid.columns];
          const area = cellArea(grid, y, x)!;
          if (!inside(area, size)) continue;
          const [planes, before] = [gridsOf(painted(size, area))[g].picture(), grid.picture()];
          const [down, across] = middleOf(planes, before);
          // In places of the grid: half a place is the most that a resized map, or patches that do not fill a tile, are off.
          const error = Math.max(
            Math.abs((down / planes.height) * grid.rows - (y + 0.5)),
            Math.abs((across / planes.width) * grid.columns - (x + 0.5)),
          );
          expect(error, `${grid.label} of ${size.width}x${size.height} at ${y}, ${x}`).toBeLessThan(0.5);
          seen++;
        }
      }),
      { numRuns: 40, seed: 1 },
    );
    expect(seen).toBeGreaterThan(20);
  });
});

it('a crop shows its area, to a fraction of a pixel, however it is padded, resized and cropped', () => {
  const edge = fc.integer({ min: 12, max: 60 });
  const box = fc.record({ width: edge, height: edge });
  const config = fc.record({
    padColour: fc.constantFrom(undefined, [0, 0, 0] as const),
    resize: fc.oneof(
      box,
      edge.map((shortestEdge) => ({ shortestEdge })),
    ),
    crop: fc.option(box, { nil: undefined }),
    filter: fc.constant('bilinear' as const),
  });
  let seen = 0;
  fc.assert(
    fc.property(sized(60), config, fc.nat(24), (size, config: ImageProcessorConfig, place) => {
      const area = cropArea(size, config);
      const [y, x] = [Math.floor(place / 5), place % 5];
      const part = cellArea({ label: '', rows: 5, columns: 5, area, picture: () => black }, y, x)!;
      const shown = (image: ReturnType<typeof painted>): Planes => {
        const { pixels, shape } = processImage(image, config);
        return { data: pixels, height: shape[2], width: shape[3] };
      };
      const black = shown(painted(size));
      if (!inside(part, size)) return;
      const [down, across] = middleOf(shown(painted(size, part)), black);
      // Filters blur over the border of a picture, which a place away from it does not meet.
      if (y % 4 && x % 4) {
        expect(Math.abs(down - ((y + 0.5) * black.height) / 5)).toBeLessThan(0.35);
        expect(Math.abs(across - ((x + 0.5) * black.width) / 5)).toBeLessThan(0.35);
        seen++;
      }
    }),
    { numRuns: 300, seed: 2 },
  );
  expect(seen).toBeGreaterThan(30);
});
