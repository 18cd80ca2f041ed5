import { expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { logitLens } from '../../src/analysis/logit-lens.ts';
import { headOutputs } from '../../src/analysis/words.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();

it('analyses that are given what a run has captured run no more, and find the same', async () => {
  const model = await VisionLanguageModel.load(await openFolder(fixturePath('checkpoints/llava-f32')), { gpu: gpu() });
  const image = { width: 9, height: 7, data: Uint8Array.from({ length: 3 * 9 * 7 }, (_, i) => (37 * i) % 256) };
  const input = await model.input({ prompt: 'What is this?', images: [image] });
  const heads = [
    { layer: 1, head: 2 },
    { layer: 0, head: 1 },
  ];
  const own = {
    maps: (await attentionMaps(model, input, { heads, position: -2 })).maps,
    outputs: await headOutputs(model, input, { heads }),
    lens: await logitLens(model, input, { posSlice: [-3] }),
  };
  const names = ['blocks.*.attn.hook_pattern', 'blocks.*.attn.hook_z', 'blocks.*.hook_resid_post'];
  const cache = await model.runWithCache(input, { namesFilter: names, posSlice: [-3] });
  const record = vi.spyOn(gpu(), 'record');
  const shared = {
    maps: (await attentionMaps(model, input, { heads, position: -2, cache })).maps,
    outputs: await headOutputs(model, input, { heads, cache }),
    lens: await logitLens(model, input, { posSlice: [-3], cache }),
  };
  expect(record.mock.calls.map(([label]) => label)).toEqual(['unembed']);
  const near = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    expect(a.length).toBe(b.length);
    for (let i = 0; i < a.length; i++) expect(a[i]).toBeCloseTo(b[i], 5);
  };
  for (const [i, { grids, share }] of shared.maps.entries()) {
    near(grids[0], own.maps[i].grids[0]);
    expect(share).toBeGreaterThan(0);
  }
  for (const [i, { z }] of shared.outputs.entries()) near(z, own.outputs[i].z);
  expect(shared.lens.map(({ layer, position, top }) => [layer, position, top[0].id])).toEqual(
    own.lens.map(({ layer, position, top }) => [layer, position, top[0].id]),
  );

  // What the cache does not hold is not made up.
  await expect(attentionMaps(model, input, { heads, position: -4, cache })).rejects.toThrow('not in this cache, which');
  const { start } = cache.positions!;
  expect(start).toBe(input.inputIds.length - 3);
  const other = await model.runWithCache(input, { namesFilter: names[1], posSlice: -1 });
  await expect(logitLens(model, input, { cache: other })).rejects.toThrow('hook_resid_post is not in this cache');
  other.positions = undefined;
  await expect(headOutputs(model, input, { heads, cache: other })).rejects.toThrow('not of one runWithCache');
  model.destroy();
});
