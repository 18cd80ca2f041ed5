import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { placedGrids } from '../../src/analysis/positions.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import type { ModelInput, Visual } from '../../src/model/input.ts';
import type { Processor } from '../../src/model/processor/processor.ts';
import type { Planes } from '../../src/model/processor/token-grids.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath, loadProcessor, modelInput, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

const visionOf = (checkpoint: string) => parseConfig(readJsonFixture(`families/${checkpoint}/config.json`)).vision!;

function inputOf(checkpoint: string, name: string): ModelInput {
  const stored = [...readTensors(`families/${checkpoint}/expected.safetensors`)];
  const mine = stored.filter(([key]) => key.startsWith(`${name}/`)).map(([key, v]) => [key.slice(name.length + 1), v]);
  const { inputs } = readJsonFixture<{ inputs: Record<string, { visuals?: string[] }> }>(
    `families/${checkpoint}/expected.json`,
  );
  return modelInput(new Map(mine as never), inputs[name].visuals);
}

/** A picture whose red is the row and whose green is the column, as shares of its height and width. */
function gradient(width: number, height: number) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) data.set([(255 * y) / height, (255 * x) / width, 0], (y * width + x) * 3);
  return { width, height, data };
}

/** What the planes show at a place given by shares: again shares. */
function placeAt(
  { height, width, data }: Planes,
  [black, white]: Processor['blackAndWhite'],
  [down, across]: readonly [number, number],
): [number, number] {
  const at = Math.floor(down * height) * width + Math.floor(across * width);
  const share = (c: number) => (data[c * height * width + at] - black[c]) / (white[c] - black[c]);
  return [share(0), share(1)];
}

describe('pictures as the tower is shown them', () => {
  it.each([
    ['checkpoints/llava-f32', 60, 60],
    ['families/next-mistral-f32', 90, 40],
    ['families/next-mistral-f32', 30, 95],
    ['families/onevision-f32', 90, 40],
    ['families/qwen2-vl-f32', 70, 30],
    ['families/qwen2_5-vl-f32', 40, 90],
  ])('%s: every grid’s picture is the picture of %i x %i', async (checkpoint, width, height) => {
    const processor = await loadProcessor(await openFolder(fixturePath(checkpoint)));
    const image = gradient(width, height);
    const { visuals } = processor.prepare({ prompt: processor.image!.text, images: [image] });
    const { vision } = parseConfig(readJsonFixture(`${checkpoint}/config.json`));
    const grids = [...vision!.tokenGrids(visuals[0]), ...vision!.patchGrids(visuals)[0]];
    const whole = grids.filter(({ label }) => !label.startsWith('tile ')); // single tiles show a part
    expect(whole.length).toBeGreaterThan(1);
    for (const grid of whole)
      for (const place of [
        [0.25, 0.25],
        [0.25, 0.75],
        [0.75, 0.4],
      ] as const) {
        const [down, across] = placeAt(grid.picture(), processor.blackAndWhite, place);
        expect(Math.abs(down - place[0]), grid.label).toBeLessThan(0.08);
        expect(Math.abs(across - place[1]), grid.label).toBeLessThan(0.08);
      }
  });

  it('knows black and white, whatever the mean', async () => {
    const processor = await loadProcessor(await openFolder(fixturePath('families/onevision-f32')));
    const [black, white] = processor.blackAndWhite;
    expect(black.map((x) => x.toFixed(3))).toEqual(['-1.000', '-1.000', '-1.000']);
    expect(white.map((x) => x.toFixed(3))).toEqual(['1.000', '1.000', '1.000']);
  });
});

