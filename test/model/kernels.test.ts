// Custom kernels in a whole model: extras under hook names, labels, batches, generation, errors before anything runs.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import entropy from '../../docs/examples/kernels/entropy.ts';
import { slidingWindow } from '../../docs/examples/kernels/sliding-window.ts';
import { temperatureSoftmax } from '../../docs/examples/kernels/temperature-softmax.ts';
import { KernelError } from '../../src/gpu/errors.ts';
import type { AttentionKernel, Kernels } from '../../src/kernels/custom/kernels.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import type { ActivationCache } from '../../src/model/run/activations.ts';
import { splitHeadVectors } from '../../src/model/run/run.ts';
import { type Prompt, VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { MemoryFeatureStore } from '../../src/sav/feature-cache.ts';
import { extractFeatures, type HeadVectorSource } from '../../src/sav/features.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

const gpu = useGpu();
const checkpoint = 'weights/tiny-llava';
let model: VisionLanguageModel;
let input: ModelInput;
let example: Prompt & { images: Uint8Array[] };
beforeAll(async () => {
  model = await VisionLanguageModel.load(await openFolder(checkpoint), { gpu: gpu() });
  const row = JSON.parse(readFileSync(`${checkpoint}/tasks/novel-words.test.jsonl`, 'utf8').split('\n')[0]);
  const images = [new Uint8Array(readFileSync(`${checkpoint}/tasks/${row.image}`))];
  example = { images, prompt: 'What is in the image?' };
  input = await model.input(example);
});
const mine = entropy.attention as AttentionKernel;
const atTheEnd = { namesFilter: 'blocks.*.attn.hook_z', posSlice: -1 };
const joined = (cache: ActivationCache) => splitHeadVectors(cache, 1)[0];

describe('extras', () => {
  it('come back under hook names, with the shape of their rows, and change nothing', async () => {
    const vision = 'vision.blocks.1.attn.hook';
    const names = ['blocks.2.attn.hook_entropy', `${vision}_entropy`, 'blocks.2.attn.hook_z', `${vision}_z`];
    const all = await model.with({ kernels: entropy }).runWithCache(input, { namesFilter: names });
    const length = input.inputIds.length;
    expect(all.get(names[0])!.shape).toEqual([length, 8]);
    expect(all.get(names[1])!.shape).toEqual(all.get(names[3])!.shape.slice(0, -1));
    const ours = await model.runWithCache(input, { namesFilter: names[2] });
    expect(relativeError(all.get(names[2])!.data, ours.get(names[2])!.data)).toBeLessThan(1e-5);
    const some = await model
      .with({ kernels: entropy })
      .runWithCache(input, { namesFilter: names[0], posSlice: [5, 9] });
    expect(some.get(names[0])!.shape).toEqual([4, 8]);
    // a run that ends with these heads computes the wanted queries alone
    expect(relativeError(some.get(names[0])!.data, all.get(names[0])!.data.subarray(40, 72))).toBeLessThan(1e-5);
  });

  it('exist only where the kernel runs', async () => {
    const kernels: Kernels = { attention: { ...mine, labels: 'blocks.1.*' } };
    const namesFilter = 'blocks.*.attn.hook_entropy';
    expect([...(await model.with({ kernels }).runWithCache(input, { namesFilter })).keys()]).toEqual([
      'blocks.1.attn.hook_entropy',
    ]);
    const run = model.with({ kernels }).runWithCache(input, { namesFilter: 'blocks.2.attn.hook_entropy' });
    await expect(run).rejects.toThrow('no hook point is named "blocks.2.attn.hook_entropy"');
    await expect(model.runWithCache(input, { namesFilter })).rejects.toThrow('no hook point is named');
  });

  it('may not have the name of a hook point', () => {
    const kernels: Kernels = { attention: { ...mine, extras: { pattern: () => [1] } } };
    expect(() => model.with({ kernels })).toThrow('vision.blocks.0.attn.hook_pattern is a hook point of the model');
  });
});

describe('a run with kernels', () => {
  const answers = { maxNewTokens: 2, labels: ['red', 'a dog'] };
  /** Everything that runs a prompt, by its name: the head outputs of the last position. */
  const ways: Record<string, (kernels?: Kernels) => Promise<Float32Array>> = {
    runWithCache: async (kernels) => joined(await model.with({ kernels }).runWithCache(input, atTheEnd)),
    runOnGpu: async (kernels) => {
      const { tensors, destroy } = await model.with({ kernels }).runOnGpu(input, atTheEnd);
      const rec = gpu().record('read');
      const reads = [...tensors].map(([name, tensor]) => [name, rec.read(tensor)] as const);
      await rec.submit();
      destroy();
      return splitHeadVectors(new Map(reads.map(([name, { f32 }]) => [name, { data: f32 }])), 1)[0];
    },
    runVariations: async (kernels) => joined((await model.with({ kernels }).runVariations(input, [[]], atTheEnd))[0]),
    headVectors: (kernels) => model.with({ kernels }).headVectors(example),
    answers: async (kernels) => (await model.with({ kernels }).answers([example], answers))[0].headVectors,
    generate: async (kernels) => {
      let first: ActivationCache | undefined;
      const onActivations = (cache: ActivationCache) => (first ??= cache);
      for await (const _ of model.with({ kernels }).generate(input, { maxNewTokens: 1, ...atTheEnd, onActivations }));
      return joined(first!);
    },
  };

  it.each(Object.entries(ways))('takes them: %s', async (_, run) => {
    const [theirs, ours] = [await run(temperatureSoftmax(() => 20)), await run()];
    expect(relativeError(theirs, ours)).toBeGreaterThan(0.1);
    expect(relativeError(theirs, await ways.runWithCache(temperatureSoftmax(() => 20)))).toBeLessThan(1e-4);
  });

  it.each(Object.entries(ways))('refuses one that takes no place in it: %s', async (_, run) => {
    const misspelt = run(slidingWindow(4, 'block.2.*'));
    await expect(misspelt).rejects.toThrow(KernelError);
    await expect(misspelt).rejects.toThrow(
      /^attention kernel sliding-window\.wgsl: took no place in this run: its labels are block\.2\.\*, those of the run like blocks\.\d\.attn\.z$/,
    );
    const absent = run({ layerNorm: [], mixRows: { name: 'mix.wgsl', wgsl: '' } });
    await expect(absent).rejects.toThrow('mixRows kernel mix.wgsl: took no place in this run: the run has no mixRows');
  });

  it('takes those that only the shared part of variations has a place for', async () => {
    const kernels = temperatureSoftmax(() => 20, 'vision.*');
    const edits: Edit[] = [{ at: 'blocks.1.attn.hook_z', positions: -1, set: 0 }];
    const [, varied] = await model.with({ kernels }).runVariations(input, [[], edits], atTheEnd);
    const alone = await model.with({ kernels, edits }).runWithCache(input, atTheEnd);
    expect(relativeError(joined(varied), joined(alone))).toBeLessThan(1e-4);
  });

  it('takes those that only the prompt has a place for, not the steps after it', async () => {
    const kernels = temperatureSoftmax(() => 1, 'vision.*');
    const pieces = async (given?: Kernels) => {
      const found: string[] = [];
      for await (const piece of model.with({ kernels: given }).generate(input, { maxNewTokens: 3 })) found.push(piece);
      return found;
    };
    expect(await pieces(kernels)).toEqual(await pieces());
    const [{ labelScores }] = await model.with({ kernels }).answers([example], answers);
    expect(labelScores).toHaveLength(2);
  });

  it('scores labels with them', async () => {
    const scores = async (kernels?: Kernels) =>
      (await model.with({ kernels }).answers([example], answers))[0].labelScores;
    const ours = await scores();
    expect(relativeError(await scores(temperatureSoftmax(() => 1)), ours)).toBeLessThan(1e-4);
    expect(relativeError(await scores(temperatureSoftmax(() => 20)), ours)).toBeGreaterThan(0.01);
  });

  it('gives SAVs head vectors of their own, which no cache and no classifier takes for the model’s', async () => {
    const windowed = model.with({ kernels: slidingWindow(4) });
    const store = new MemoryFeatureStore();
    const { images, prompt } = example;
    const examples = [{ source: 'row 1', prompt, images: ['a.png'], loadImages: async () => images }];
    const vectors = async (source: HeadVectorSource) => (await extractFeatures(source, examples, { store })).vectors[0];
    expect(await vectors(windowed)).toEqual(await windowed.headVectors(example));
    expect(await vectors(model)).toEqual(await model.headVectors(example));
    expect(relativeError(await vectors(windowed), await vectors(model))).toBeGreaterThan(0.01);
    expect(store.entries.size).toBe(2);
    expect(windowed.modelId).not.toBe(model.modelId);
  });

  it('takes those of layers behind its end', async () => {
    const names = { namesFilter: 'blocks.1.attn.hook_z' };
    const late = model.with({ kernels: slidingWindow(4, 'blocks.4.*') });
    expect(await late.runWithCache(input, names)).toEqual(await model.runWithCache(input, names));
    const misspelt = model.with({ kernels: slidingWindow(4, 'blocks.4.attn.hook_z') });
    await expect(misspelt.runWithCache(input, names)).rejects.toThrow('took no place in this run');
    // The heads' outputs need no scores: a kernel for those is one too many, whatever the layer.
    const scores = model.with({ kernels: { attentionScores: { name: 's.wgsl', wgsl: '' } } });
    await expect(scores.runWithCache(input, names)).rejects.toThrow('the run has no attentionScores');
  });

  it('refuses edits that would leave one out', async () => {
    const mine = { name: 'mine.wgsl', wgsl: '@compute fn main() {}' };
    for (const [op, hook] of [
      ['attention', 'attn.hook_attn_scores'],
      ['attention', 'attn.hook_pattern'],
      ['matmul', 'attn.hook_result'],
      ['rmsNorm', 'ln1.hook_scale'],
    ]) {
      const run = (labels: string) => {
        const edits = [{ at: `blocks.1.${hook}`, scale: 1 }];
        return model
          .with({ kernels: { [op]: { ...mine, labels } }, edits })
          .dispatches(input, { namesFilter: 'logits' });
      };
      expect(() => run('blocks.1.*'), hook).toThrow(`edit of blocks.1.${hook}: it takes blocks.1.`);
      expect(() => run('blocks.2.*'), hook).not.toThrow();
    }
  });

  it('does not start when one does not compile', async () => {
    const before = gpu().pool.bytes;
    const kernels: Kernels = { matmul: { name: 'mm.wgsl', wgsl: '\n\n@compute fn main() { foo(); }' } };
    const run = model.with({ kernels }).runWithCache(input, { namesFilter: 'logits' });
    await expect(run).rejects.toThrow(/^matmul kernel mm\.wgsl:3:\d+: /);
    expect(gpu().pool.bytes).toBe(before);
  });

  it('generates with them, in the prompt and in every step', async () => {
    const text = async (kernels?: Kernels) => {
      let all = '';
      for await (const piece of model.with({ kernels }).generate(input, { maxNewTokens: 8 })) all += piece;
      return all;
    };
    const ours = await text();
    expect(await text(temperatureSoftmax(() => 1))).toBe(ours);
    expect(await text(temperatureSoftmax(() => 20))).not.toBe(ours);
    const queries = new Set<unknown>();
    const { attention } = temperatureSoftmax(() => 1) as { attention: AttentionKernel };
    const wgsl: AttentionKernel['wgsl'] = ({ sizes }) => {
      queries.add(sizes!.queries);
      return attention.wgsl as string;
    };
    await text({ attention: { ...attention, wgsl } });
    expect([...queries]).toEqual([input.inputIds.length, 1]);
  });
});

describe('dispatches', () => {
  it('are as many as the model takes: hooks and edits that nobody asks for add none', () => {
    const count = (namesFilter: string) => model.price(input, { namesFilter, posSlice: -1 }).dispatches;
    // 9 around the blocks, 3 blocks of 12 in the tower, 6 of 13 in the decoder: the last one 7 to its heads, or whole with norm
    // and head.
    expect({ heads: count('blocks.*.attn.hook_z'), answer: count('logits') }).toEqual({ heads: 117, answer: 125 });
  });

  it('lists what a run would do, and runs nothing', async () => {
    const { submit } = gpu().device.queue;
    let submissions = 0;
    gpu().device.queue.submit = (...args) => {
      submissions++;
      return submit.apply(gpu().device.queue, args);
    };
    const list = model.with({ kernels: slidingWindow(4, 'blocks.2.*') }).dispatches(input, { namesFilter: 'logits' });
    expect(submissions).toBe(0);
    delete (gpu().device.queue as { submit?: unknown }).submit;
    const attention = list.filter(({ label }) => /^blocks\.\d\.attn\.z$/.test(label)).map(({ kernel }) => kernel);
    expect(attention[2]).toBe('attention sliding-window.wgsl');
    expect(attention.filter((kernel) => kernel.startsWith('attention.'))).toHaveLength(5);
    expect(() => model.with({ kernels: slidingWindow(4, 'blocks.9.*') }).dispatches(input)).toThrow('took no place');
  });
});
