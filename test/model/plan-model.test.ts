// What is recorded without weights is what runs with them.

import { expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import entropy from '../../docs/examples/kernels/entropy.ts';
import { f16 } from '../../src/gpu/formats/f16.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import { listKernels } from '../../src/kernels/custom/listing.ts';
import { generate } from '../../src/model/generation/generate.ts';
import { loadModel } from '../../src/model/load-model.ts';
import { dryModel, recordStep } from '../../src/model/plan/dry-run.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const checkpoint = 'weights/tiny-llava';
const input = { inputIds: Int32Array.of(1, 2, 3, 4, 5), visuals: [] };
const options = { namesFilter: ['logits', 'blocks.2.attn.hook_pattern'], posSlice: -1 };

it('records the dispatches of the model that is loaded, and what it submits', async () => {
  const { model, destroy } = await loadModel(await openFolder(checkpoint), { gpu: gpu() });
  const [ran] = await recordersOf(() => model.runWithCache(input, options));
  destroy();
  const dry = dryModel(model.config, f16, gpu().capabilities);
  const planned = listKernels(dry.dispatches(input, options));
  expect(planned).toEqual(listKernels(ran.recorded));
  expect(planned.files.size).toBeGreaterThan(8);
  expect(planned.dispatches.every(({ bindings }) => bindings.every(({ name }) => name))).toBe(true);
  // Weights split as they would be loaded.
  const limited = dryModel(model.config, f16, { ...gpu().capabilities, maxStorageBufferBindingSize: 64 * 1024 });
  const parts = limited.dispatches(input, options).filter(({ label }) => label === 'embed_tokens');
  expect(parts.length).toBeGreaterThan(1);
});

it('records what a generated step runs', async () => {
  const { model, destroy } = await loadModel(await openFolder(checkpoint), { gpu: gpu() });
  const dry = dryModel(model.config, f16, gpu().capabilities);
  for (const namesFilter of [undefined, 'blocks.2.attn.hook_pattern']) {
    const told = { maxNewTokens: 2, endTokens: new Set<number>(), namesFilter };
    const ids: number[] = [];
    const [, ran] = await recordersOf(async () => {
      for await (const id of generate(model, input, told)) ids.push(id);
    });
    expect(ids).toHaveLength(2);
    const planned = listKernels(recordStep(dry, input.inputIds.length, { namesFilter }).recorded);
    expect(planned).toEqual(listKernels(ran.recorded));
    const kernels = planned.dispatches.map(({ kernel }) => kernel);
    expect(kernels).toEqual(
      expect.arrayContaining([expect.stringMatching(/^rotatedMatmul/), expect.stringMatching(/^argmax/)]),
    );
  }
  destroy();
  expect(() => recordStep(dry, dry.config.text.maxPositions)).toThrow(/a token after \d+ positions: this model has/);
});

/** What is recorded while something runs, run by run. */
async function recordersOf(work: () => Promise<unknown>): Promise<Recorder[]> {
  const spy = vi.spyOn(gpu(), 'record');
  try {
    await work();
    return spy.mock.results.map(({ value }) => value);
  } finally {
    spy.mockRestore();
  }
}

it('names what a kernel of the user’s own binds besides, after the params', async () => {
  const { model, destroy } = await loadModel(await openFolder(checkpoint), { gpu: gpu() });
  const { dispatches } = listKernels(model.with({ kernels: entropy }).dispatches(input, { namesFilter: 'logits' }));
  destroy();
  const z = dispatches.find(({ label }) => label === 'blocks.0.attn.z')!;
  expect(z.file).toBe('attention-entropy.wgsl');
  expect(z.bindings.map(({ binding, name }) => [binding, name])).toEqual([
    [0, 'q'],
    [1, 'k'],
    [2, 'v'],
    [3, 'z'],
    [5, 'entropy'],
  ]);
});