describe('tokens', () => {
  it.each(['next-mistral-f32', 'onevision-f32', 'qwen2-vl-f32', 'qwen2_5-vl-f32'])(
    '%s: every place has a token of its own',
    (checkpoint) => {
      const vision = visionOf(checkpoint);
      const { inputs } = readJsonFixture<{ inputs: Record<string, unknown> }>(`families/${checkpoint}/expected.json`);
      for (const name of Object.keys(inputs)) {
        const input = inputOf(checkpoint, name);
        const config = parseConfig(readJsonFixture(`families/${checkpoint}/config.json`));
        const positions = placedGrids(config, input).flatMap(({ rows, columns, positionOf }) =>
          Array.from({ length: rows * columns }, (_, i) => positionOf(Math.floor(i / columns), i % columns)),
        );
        expect(new Set(positions).size, name).toBe(positions.length);
        for (const p of positions) expect([vision.imageTokenId, vision.videoTokenId]).toContain(input.inputIds[p]);
      }
    },
  );

  it('of one picture stand row by row, behind a class token that the features keep', () => {
    const { vision } = parseConfig(readJsonFixture('checkpoints/llava-f16/config.json'));
    const { imageSize } = (vision!.config as { tower: { imageSize: number } }).tower;
    const shape = [1, 3, imageSize, imageSize];
    const pixels = new Float32Array(3 * imageSize ** 2);
    const [kept] = vision!.tokenGrids({ kind: 'image', pixels, shape });
    expect([kept.tokenOf(0, 0), kept.tokenOf(1, 0)]).toEqual([1, 1 + kept.columns]);
    const qwen = visionOf('qwen2-vl-f32').tokenGrids(inputOf('qwen2-vl-f32', 'wide').visuals[0])[0];
    expect(qwen.rows).not.toBe(qwen.columns);
    expect([qwen.tokenOf(0, 1), qwen.tokenOf(1, 0)]).toEqual([1, qwen.columns]);
  });

  it('of tiles stand where their features stand, between newlines', () => {
    const vision = visionOf('next-mistral-f32');
    const { visuals } = inputOf('next-mistral-f32', 'wide');
    const [whole, tiles] = vision.tokenGrids(visuals[0]);
    expect(whole.tokenOf(0, 0)).toBe(0);
    expect(tiles.tokenOf(0, 0)).toBe(whole.rows * whole.columns);
    expect(tiles.tokenOf(1, 0) - tiles.tokenOf(0, 0)).toBe(tiles.columns + 1);
    expect(tiles.tokenOf(tiles.rows - 1, tiles.columns - 1)).toBe(vision.tokens(visuals[0]) - 2); // a newline is last
  });
});

describe('patches in the tower', () => {
  const gpu = useGpu();

  it.each(['qwen2_5-vl-f32', 'qwen2-vl-f32'])('%s: rows are found in the order of the windows', async (checkpoint) => {
    const model = await VisionLanguageModel.load(await openFolder(fixturePath(`families/${checkpoint}`)), {
      gpu: gpu(),
    });
    const input = inputOf(checkpoint, 'wide');
    const names = ['vision.hook_embed', 'vision.blocks.0.hook_resid_pre'];
    const cache = await model.runWithCache(input, { namesFilter: names });
    const [embed, stream] = names.map((name) => cache.get(name)!);
    const width = embed.shape[1];
    const row = ({ data }: typeof embed, i: number) => Array.from(data.subarray(i * width, (i + 1) * width));
    const [grid] = model.config.vision!.patchGrids(input.visuals)[0].slice(0, 1);
    const [, high, wide] = (input.visuals[0] as Required<Visual>).grid;
    expect([grid.rows, grid.columns]).toEqual([high, wide]);
    // The processor's order: squares of 2 x 2 patches row by row, in each the patches row by row.
    let patch = 0;
    for (let y = 0; y < high; y += 2)
      for (let x = 0; x < wide; x += 2)
        for (const [dy, dx] of [
          [0, 0],
          [0, 1],
          [1, 0],
          [1, 1],
        ])
          expect(row(stream, grid.rowOf(y + dy, x + dx))).toEqual(row(embed, patch++));
    model.destroy();
  });
});
