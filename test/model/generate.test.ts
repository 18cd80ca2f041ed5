import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { generate, PromptRun } from '../../src/model/generation/generate.ts';
import type { ModelInput } from '../../src/model/input.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { KvCache } from '../../src/model/layers/kv-cache.ts';
import { loadModel } from '../../src/model/load-model.ts';
import type { ActivationCache } from '../../src/model/run/activations.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { random, relativeError } from '../kernels/check.ts';

const expected = readTensors('checkpoints/llava-f32/expected.safetensors');
const input: ModelInput = {
  inputIds: expected.get('scene/input_ids')!.data,
  visuals: [{ kind: 'image', pixels: expected.get('scene/pixel_values')!.data as Float32Array, shape: [1, 3, 32, 32] }],
};
const other: ModelInput = {
  ...input,
  visuals: input.visuals.map((visual) => ({ ...visual, pixels: visual.pixels.map((x) => -x) })),
};
const never = new Set<number>();
const gpu = useGpu();
let model: VisionLanguageModel;
beforeAll(async () => {
  model = await VisionLanguageModel.load(await openFolder(fixturePath('checkpoints/llava-f32')), { gpu: gpu() });
});
afterAll(() => model?.destroy());

async function collect(
  x: ModelInput,
  options: Partial<Parameters<typeof generate>[2]> = {},
  of = model,
): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of generate(of, x, { maxNewTokens: 8, endTokens: never, ...options })) ids.push(id);
  return ids;
}

describe('generate', () => {
  it('stops at any end token, without yielding it, and after maxNewTokens', async () => {
    const ids = await collect(input);
    expect(ids).toHaveLength(8);
    const end = ids.find((id) => id !== ids[0])!;
    expect(await collect(input, { endTokens: new Set([end, 3]) })).toEqual(ids.slice(0, ids.indexOf(end)));
  });

  it('samples the same text for a seed, another for another, and greedy text when it is cold', async () => {
    const sample = (seed: number, temperature = 1.5) => collect(input, { temperature, seed });
    expect(await sample(1)).toEqual(await sample(1));
    expect(await sample(1)).not.toEqual(await sample(2));
    expect(await sample(1, 1e-4)).toEqual(await collect(input));
  });

  it('tells where in the text each step’s activations stand', async () => {
    const { length } = input.inputIds;
    const positions = async (posSlice?: number | [number, number]) => {
      const found: [position: number, rows: number][] = [];
      const onActivations = (cache: ActivationCache, position: number) =>
        found.push([position, cache.get('blocks.0.hook_resid_pre')!.shape[0]]);
      await collect(input, { maxNewTokens: 3, namesFilter: 'blocks.0.hook_resid_pre', posSlice, onActivations });
      return found;
    };
    const steps = [
      [length, 1],
      [length + 1, 1],
    ];
    expect(await positions()).toEqual([[0, length], ...steps]);
    expect(await positions(-1)).toEqual([[length - 1, 1], ...steps]);
    expect(await positions([2, 5])).toEqual([[2, 3], ...steps]);
  });

  it('refuses activations above the limit, of the prompt and of each step', async () => {
    const { length } = input.inputIds;
    const { nHeads } = model.config.text;
    const last = { namesFilter: 'blocks.0.attn.hook_pattern', posSlice: -1, onActivations: () => {} };
    const tooLarge = /activations asked for take \d+ bytes, more than/;
    await expect(collect(input, last, model.with({ maxResultBytes: 4 * nHeads * length - 1 }))).rejects.toThrow(
      tooLarge,
    );
    const one: number[] = [];
    const limited = model.with({ maxResultBytes: 4 * nHeads * length });
    const generated = generate(limited, input, { maxNewTokens: 3, endTokens: never, ...last });
    const all = async () => {
      for await (const id of generated) one.push(id);
    };
    await expect(all()).rejects.toThrow(tooLarge); // one key more
    expect(one).toHaveLength(1);
  });

  it('stops when aborted', async () => {
    const abort = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      for await (const id of generate(model.with({ signal: abort.signal }), input, {
        maxNewTokens: 8,
        endTokens: never,
      })) {
        ids.push(id);
        if (ids.length === 3) abort.abort(new Error('enough'));
      }
    };
    await expect(run()).rejects.toThrow('enough');
    expect(ids).toHaveLength(3);
  });

  it('refuses more tokens than the model has positions', async () => {
    await expect(collect(input, { maxNewTokens: 1_000_000 })).rejects.toThrow(/exceed this model's \d+ positions/);
    await expect(collect(input, { maxNewTokens: 0 })).rejects.toThrow(/maxNewTokens is at least 1/);
  });
});

