// Every size, count, rectangle and position that transformers' Python rounds, over thousands of sizes and settings.
// The cases are made here as in test/reference/sizes.py, which wrote what transformers says; digests are of 100 cases each.
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { check } from '../../src/base/schema.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { packTiles, tileCrops } from '../../src/model/families/llava-next.ts';
import { packLimited } from '../../src/model/families/llava-onevision.ts';
import { layPatches } from '../../src/model/families/qwen2-vl-grid.ts';
import { mropePositions } from '../../src/model/families/qwen2-vl-positions.ts';
import { limited, type Size, selectBestResolution, unpadded } from '../../src/model/processor/anyres.ts';
import {
  type Crops,
  parseFrameProcessor,
  parseImageProcessor,
  processFrames,
  processImage,
} from '../../src/model/processor/image-processor.ts';
import { frameBound, parsePatching, patchImage, smartSize } from '../../src/model/processor/patches.ts';
import { planCrop, resizedSize } from '../../src/model/processor/pixels.ts';
import { evenFrames, sampleFrames, uniformFrames } from '../../src/model/processor/sample-frames.ts';
import { sizeSchema } from '../../src/model/processor/settings.ts';
import { fittedSize, parseTiling, squareImage, tileImage } from '../../src/model/processor/tiles.ts';
import type { RgbImage } from '../../src/platform/types.ts';
import { readJsonFixture } from '../fixtures.ts';
import { picture } from './processor/pictures.ts';

type Tiled = [pinpoints: [height: number, width: number][], tile: number, side: number, maxTiles: number | null];
const report = readJsonFixture<{
  tiled: Record<string, Tiled>;
  edges: object[];
  pixels: Record<string, object>;
  scalings: object[];
  digests: Record<string, string[]>;
  shown: Record<string, unknown[]>;
}>('sizes.json');

const extremes = (
  '1 1, 1 2, 2 1, 1 5000, 5000 1, 2 5000, 5000 2, 1 200, 200 1, 1 201, 201 1, 3 600, 601 3, 336 336, 672 672, 384 384, ' +
  '1600 1600, 1200 2000, 2000 1200, 2304 2304, 14 14, 28 28, 42 42, 70 70, 70 69, 60 60, 84 70, 56 70, 20 12, 35 63, ' +
  '1536 1152, 1921 1920, 4032 3024'
)
  .split(', ')
  .map((pair) => pair.split(' ').map(Number) as [number, number]);

/** `Cases` of sizes.py. */
class Cases {
  #state: number;
  constructor(seed: number) {
    this.#state = seed;
  }
  below(n: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return (this.#state >>> 8) % n;
  }
  side(most: number): number {
    return 1 + this.below(Math.min(most, 2 ** (1 + this.below(32 - Math.clz32(most)))));
  }
  size(most: number): [height: number, width: number] {
    const kind = this.below(4);
    if (kind === 0) {
      const side = this.side(most);
      return [side, Math.max(1, side + this.below(3) - 1)];
    }
    if (kind === 1) {
      const unit = [2, 7, 12, 14, 28, 48, 112, 336, 384][this.below(9)];
      const near = () => {
        const multiple = unit * (1 + this.below(Math.max(1, Math.floor(most / unit))));
        return Math.min(most, Math.max(1, multiple + this.below(3) - 1));
      };
      return [near(), near()];
    }
    if (kind === 2) {
      const ratio = [1 + this.below(12), 1 + this.below(12)];
      const times = 1 + this.below(Math.max(1, Math.floor(most / Math.max(...ratio))));
      return [Math.min(most, ratio[0] * times), Math.min(most, ratio[1] * times)];
    }
    return [this.side(most), this.side(most)];
  }
  sizes(n: number, most: number): Size[] {
    const first = extremes.filter((size) => Math.max(...size) <= most);
    const rest = Array.from({ length: n - first.length }, () => this.size(most));
    return [...first, ...rest].map(([height, width]) => ({ height, width }));
  }
  number(): number {
    return (1 + this.below(6000)) / (1 + this.below(200));
  }
  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

const hash = (data: string | Uint8Array) => createHash('sha256').update(data).digest('hex').slice(0, 12);
const digest = (rows: readonly unknown[]) => hash(JSON.stringify(rows));
const pair = ({ height, width }: Size) => [height, width];

/** @param rows of all cases, null where HF refuses one. */
function compare(name: string, rows: readonly unknown[]): void {
  const shown = report.shown[name];
  expect(rows.slice(0, shown.length)).toEqual(shown);
  const digests = Array.from({ length: Math.ceil(rows.length / 100) }, (_, i) =>
    digest(rows.slice(100 * i, 100 * i + 100)),
  );
  const wrong = digests.flatMap((found, i) => (found === report.digests[name][i] ? [] : [100 * i]));
  expect(
    wrong,
    `\`sizes.py "${name}" FIRST\` says what transformers makes of the 100 cases from each of these`,
  ).toEqual([]);
  expect(digests).toHaveLength(report.digests[name].length);
}

/** What is refused by an InputError is null. */
function orNull<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    expect((error as Error).name).toBe('InputError');
    return null;
  }
}

