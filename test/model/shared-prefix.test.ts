// Prompts that begin alike, of which the beginning runs once, against whole runs of each.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import type { ModelInput, Visual } from '../../src/model/input.ts';
import { type LoadedModel, loadModel } from '../../src/model/load-model.ts';
import type { Model } from '../../src/model/model.ts';
import { Forward } from '../../src/model/run/forward.ts';
import { sharedTokens } from '../../src/model/run/shared-prefix.ts';
import { fixturePath, modelInput, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

const gpu = useGpu();

interface Inputs {
  inputs: Record<string, { visuals?: string[] }>;
}

/** The stored inputs of a checkpoint, by name. */
function inputsOf(checkpoint: string): Map<string, ModelInput> {
  const tensors = [...readTensors(`${checkpoint}/expected.safetensors`)];
  const { inputs } = readJsonFixture<Inputs>(`${checkpoint}/expected.json`);
  return new Map(
    Object.entries(inputs).map(([name, { visuals }]) => {
      const own = tensors.filter(([key]) => key.startsWith(`${name}/`));
      return [name, modelInput(new Map(own.map(([key, t]) => [key.slice(name.length + 1), t])), visuals)];
    }),
  );
}

/** The prompt with other last tokens in the place of its own. */
const ending = ({ inputIds, visuals }: ModelInput, last: number, ...ids: number[]): ModelInput => ({
  inputIds: [...Array.from(inputIds).slice(0, inputIds.length - last), ...ids],
  visuals,
});

/** The same pictures, decoded once more. */
const copied = (input: ModelInput): ModelInput => ({
  ...input,
  visuals: input.visuals.map((visual) => ({ ...visual, pixels: visual.pixels.slice() })),
});

/** The prompt with other pixel values in one of its pictures. */
const repainted = (input: ModelInput, which: number): ModelInput => ({
  ...input,
  visuals: input.visuals.map((visual, i) =>
    i === which ? { ...visual, pixels: visual.pixels.map((x) => -x) } : visual,
  ),
});

/** What the model is shown: of each run tokens and pictures. */
async function watched<T>(
  work: () => Promise<T>,
): Promise<{ found: T; seen: [tokens: number, visuals: Visual[]][][] }> {
  const merged = vi.spyOn(Forward.prototype, 'merged');
  try {
    const found = await work();
    const seen = merged.mock.calls.map(([, , inputs]) =>
      inputs.map(({ inputIds, visuals }): [number, Visual[]] => [inputIds.length, [...visuals]]),
    );
    return { found, seen };
  } finally {
    merged.mockRestore();
  }
}

/** @returns how far it is from whole runs at most. */
async function distance(
  model: Model,
  inputs: readonly ModelInput[],
  found: readonly Float32Array[],
  maxLayer?: number,
) {
  expect(found).toHaveLength(inputs.length);
  let most = 0;
  for (const [i, input] of inputs.entries()) {
    const [whole] = await model.headVectorsAtEnd([input], maxLayer);
    expect(found[i]).toHaveLength(whole.length);
    most = Math.max(most, relativeError(found[i], whole));
  }
  return most;
}

describe.each([
  'checkpoints/llava-f32',
  'families/next-llama-f16',
  'families/next-mistral-f32',
  'families/next-qwen2-bf16',
  'families/onevision-f32',
  'families/qwen2-vl-f32',
  'families/qwen2_5-vl-f32',
  'families/llama-text-f32',
  'families/mistral-text-bf16',
  'families/qwen2-text-f16',
])('%s', (checkpoint) => {
  const inputs = inputsOf(checkpoint);
  let loaded: LoadedModel;
  beforeAll(async () => {
    loaded = await loadModel(await openFolder(fixturePath(checkpoint)), { gpu: gpu() });
  });
  afterAll(() => loaded?.destroy());

  it.each([...inputs.keys()])('many questions about what %s shows are as each by itself', async (name) => {
    const { model } = loaded;
    const input = inputs.get(name)!;
    const { length } = input.inputIds;
    const questions = [
      input,
      ending(copied(input), 3, 40, 41, 42),
      ending(input, 2, 50),
      ending(input, 3, 43, 44, 45),
      ending(input, 1, 60, 61, 62, 63, 64),
    ];
    const { found, seen } = await watched(() => model.headVectorsAfterPrefix(questions));
    // The pictures once, and of the text what all begin with; then the rest, by its length.
    expect(seen.map((run) => run.map(([tokens]) => tokens))).toEqual([[length - 3], [3, 3, 3], [2], [7]]);
    expect(seen.map((run) => run.flatMap(([, visuals]) => visuals))).toEqual([input.visuals, [], [], []]);
    expect(await distance(model, questions, found)).toBeLessThan(1e-5);
    expect(relativeError(found[1], found[0])).toBeGreaterThan(1e-4);
    expect(relativeError(found[3], found[1])).toBeGreaterThan(1e-4);
  });

  it('shares one token, all but one, and of equal prompts as many', async () => {
    const { model } = loaded;
    const input = [...inputs.values()][0];
    const { length } = input.inputIds;
    const early: ModelInput = { inputIds: [input.inputIds[0], 7, 8, 9], visuals: [] };
    for (const [others, tokens] of [
      [[early], 1],
      [[ending(input, 1, 33)], length - 1],
      [[ending(input, 0, 33)], length - 1],
      [[input, copied(input)], length - 1],
    ] as const) {
      const prompts = [input, ...others];
      expect(sharedTokens(prompts, model.config.vision)).toBe(tokens);
      const found = await model.headVectorsAfterPrefix(prompts, 1);
      expect(await distance(model, prompts, found, 1)).toBeLessThan(1e-5);
    }
  });

  it('shares nothing of prompts that begin otherwise, and of one', async () => {
    const { model } = loaded;
    const input = [...inputs.values()][0];
    const other: ModelInput = { inputIds: [9, 8, 7], visuals: [] };
    for (const prompts of [[input, other], [input]]) {
      expect(sharedTokens(prompts, model.config.vision)).toBe(0);
      const found = await model.headVectorsAfterPrefix(prompts);
      expect(await distance(model, prompts, found)).toBeLessThan(1e-5);
    }
    expect(await model.headVectorsAfterPrefix([])).toEqual([]);
  });

  const pictured = [...inputs].filter(([, { visuals }]) => visuals.length);
  it.runIf(pictured.length).each(pictured)(
    'shares of %s what stands before a picture that differs',
    async (_, input) => {
      const { model } = loaded;
      const vision = model.config.vision!;
      const ids = Array.from(input.inputIds);
      for (const [i, { kind }] of input.visuals.entries()) {
        const prompts = [input, repainted(input, i), ending(repainted(input, i), 1, 70, 71)];
        const tokens = sharedTokens(prompts, vision);
        const id = kind === 'image' ? vision.imageTokenId : vision.videoTokenId;
        const before = ids.slice(0, tokens).filter((each) => each === id).length;
        const earlier = input.visuals.slice(0, i).filter((each) => each.kind === kind);
        expect([ids[tokens], before]).toEqual([id, earlier.reduce((sum, visual) => sum + vision.tokens(visual), 0)]);
        const { found, seen } = await watched(() => model.headVectorsAfterPrefix(prompts));
        expect(seen[0].map(([count, visuals]) => [count, visuals.length])).toEqual([[tokens, i]]);
        expect(await distance(model, prompts, found)).toBeLessThan(1e-5);
        const seesAll = model.config.text.windows.every((window) => window === undefined); // a small window sees the end alone
        if (seesAll) expect(relativeError(found[1], found[0])).toBeGreaterThan(1e-4);
      }
    },
  );

  it.runIf(pictured.length).each(pictured)(
    'shares the pictures of %s up to their last token, not a part',
    async (_, input) => {
      const { model } = loaded;
      const vision = model.config.vision!;
      const ids = Array.from(input.inputIds);
      const isPicture = (id: number) => id === vision.imageTokenId || id === vision.videoTokenId;
      const end = ids.findLastIndex(isPicture) + 1;
      const behind: ModelInput = { inputIds: [...ids.slice(0, end), 80, 81], visuals: input.visuals };
      const prompts = [input, behind];
      const { found, seen } = await watched(() => model.headVectorsAfterPrefix(prompts));
      expect(seen[0].map(([count, visuals]) => [count, visuals.length])).toEqual([[end, input.visuals.length]]);
      expect(await distance(model, prompts, found)).toBeLessThan(1e-5);
      // Where the last token is a picture's, it is each prompt's own, and the whole picture with it.
      const open = { inputIds: ids.slice(0, end), visuals: input.visuals };
      const tokens = sharedTokens([open, open], vision);
      expect(isPicture(ids[tokens])).toBe(true);
      const own = await watched(() => model.headVectorsAfterPrefix([open, open]));
      expect(own.seen[0].map(([, visuals]) => visuals.length)).toEqual([input.visuals.length - 1]);
      expect(await distance(model, [open, open], own.found)).toBeLessThan(1e-5);
    },
  );
});