/** The results that runs bring home while `work` runs: a run's label, and bytes. */
async function resultsOf(work: (runs: readonly [string, number][]) => Promise<unknown>): Promise<[string, number][]> {
  const { device } = gpu();
  const createBuffer = device.createBuffer.bind(device);
  const runs: [string, number][] = [];
  device.createBuffer = (descriptor) => {
    const [label, isResults] = [descriptor.label!.replace(/ read-back$/, ''), / read-back$/.test(descriptor.label!)];
    if (isResults) runs.push([label, descriptor.size]);
    return createBuffer(descriptor);
  };
  try {
    await work(runs);
  } finally {
    device.createBuffer = createBuffer;
  }
  return runs;
}

/** This adapter, as if it were a GPU. */
async function asGpu(work: () => Promise<void>): Promise<void> {
  const own = gpu().capabilities;
  const changed = gpu() as { capabilities: typeof own };
  changed.capabilities = { ...own, software: false };
  try {
    await work();
  } finally {
    changed.capabilities = own;
  }
}

describe('on a GPU, the next step is in the queue before what came is read', () => {
  it('with the same text, and no step more than the longest text needs', async () => {
    const expected = await collect(input);
    const end = expected.find((id) => id !== expected[0])!;
    const stepsAtYield = async (endTokens: ReadonlySet<number>, text: readonly number[]) => {
      const counts: number[] = [];
      await resultsOf(async (runs) => {
        const ids: number[] = [];
        for await (const id of generate(model, input, { maxNewTokens: 8, endTokens })) {
          counts.push(runs.length);
          ids.push(id);
        }
        expect(ids).toEqual(text);
        counts.push(runs.length);
      });
      return counts;
    };
    const short = expected.slice(0, expected.indexOf(end));
    expect(await stepsAtYield(never, expected)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 8]);
    await asGpu(async () => {
      expect(await stepsAtYield(never, expected)).toEqual([2, 3, 4, 5, 6, 7, 8, 8, 8]);
      expect((await stepsAtYield(new Set([end]), short)).at(-1)).toBe(short.length + 2);
    });
  });

  it('but not where somebody reads its activations', async () => {
    await asGpu(async () => {
      const counts: number[] = [];
      await resultsOf(async (runs) => {
        const options = { namesFilter: 'blocks.0.attn.hook_z', onActivations: () => counts.push(runs.length) };
        await collect(input, { maxNewTokens: 3, ...options });
      });
      expect(counts).toEqual([1, 2, 3]);
    });
  });

  it('and a prompt that is continued again goes on from its own first token', async () => {
    const expected = await collect(input);
    const run = await PromptRun.start(model, [input], { room: 7, logits: false });
    const again = async () => {
      const ids: number[] = [];
      for await (const [id] of run.generate({ maxNewTokens: 8, endTokens: never })) ids.push(id!);
      return ids;
    };
    expect([await again(), await again()]).toEqual([expected, expected]);
    await asGpu(async () => {
      for await (const _ of run.generate({ maxNewTokens: 8, endTokens: never })) break;
      expect([await again(), await again()]).toEqual([expected, expected]);
    });
    run.destroy();
  });

  it('and over the steps in which a cache grows', async () => {
    const long = async () => {
      const prompt = { inputIds: Array.from({ length: 250 }, (_, i) => 5 + (i % 60)), visuals: [] };
      return collect(prompt, { maxNewTokens: 12 });
    };
    const expected = await long();
    await asGpu(async () => expect(await long()).toEqual(expected));
  });
});

it('reads four bytes back for a greedy token', async () => {
  const runs = await resultsOf(() => collect(input));
  expect(runs).toEqual([['step', 4], ...Array.from({ length: 7 }, () => ['decode', 4])]);
});