describe('tiles', () => {
  test.each(Object.entries(report.tiled))('%s', (name, [pairs, tile, side, maxTiles]) => {
    const pinpoints = pairs.map(([height, width]) => ({ height, width }));
    const grid = { pinpoints, imageSize: tile, side };
    const pack = maxTiles ? packLimited(grid, maxTiles) : packTiles(grid);
    const rows = new Cases(1).sizes(2500, 5000).map((image, i) => {
      const best = selectBestResolution(image, pinpoints);
      const map = { height: (best.height / tile) * side, width: (best.width / tile) * side };
      const shown = unpadded(image, map);
      const { height, width } = maxTiles ? limited(shown, side, maxTiles) : shown;
      const isRefused = shown.height * shown.width > 0 && height * width === 0;
      const tokens = isRefused ? null : side ** 2 + height * (width + 1);
      if (isRefused || i < extremes.length || i % 25 === 0) {
        const visual = {
          kind: 'image',
          pixels: new Float32Array(0),
          shape: [tileCrops(image, grid)],
          size: image,
        } as const;
        expect(orNull(() => pack(visual, side ** 2, 1).rows.length)).toBe(tokens);
      }
      return [
        ...pair(best),
        ...pair(fittedSize(image, best)),
        shown.height * shown.width ? [shown.top, shown.left] : null,
        pair(shown),
        tokens,
      ];
    });
    compare(`tiled ${name}`, rows);
  });
});

test('of a very narrow image the tiles show nothing, and have no grid', () => {
  const grid = { pinpoints: [{ height: 28, width: 28 }], imageSize: 14, side: 3 };
  const visual = { kind: 'image', pixels: new Float32Array(0), shape: [5], size: { height: 1, width: 900 } } as const;
  const { rows, grids } = packTiles(grid)(visual, 9, 1);
  expect([rows.length, grids.map(({ label }) => label)]).toEqual([9, ['image']]);
});

test.each(report.edges.map((size, i) => [JSON.stringify(size), i] as const))('resized to %s', (size, i) => {
  const { value: to } = check(sizeSchema, JSON.parse(size));
  compare(
    `edges ${i}`,
    new Cases(2).sizes(4000, 5000).map((image) => pair(resizedSize(image, to!))),
  );
});

test.each([
  ['images', 'before'],
  ['frames', 'behind'],
] as const)('the centre crop of %s', (kind, largerHalf) => {
  const cases = new Cases(3);
  const rows = cases.sizes(1500, 90).map((image) => {
    const crop = { height: cases.side(80), width: cases.side(80) };
    const { part, left, top } = planCrop(image, crop, largerHalf);
    const place = (y: number, x: number) => y * image.width + x + 1;
    const [high, wide] = [part.height - 1, part.width - 1];
    return [
      ...[top, left, place(part.top, part.left)],
      ...[top + high, left + wide, place(part.top + high, part.left + wide)],
    ];
  });
  compare(`crop ${kind}`, rows);
});

const ordered = (a: number, b: number) => [Math.min(a, b), Math.max(a, b)];

