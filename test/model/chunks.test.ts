// Stages that are wider than an adapter binds run in chunks of rows, and give what they give at once, bit for bit.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Dispatch } from '../../src/gpu/dispatch.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import { byteSize } from '../../src/gpu/tensor.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { tapChunks } from '../../src/model/layers/tap-chunks.ts';
import type { RunOptions } from '../../src/model/run/run.ts';
import { sharedDevice } from '../gpu.ts';
import { bits, open, type Subject } from './subject.ts';

const widest = (dispatches: readonly Dispatch[]) =>
  Math.max(...dispatches.flatMap(({ bindings }) => bindings.map(({ tensor: t }) => byteSize(t.dtype, t.shape))));

/** A prompt and its pictures, so many times over. */
const repeated = ({ inputIds, visuals }: ModelInput, times: number): ModelInput => ({
  inputIds: new Array(times).fill(Array.from(inputIds)).flat(),
  visuals: new Array(times).fill(visuals).flat(),
});

type Case = [what: string, options: RunOptions, edits: Edit[]];

const ofMlp: Case[] = [
  ['residual stream and logits', { namesFilter: ['*hook_resid_post', 'logits'] }, []],
  ['what the MLP adds', { namesFilter: ['*hook_mlp_out', 'logits'] }, []],
  [
    'an edit of what it adds',
    { namesFilter: ['*hook_resid_post', 'logits'] },
    [{ at: 'blocks.*.hook_mlp_out', scale: 0.5 }],
  ],
  ['activations within it, which keep it whole', { namesFilter: ['*hook_post', '*hook_resid_post'] }, []],
  ['an edit within it', { namesFilter: ['*hook_resid_post'] }, [{ at: '*blocks.0.mlp.hook_pre', scale: 2 }]],
];

const merged = { namesFilter: ['hook_merged_embed'] };
const ofProjector: Case[] = [
  ['merged embeddings', merged, []],
  ['its input', { namesFilter: ['projector.hook_in', 'hook_merged_embed'] }, []],
  ['activations within it and behind it', { namesFilter: ['projector.*', 'hook_merged_embed'] }, []],
  ['an edit of its input', merged, [{ at: 'projector.hook_in', scale: 2 }]],
  ['an edit within it, which keeps it whole', merged, [{ at: 'projector.hook_pre', scale: 2 }]],
  ['an edit of its output', merged, [{ at: 'projector.hook_out', scale: 2 }]],
];

describe.each([
  // with a gate and without; a tower's rows and a decoder's
  ['MLP', 'checkpoints/llava-f32', 'pair', /\.mlp\./, /mlp\.(up|gate)/, 9, ofMlp],
  ['MLP', 'families/qwen2_5-vl-f32', 'wide', /\.mlp\./, /mlp\.(up|gate)/, 9, ofMlp],
  // a row for each feature; squares of patches; maps that are resized
  ['projector', 'checkpoints/llava-f32', 'pair', /linear_[12]/, /linear_1/, 9, ofProjector],
  ['projector', 'families/qwen2_5-vl-f32', 'wide', /linear_[12]/, /linear_1/, 9, ofProjector],
  ['projector', 'families/onevision-f32', 'wide', /^projector\./, /linear_1/, 6, ofProjector],
] as const)('the %s of %s', (_, checkpoint, name, stage, hidden, times, cases) => {
  let whole: Subject;
  let chunked: Subject;
  let limit: number;
  let gpu: Gpu;
  let small: Gpu;
  const [, close] = cases[0];
  const of = ({ loaded, input }: Subject, labels: RegExp) =>
    loaded.model.dispatches(input, close).filter(({ label }) => labels.test(label));
  beforeAll(async () => {
    const device = await sharedDevice();
    gpu = await openGpu({ device });
    const longer = async (own: Gpu) => {
      const subject = await open(own, checkpoint, name);
      return { ...subject, input: repeated(subject.input, times) };
    };
    whole = await longer(gpu);
    limit = Math.ceil(0.6 * widest(of(whole, hidden)));
    small = await openGpu({ device, maxStorageBufferBindingSize: limit });
    chunked = await longer(small);
  });
  afterAll(() => {
    for (const subject of [whole, chunked]) subject?.loaded.destroy();
    for (const each of [gpu, small]) each.dispose();
  });

  const run = ({ loaded, input }: Subject, options: RunOptions, edits: Edit[]) =>
    loaded.model.with({ edits }).runWithCache(input, options);

  it('takes more dispatches, each of which binds what the adapter can', () => {
    const [all, chunks] = [of(whole, stage), of(chunked, stage)];
    expect(chunks.length).toBeGreaterThan(all.length);
    expect(widest(all)).toBeGreaterThan(limit);
    expect(widest(chunks)).toBeLessThanOrEqual(limit);
  });

  it.each<Case>([...cases])('gives the same: %s', async (_, options, edits) => {
    const expected = await run(whole, options, edits);
    const found = await run(chunked, options, edits);
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [hook, { data }] of found) expect(bits(data), hook).toEqual(bits(expected.get(hook)!.data));
  });
});

describe('tapChunks', () => {
  /** A sum reads its own row and the three after it, of `rows`. */
  const taps = (sums: number, rows: number) => ({
    indices: Uint32Array.from({ length: 4 * sums }, (_, i) => (Math.floor(i / 4) + (i % 4)) % rows),
    weights: Float32Array.from({ length: 4 * sums }, (_, i) => i),
  });

  it.each([
    [1000, 1003, 200, 192], // 192 sums read 195 rows, 256 of them 259
    [1000, 1003, 66, 64], // fewer than 64 sums never
    [130, 8, 64, 130], // 130 sums of eight rows
    [64, 67, 67, 64],
    [1, 4, 4, 1],
  ])('%d sums of %d rows, %d at a time', (sums, rows, most, first) => {
    const all = taps(sums, rows);
    const chunks = [...tapChunks(all, most)];
    expect(chunks[0].end).toBe(first);
    expect(chunks.map(({ start }) => start)).toEqual([0, ...chunks.slice(0, -1).map(({ end }) => end)]);
    expect(chunks.at(-1)!.end).toBe(sums);
    for (const { start, end, read, indices, weights } of chunks) {
      expect(start % 64).toBe(0);
      expect(new Set(read).size).toBe(read.length);
      if (end - start > 64) expect(read.length).toBeLessThanOrEqual(most);
      expect(Array.from(indices, (place) => read[place])).toEqual(Array.from(all.indices.slice(4 * start, 4 * end)));
      expect(weights).toEqual(all.weights.slice(4 * start, 4 * end));
    }
  });
});
