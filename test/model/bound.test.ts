// A model bound to edits, kernels, a limit and signals: what `with` adds, what stays, and that every way of running sees it.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { temperatureSoftmax } from '../../docs/examples/kernels/temperature-softmax.ts';
import { ablateHeads, meanOutputs } from '../../src/analysis/ablation.ts';
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { attributeLogit } from '../../src/analysis/attribution.ts';
import { knockOutImages } from '../../src/analysis/knockout.ts';
import { logitLens } from '../../src/analysis/logit-lens.ts';
import { patchHeads, patchResidual } from '../../src/analysis/patching.ts';
import { decoderRollout, towerRollout } from '../../src/analysis/rollout.ts';
import { sweepHeadVectors, sweepTarget } from '../../src/analysis/sweep.ts';
import { headOutputs, headWords } from '../../src/analysis/words.ts';
import type { Kernels } from '../../src/kernels/custom/kernels.ts';
import { InputError } from '../../src/model/errors.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import type { BoundOptions } from '../../src/model/run/bound.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const prompt = 'What is in the image?';
let model: VisionLanguageModel;
let input: ModelInput;
let other: ModelInput;
let image: Uint8Array;
beforeAll(async () => {
  model = await VisionLanguageModel.load(await openFolder(fixturePath('checkpoints/llava-f32')), { gpu: gpu() });
  const read = (name: string) => new Uint8Array(readFileSync(fixturePath(`images/${name}.png`)));
  image = read('scene');
  input = await model.input({ images: [image], prompt });
  other = await model.input({ images: [read('wide')], prompt });
});
afterAll(() => model?.destroy());

const cut: Edit = { at: 'blocks.2.attn.hook_z', heads: [0], set: 0 };
const cutToo: Edit = { at: 'blocks.2.attn.hook_z', heads: [1], set: 0 };
const hot = temperatureSoftmax(() => 20);
const last = { namesFilter: 'logits', posSlice: -1 };

describe('with', () => {
  it('leaves the model as it is, and adds edits after those that are there', async () => {
    const z = { namesFilter: 'blocks.2.attn.hook_z', posSlice: -1 };
    const run = async (of: VisionLanguageModel) => (await of.runWithCache(input, z)).get(z.namesFilter)!.data;
    const before = await run(model);
    const first = model.with({ edits: [cut] });
    const both = await run(first.with({ edits: [cutToo] }));
    expect(both.subarray(0, 48)).toEqual(new Float32Array(48));
    expect((await run(first)).subarray(0, 24)).toEqual(new Float32Array(24));
    expect((await run(first)).subarray(24)).toEqual(before.subarray(24));
    expect(await run(model)).toEqual(before);
    const set = { at: z.namesFilter, set: 1 };
    const add = { at: z.namesFilter, add: 2 };
    expect((await run(model.with({ edits: [set] }).with({ edits: [add] })))[0]).toBe(3);
    expect((await run(model.with({ edits: [add] }).with({ edits: [set] })))[0]).toBe(1);
  });

  it('replaces kernels of an operation, and keeps the others', () => {
    const add = { name: 'add.wgsl', wgsl: 'fn main() {}' };
    const bound = model.with({ kernels: { add, attention: hot.attention } }).with({ kernels: { add: { ...add } } });
    expect(bound.bound.kernels.attention).toBe(hot.attention);
    expect(bound.bound.kernels.add).not.toBe(add);
    expect(bound).toBeInstanceOf(VisionLanguageModel);
    expect(bound.processor).toBe(model.processor);
  });

  it('refuses what it does not have', () => {
    expect(() => model.with({ edit: [] } as BoundOptions)).toThrow('with: no option edit; did you mean edits?');
    expect(() => model.with({ maxResultBytes: Number.NaN })).toThrow('maxResultBytes NaN');
    expect(() => model.with({ kernels: { softmax: {} } as Kernels })).toThrow('no operation of this name');
  });

  it('makes another model of it for caches and classifiers, where the numbers are others', () => {
    const id = (options: BoundOptions) => model.with(options).modelId;
    const wgsl = 'fn main() {}';
    const vector = (x: number) => Float32Array.of(x, 0);
    const different = [
      id({}),
      id({ edits: [cut] }),
      id({ edits: [cut, cutToo] }),
      id({ edits: [cutToo, cut] }),
      id({ edits: [{ ...cut, set: vector(1) }] }),
      id({ edits: [{ ...cut, set: vector(2) }] }),
      id({ edits: [{ ...cut, set: vector(2).subarray(1) }] }),
      id({ kernels: { add: { name: 'mine.wgsl', wgsl } } }),
      id({ kernels: { rmsNorm: { name: 'mine.wgsl', wgsl } } }),
      id({ kernels: { add: { name: 'mine.wgsl', wgsl: `${wgsl} ` } } }),
      id({ kernels: { add: { name: 'mine.wgsl', wgsl: () => wgsl } } }),
      id({ kernels: { add: { name: 'mine.wgsl', wgsl, labels: 'blocks.3.*' } } }),
      id({ kernels: { add: { name: 'mine.wgsl', wgsl, constants: { window: 4 } } } }),
    ];
    expect(new Set(different).size).toBe(different.length);
    for (const each of different) expect(each).toMatch(/^[0-9a-f]{64}$/);
    expect(id({ maxResultBytes: 1, signal: new AbortController().signal })).toBe(model.modelId);
    expect(model.with({ edits: [cut] }).with({ edits: [cutToo] }).modelId).toBe(different[2]);
  });
});