test('smart_resize', () => {
  const cases = new Cases(4);
  const rows = cases.sizes(12000, 6000).map((image) => {
    const factor = cases.of([28, 56, 8, 6, 2, 32, 36, 1]);
    let [least, most] = ordered(cases.side(2 ** 24), cases.side(2 ** 24));
    if (cases.below(3) === 0) least = most = image.height * image.width;
    return orNull(() => pair(smartSize(image, factor, least, most)));
  });
  compare('smart_resize', rows);
});

test('cap_pixels_per_frame', () => {
  const cases = new Cases(5);
  const rows = cases.sizes(3000, 4000).map((image) => {
    const [patch, temporalPatch] = [cases.of([14, 4, 7]), 1 + cases.below(3)];
    const [minPixels, maxPixels] = ordered(cases.side(2 ** 20), cases.side(2 ** 24));
    const maxVideoTokens = cases.side(2 ** 17);
    const bound = frameBound(cases.side(800), { maxVideoTokens, minPixels, maxPixels, patch, merge: 2, temporalPatch });
    return orNull(() => pair(smartSize(image, 2 * patch, minPixels, bound)));
  });
  compare('cap_pixels_per_frame', rows);
});

test('sample_frames', () => {
  const cases = new Cases(6);
  const rows = Array.from({ length: 6000 }, () => {
    const totalFrames = cases.side(5000);
    const fps = chosen(cases, [24, 25, 29.97, 30, 60]);
    const wanted = chosen(cases, [1, 2, 0.5, 22, 3.3]);
    const [minFrames, maxFrames, temporalPatch] = [cases.side(16), cases.side(1000), 1 + cases.below(3)];
    const rate = cases.below(5) === 0 ? { frames: cases.side(64) } : { fps: wanted };
    return orNull(() => {
      const at = sampleFrames({ totalFrames, fps }, { rate, minFrames, maxFrames, temporalPatch });
      return [at.length, digest([at])];
    });
  });
  compare('sample_frames', rows);
});

test('default_sample_indices_fn', () => {
  const cases = new Cases(11);
  const rows = Array.from({ length: 4000 }, () => {
    const totalFrames = cases.side(5000);
    const fps = chosen(cases, [24, 25, 29.97, 30, 60]);
    const wanted = chosen(cases, [1, 2, 0.5, 22, 3.3]);
    const rate = cases.below(2) === 0 ? { frames: cases.side(64) } : { fps: wanted };
    return orNull(() => {
      const at = evenFrames({ totalFrames, fps }, rate);
      return [at.length, digest([at])];
    });
  });
  compare('default_sample_indices_fn', rows);
});

/** One of a list, or a number; the number is drawn first, as in Python's list. */
function chosen(cases: Cases, list: readonly number[]): number {
  const number = cases.number();
  return [...list, number][cases.below(list.length + 1)];
}

test('linspace', () => {
  const cases = new Cases(7);
  const rows = Array.from({ length: 4000 }, () =>
    uniformFrames({ totalFrames: cases.side(20000), fps: 1 }, cases.of([16, 1, 8, 32, 7])),
  );
  compare('linspace', rows);
});

test('get_rope_index', () => {
  const cases = new Cases(8);
  const rows = Array.from({ length: 1500 }, () => {
    const mergeSize = 1 + cases.below(3);
    const [high, wide, time] = [1 + cases.below(4), 1 + cases.below(4), cases.side(300)];
    const tokensPerSecond = cases.of([4, 2, 1, 25, 2.5]);
    const rate = chosen(cases, [24, 25, 29.97, 30]);
    const visual = {
      kind: 'video',
      pixels: new Float32Array(0),
      shape: [],
      grid: [time, high * mergeSize, wide * mergeSize],
      secondsPerPatch: (1 + cases.below(4)) / rate,
    } as const;
    const inputIds = [0, ...new Array<number>(time * high * wide).fill(2), 0];
    const config = { mergeSize, tokensPerSecond, imageTokenId: 1, videoTokenId: 2 };
    const found = mropePositions({ inputIds, visuals: [visual] }, config);
    return [inputIds.length, digest([found.map((axis) => Array.from(axis))])];
  });
  compare('get_rope_index', rows);
});