describe('PromptRun', () => {
  it('refuses prompts that its cache has no room for, or of other numbers than it has sequences', async () => {
    const { length } = input.inputIds;
    const step = async (positions: number, batch: number) => {
      const cache = new KvCache(gpu(), model.config.text, { capacity: positions, batch });
      await model.step([input], { cache }).finally(() => cache.destroy());
    };
    await expect(step(length - 1, 1)).rejects.toThrow(`${length} positions do not fit the cache of ${length - 1}`);
    await expect(step(length, 2)).rejects.toThrow('1 inputs for a cache of 2 sequences');
    await expect(step(length, 1)).resolves.toBeUndefined();
  });

  it('continues several prompts in lock-step as each one alone', async () => {
    const alone = [await collect(input), await collect(other), await collect(input)];
    expect(alone[0]).not.toEqual(alone[1]);
    const run = await PromptRun.start(model, [input, other, input], { room: 7, logits: false });
    const together: number[][] = [[], [], []];
    for await (const ids of run.generate({ maxNewTokens: 8, endTokens: never }))
      for (const [b, id] of ids.entries()) together[b].push(id!);
    run.destroy();
    expect(together).toEqual(alone);
  });

  it('ends each text by itself', async () => {
    const [first, second] = [await collect(input), await collect(other)];
    const end = first.find((id) => !second.includes(id))!;
    const run = await PromptRun.start(model, [input, other], { room: 7, logits: true });
    const together: (number | undefined)[][] = [];
    for await (const ids of run.generate({ maxNewTokens: 8, endTokens: new Set([end]) })) together.push(ids);
    run.destroy();
    expect(together.map(([id]) => id).filter((id) => id !== undefined)).toEqual(first.slice(0, first.indexOf(end)));
    expect(together.map(([, id]) => id)).toEqual(second);
  });

  const steered: Edit[] = [{ at: 'blocks.1.attn.hook_z', heads: [0], scale: -2 }];
  it.each([
    ['', undefined],
    [', with edits', steered],
  ])('scores continuations as the logits of the whole text do, and can go on afterwards%s', async (_, edits) => {
    const tokens = [40, 7, 123];
    const { vocabSize } = model.config.text;
    const expectedScores: number[][] = [];
    for (const x of [input, other]) {
      const inputIds = [...Array.from(x.inputIds), ...tokens];
      const posSlice = [-tokens.length - 1, -1] as const;
      const { data } = (
        await model.with({ edits }).runWithCache({ ...x, inputIds }, { namesFilter: 'logits', posSlice })
      ).get('logits')!;
      expectedScores.push(
        tokens.map((id, i) => {
          const row = data.subarray(i * vocabSize, (i + 1) * vocabSize);
          return row[id] - Math.log(row.reduce((sum, value) => sum + Math.exp(value), 0));
        }),
      );
    }
    const run = await PromptRun.start(model.with({ edits }), [input, other], { room: 7, logits: true });
    const scores = await run.logProbabilities(tokens);
    expect(relativeError(scores.flat(), expectedScores.flat())).toBeLessThan(1e-5);
    expect(await run.logProbabilities(tokens.slice(0, 1))).toEqual(scores.map((row) => row.slice(0, 1)));
    const after: number[] = [];
    for await (const [id] of run.generate({ maxNewTokens: 8, endTokens: never })) after.push(id!);
    run.destroy();
    expect(after).toEqual(await collect(input, {}, model.with({ edits })));
  });
});

it('Qwen2-VL: each prompt of a batch goes on from positions of its own', async () => {
  const loaded = await loadModel(await openFolder(fixturePath('families/qwen2-vl-f32')), { gpu: gpu() });
  const prompt = (grid: readonly [number, number, number], seed: number): ModelInput => ({
    inputIds: [5, ...new Array<number>(16).fill(412), 6, 7],
    visuals: [{ kind: 'image', grid, shape: [64, 96], pixels: random(64 * 96, seed) }],
  });
  const inputs = [prompt([1, 8, 8], 1), prompt([1, 2, 32], 2)]; // text goes on behind 4 rows, and behind 16 columns
  const logits = async (batch: readonly ModelInput[]) => {
    const run = await PromptRun.start(loaded.model, batch, { room: 3, logits: false });
    const steps: Float32Array[] = [];
    const options = {
      maxNewTokens: 3,
      endTokens: never,
      namesFilter: 'logits',
      onActivations: (found: ActivationCache) => steps.push(found.get('logits')!.data),
    };
    for await (const _ of run.generate(options));
    run.destroy();
    return steps;
  };
  const together = await logits(inputs);
  expect(together).toHaveLength(2);
  for (const [b, input] of inputs.entries())
    for (const [i, alone] of (await logits([input])).entries()) {
      const own = together[i].subarray(b * alone.length, (b + 1) * alone.length);
      expect(relativeError(own, alone), `prompt ${b}, step ${i}`).toBeLessThan(1e-5);
    }
  loaded.destroy();
});
