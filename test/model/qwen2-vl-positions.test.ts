import { expect, it } from 'vitest';
import { mropePositions } from '../../src/model/families/qwen2-vl-positions.ts';
import type { Visual } from '../../src/model/input.ts';

const config = { mergeSize: 2, imageTokenId: 90, videoTokenId: 91 };
// Longer in time than it is wide: text after it goes on behind its width all the same.
const video: Visual = { kind: 'video', pixels: new Float32Array(0), shape: [], grid: [5, 2, 4] };
const inputIds = [1, ...new Array<number>(10).fill(91), 2, 3];
const [row, column] = [
  [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4],
  [0, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 3, 4],
];

// By `get_rope_index` of transformers 5.18.
it.each([
  ['Qwen2-VL', video, config, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 3, 4]],
  [
    'Qwen2-VL, which has no seconds',
    { ...video, secondsPerPatch: 0.5 },
    config,
    [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 3, 4],
  ],
  [
    'Qwen2.5-VL',
    { ...video, secondsPerPatch: 0.5 },
    { ...config, tokensPerSecond: 3 },
    [0, 1, 1, 2, 2, 4, 4, 5, 5, 7, 7, 3, 4],
  ],
  [
    'Qwen2.5-VL, of a second a patch where it is not known',
    video,
    { ...config, tokensPerSecond: 3 },
    [0, 1, 1, 4, 4, 7, 7, 10, 10, 13, 13, 3, 4],
  ],
])('%s: positions of a long video', (_, visual, settings, time) => {
  const found = mropePositions({ inputIds, visuals: [visual] }, settings);
  expect(found.map((axis) => Array.from(axis))).toEqual([time, row, column]);
});
