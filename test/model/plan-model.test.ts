// What is recorded without weights is what runs with them.
import { expect, it } from 'vitest';
import { openFolder } from '#platform';
import entropy from '../../docs/examples/kernels/entropy.ts';
import { listKernels } from '../../src/kernels/custom/listing.ts';
import { openGpu } from '../../src/kernels/gpu.ts';
import type { Recorder } from '../../src/kernels/recorder.ts';
import { loadModel, planModel } from '../../src/model/load-model.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const checkpoint = 'weights/tiny-llava';
const input = { inputIds: Int32Array.of(1, 2, 3, 4, 5), visuals: [] };
const options = { namesFilter: ['logits', 'blocks.2.attn.hook_pattern'], posSlice: -1 };

it('records the dispatches of the model that is loaded, and what it submits', async () => {
  const folder = await openFolder(checkpoint);
  const planned = listKernels((await planModel(folder, gpu())).dispatches(input, options));
  const { model, destroy } = await loadModel(folder, { gpu: gpu() });
  const { record } = gpu();
  let ran: Recorder | undefined;
  gpu().record = (...args) => {
    ran = record.apply(gpu(), args);
    return ran;
  };
  await model.runWithCache(input, options);
  delete (gpu() as { record?: unknown }).record;
  destroy();
  expect(planned).toEqual(listKernels(ran!.recorded));
  expect(planned.files.size).toBeGreaterThan(8);
  expect(planned.dispatches.every(({ bindings }) => bindings.every(({ name }) => name))).toBe(true);
});

it('names what a kernel of the user’s own binds besides, after the params', async () => {
  const model = await planModel(await openFolder(checkpoint), gpu());
  const { dispatches } = listKernels(model.dispatches(input, { kernels: entropy, namesFilter: 'logits' }));
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

it('splits weights as they would be loaded, and cannot run', async () => {
  const other = await openGpu({ device: gpu().device, maxStorageBufferBindingSize: 64 * 1024 });
  const model = await planModel(await openFolder(checkpoint), other);
  const parts = model.dispatches(input, options).filter(({ label }) => label === 'embed_tokens');
  expect(parts.length).toBeGreaterThan(1);
  await expect(model.runWithCache(input, options)).rejects.toThrow(/has no memory/);
  other.dispose();
});