/** What runs a bound model, by its name, and numbers of its result. */
const target = { token: 5 };
const ways: Record<string, (of: VisionLanguageModel) => Promise<ArrayLike<number>>> = {
  runWithCache: async (of) => (await of.runWithCache(input, last)).get('logits')!.data,
  runVariations: async (of) => (await of.runVariations(input, [[]], last))[0].get('logits')!.data,
  headVectors: (of) => of.headVectors({ images: [image], prompt }),
  headVectorsAtEnd: async (of) => (await of.headVectorsAtEnd([input]))[0],
  answers: async (of) =>
    (await of.answers([{ images: [image], prompt }], { maxNewTokens: 1, labels: ['a dog'] }))[0].labelScores,
  logitLens: async (of) => (await logitLens(of, input, { layers: [2] })).map(({ entropy }) => entropy),
  attentionMaps: async (of) =>
    (await attentionMaps(of, input, { heads: [{ layer: 2, head: 1 }] })).maps.map(({ share }) => share),
  decoderRollout: async (of) => (await decoderRollout(of, input, { maxBytes: 1 })).flow,
  attributeLogit: async (of) => (await attributeLogit(of, input, target)).heads,
  headOutputs: async (of) => (await headOutputs(of, input, { heads: [{ layer: 2, head: 1 }] }))[0].z,
  sweepTarget: (of) => sweepTarget(of, input, [[], [{ at: 'blocks.1.*.hook_z', set: 0 }]], target),
  sweepHeadVectors: async (of) => (await sweepHeadVectors(of, input, [[]]))[0],
  ablateHeads: async (of) => (await ablateHeads(of, input, target, { heads: [{ layer: 2, head: 0 }] })).values,
  meanOutputs: (of) => meanOutputs(of, [input], { maxBytes: 1 }),
  patchHeads: async (of) => (await patchHeads(of, { clean: input, corrupted: other }, target)).values,
  patchResidual: async (of) =>
    (await patchResidual(of, { clean: input, corrupted: other }, target, { positions: [-1] })).values,
  knockOutImages: async (of) => [(await knockOutImages(of, input, target)).baseline],
};
/** The largest difference, as a share of the largest value. */
const change = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  const largest = Math.max(...Array.from(a, Math.abs));
  return Math.max(...Array.from(a, (x, i) => Math.abs(x - b[i]))) / largest;
};

describe('what a model is bound to', () => {
  it.each(Object.entries(ways))('holds in %s', async (name, run) => {
    const plain = await run(model);
    expect(change(plain, await run(model))).toBeLessThan(1e-5);
    expect(
      change(plain, await run(model.with({ edits: [{ at: 'blocks.1.hook_resid_pre', scale: 3 }] }))),
      name,
    ).toBeGreaterThan(1e-3);
    // hook_pattern comes of kernels of its own; what edits scores, attention's kernel cannot stand beside.
    if (name !== 'knockOutImages')
      expect(change(plain, await run(model.with({ kernels: hot }))), name).toBeGreaterThan(1e-3);
    const abort = new AbortController();
    abort.abort(new Error('enough'));
    await expect(
      run(model.with({ signal: abort.signal }).with({ signal: new AbortController().signal })),
    ).rejects.toThrow('enough');
  });

  it('is no option of what runs it', async () => {
    const options = { edits: [cut] } as object;
    const message = /no option edits; bind the model to it, model\.with\(\{ edits \}\)/;
    const heads = [{ layer: 0, head: 0 }];
    const pair = { clean: input, corrupted: other };
    const calls = [
      async () => model.runWithCache(input, options),
      async () => model.price(input, options),
      async () => model.eachVariation(input, [[]], options),
      async () => model.headVectors({ images: [image], prompt }, options),
      async () => model.answers([], { maxNewTokens: 1, labels: [], ...options }),
      async () => model.generate(input, options).next(),
      async () => logitLens(model, input, options),
      async () => attentionMaps(model, input, { heads, ...options }),
      async () => decoderRollout(model, input, options),
      async () => towerRollout(model, input, options),
      async () => attributeLogit(model, input, { ...target, ...options }),
      async () => headOutputs(model, input, { heads, ...options }),
      async () => headWords(model, [], options),
      async () => sweepTarget(model, input, [[]], target, options),
      async () => sweepHeadVectors(model, input, [[]], options),
      async () => ablateHeads(model, input, target, options),
      async () => meanOutputs(model, [input], options),
      async () => patchHeads(model, pair, target, options),
      async () => patchResidual(model, pair, target, options),
      async () => knockOutImages(model, input, target, options),
    ];
    for (const call of calls) {
      await expect(call(), String(call)).rejects.toThrow(message);
      await expect(call()).rejects.toThrow(InputError);
    }
  });
});
