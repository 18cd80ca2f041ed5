import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { decodeImage } from '#platform';
import { encodePng } from '../../src/charts/png.ts';
import { thumbnail } from '../../src/cli/thumbnail.ts';
import { fixturePath } from '../fixtures.ts';

it('leaves a small file that browsers show as it is', async () => {
  const file = new Uint8Array(readFileSync(fixturePath('images/scene.png')));
  expect(await thumbnail(file, 'scene.png')).toBe(file);
});

it.each([
  [2000, 1000, 320, 160],
  [700, 1400, 160, 320],
  [9000, 20, 320, 1],
])('makes a small PNG of %ix%i', async (width, height, w, h) => {
  let state = 1;
  const noise = Uint8Array.from({ length: 3 * width * height }, () => {
    state = (state * 48271) % 2147483647;
    return state;
  });
  const file = await encodePng(width, height, noise);
  expect(file.length).toBeGreaterThan(60_000);
  const small = await decodeImage(await thumbnail(file, 'noise.png'), 'thumbnail');
  expect([small.width, small.height]).toEqual([w, h]);
});
