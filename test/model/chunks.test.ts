// Stages that are wider than an adapter binds run in chunks of rows, and give what they give at once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import { byteSize } from '../../src/gpu/tensor.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import type { RunOptions } from '../../src/model/run/run.ts';
import { sharedDevice } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';
import { open, type Subject } from './subject.ts';

const widest = (dispatches: readonly Dispatch[]) =>
  Math.max(...dispatches.flatMap(({ bindings }) => bindings.map(({ tensor: t }) => byteSize(t.dtype, t.shape))));

/** A prompt and its pictures, so many times over. */
const repeated = ({ inputIds, visuals }: ModelInput, times: number): ModelInput => ({
  inputIds: new Array(times).fill(Array.from(inputIds)).flat(),
  visuals: new Array(times).fill(visuals).flat(),
});

// With a gate and without; a tower's rows and a decoder's.
describe.each([
  ['checkpoints/llava-f32', 'pair'],
  ['families/qwen2_5-vl-f32', 'wide'],
])('the MLP of %s', (checkpoint, name) => {
  let whole: Subject;
  let chunked: Subject;
  let limit: number;
  let gpu: Gpu;
  let small: Gpu;
  const close = { namesFilter: ['*hook_resid_post', 'logits'] };
  beforeAll(async () => {
    const device = await sharedDevice();
    gpu = await openGpu({ device });
    const longer = async (own: Gpu) => {
      const subject = await open(own, checkpoint, name);
      return { ...subject, input: repeated(subject.input, 9) };
    };
    whole = await longer(gpu);
    const hidden = whole.loaded.model
      .dispatches(whole.input, close)
      .filter(({ label }) => /mlp\.(up|gate)/.test(label));
    limit = Math.ceil(0.6 * widest(hidden));
    small = await openGpu({ device, maxStorageBufferBindingSize: limit });
    chunked = await longer(small);
  });
  afterAll(() => {
    for (const subject of [whole, chunked]) subject?.loaded.destroy();
    for (const each of [gpu, small]) each.dispose();
  });

  const mlps = (dispatches: readonly Dispatch[]) => dispatches.filter(({ label }) => label.includes('.mlp.'));
  const run = ({ loaded, input }: Subject, options: RunOptions, edits: Edit[]) =>
    loaded.model.with({ edits }).runWithCache(input, options);

  it('takes more dispatches, each of which binds what the adapter can', () => {
    const all = mlps(whole.loaded.model.dispatches(whole.input, close));
    const chunks = mlps(chunked.loaded.model.dispatches(chunked.input, close));
    expect(chunks.length).toBeGreaterThan(all.length);
    expect(widest(all)).toBeGreaterThan(limit);
    expect(widest(chunks)).toBeLessThanOrEqual(limit);
  });

  it.each<[string, RunOptions, Edit[]]>([
    ['residual stream and logits', close, []],
    ['what the MLP adds', { namesFilter: ['*hook_mlp_out', 'logits'] }, []],
    ['an edit of what it adds', close, [{ at: 'blocks.*.hook_mlp_out', scale: 0.5 }]],
    ['activations within it, which keep it whole', { namesFilter: ['*hook_post', '*hook_resid_post'] }, []],
    ['an edit within it', close, [{ at: '*blocks.0.mlp.hook_pre', scale: 2 }]],
  ])('gives the same: %s', async (_, options, edits) => {
    const expected = await run(whole, options, edits);
    const found = await run(chunked, options, edits);
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [hook, { data }] of found)
      expect(relativeError(data, expected.get(hook)!.data), hook).toBeLessThan(2e-6);
  });
});