test('windows of attention', () => {
  const cases = new Cases(9);
  const rows = Array.from({ length: 600 }, () => {
    const [merge, patch] = [1 + cases.below(3), cases.of([14, 4])];
    const window = merge * patch * (1 + cases.below(5)) + cases.below(patch);
    const count = 1 + cases.below(3);
    const grids = Array.from(
      { length: count },
      () => [1 + cases.below(3), merge * (1 + cases.below(12)), merge * (1 + cases.below(12))] as const,
    );
    const { window: attention, mergeSize } = qwenVision(merge, patch, window);
    const { positions, frames, windows, order } = layPatches(grids, mergeSize, attention.side);
    const bounds = ({ bounds }: { bounds: Uint32Array }) => [...new Set([0, ...bounds])].sort((a, b) => a - b);
    return digest([Array.from(order!), bounds(windows!), bounds(frames), positions.map((axis) => Array.from(axis))]);
  });
  compare('windows', rows);
});

/** The tower as config.json describes it. */
function qwenVision(merge: number, patch: number, window: number) {
  const { vision } = parseConfig({
    ...{ model_type: 'qwen2_5_vl', hidden_size: 256, num_attention_heads: 2, num_key_value_heads: 1 },
    vision_config: {
      ...{ hidden_size: 8, num_heads: 2, out_hidden_size: 256, fullatt_block_indexes: [] },
      ...{ spatial_merge_size: merge, patch_size: patch, window_size: window },
    },
  });
  return vision!.config as { window: { side: number }; mergeSize: number };
}

const file = 'preprocessor_config.json';
const ways: Record<string, (json: object) => (image: RgbImage) => Crops> = {
  siglip: (json) => {
    const config = parseImageProcessor({ json, file }, 'SiglipImageProcessor');
    return (image) => processImage(image, config);
  },
  pad: (json) => {
    const config = parseImageProcessor({ json: { ...json, image_processor_type: 'LlavaImageProcessor' }, file });
    return (image) => processImage(image, config);
  },
  'pad-narrow': (json) => ways.pad(json),
  next: (json) => {
    const config = parseTiling({ json, file }, 'LlavaNextImageProcessor');
    return (image) => tileImage(image, config);
  },
  onevision: (json) => {
    const config = parseTiling({ json, file }, 'LlavaOnevisionImageProcessor');
    return (image) => tileImage(image, config);
  },
  'onevision-several': (json) => {
    const config = parseTiling({ json, file }, 'LlavaOnevisionImageProcessor');
    return (image) => squareImage(image, config);
  },
  qwen: (json) => {
    const config = parsePatching({ json, file }, 'image');
    return (image) => patchImage(image, config);
  },
  frames: (json) => {
    const config = parseFrameProcessor({ json, file });
    return (image) => processFrames([image], config);
  },
};

test.each(Object.entries(report.pixels))('pixels of %s, bit for bit', (name, settings) => {
  const json = { ...settings, do_rescale: false, do_normalize: false };
  const way = (ways[name] ?? clip)(json);
  const sizes = [...new Cases(10).sizes(300, 90).map(pair), [1, 700], [700, 1], [3, 311], [401, 2]];
  const rows = sizes.map(([height, width]) => {
    const crops = orNull(() => way(picture(width, height)));
    return crops && hash(Uint8Array.from(crops.pixels));
  });
  compare(`pixels ${name}`, rows);
});

function clip(json: object) {
  const config = parseImageProcessor({ json, file });
  return (image: RgbImage) => processImage(image, config);
}

test('rescaled and normalised values, of images and of frames', () => {
  const levels = { width: 16, height: 16, data: Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3)) };
  const rows = report.scalings.flatMap((settings) => {
    const json = { do_resize: false, do_center_crop: false, ...settings };
    const image = processImage(levels, parseImageProcessor({ json, file }));
    const frame = processFrames([levels], parseFrameProcessor({ json, file }));
    return [image, frame].map(({ pixels }) => hash(new Uint8Array(pixels.buffer)));
  });
  compare('scaling', rows);
});
