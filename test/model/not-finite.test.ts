// A damaged weight is named by the first activation that it makes not finite, whatever was asked for.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { ablateHeads, meanOutputs } from '../../src/analysis/ablation.ts';
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { attributeLogit } from '../../src/analysis/attribution.ts';
import { knockOutImages } from '../../src/analysis/knockout.ts';
import { logitLens } from '../../src/analysis/logit-lens.ts';
import { decoderRollout } from '../../src/analysis/rollout.ts';
import { sweepHeadVectors } from '../../src/analysis/sweep.ts';
import { headOutputs } from '../../src/analysis/words.ts';
import { allHeads } from '../../src/base/heads.ts';
import { parseSafetensors } from '../../src/checkpoint/safetensors.ts';
import { DualEncoder } from '../../src/model/dual-encoder.ts';
import { NotFiniteError } from '../../src/model/errors.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import type { Folder } from '../../src/platform/types.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const picture = new Uint8Array(readFileSync(fixturePath('images/scene.png')));
const example = { images: [picture], prompt: 'What is in this image?' };

/** A fixture's folder in which one number of a f32 tensor is another. */
async function damaged(name: string, tensor: RegExp, value: number): Promise<Folder> {
  const folder = await openFolder(fixturePath(name));
  const bytes = new Uint8Array(readFileSync(fixturePath(`${name}/model.safetensors`)));
  const header = parseSafetensors('model.safetensors', bytes);
  const info = [...header.tensors.values()].find((one) => tensor.test(one.name))!;
  new DataView(bytes.buffer).setFloat32(info.start, value, true);
  return {
    ...folder,
    size: async (file) => (file === 'model.safetensors' ? bytes.length : folder.size(file)),
    read: async (file, start, end) =>
      file === 'model.safetensors' ? bytes.slice(start, end) : folder.read(file, start, end),
  };
}

describe.each<[string, RegExp, number, string]>([
  [
    'NaN in q_proj of layer 1',
    /language_model.*layers\.1\.self_attn\.q_proj\.weight/,
    Number.NaN,
    'blocks.1.attn.hook_q',
  ],
  [
    'infinity in down_proj of layer 0',
    /language_model.*layers\.0\.mlp\.down_proj\.weight/,
    Number.POSITIVE_INFINITY,
    'blocks.0.hook_mlp_out',
  ],
  ['NaN in the projector', /multi_modal_projector\.linear_2\.bias/, Number.NaN, 'projector.hook_out'],
  ['NaN in the tower', /vision.*layers\.0\.mlp\.fc1\.bias/, Number.NaN, 'vision.blocks.0.mlp.hook_pre'],
])('%s', (_, tensor, value, first) => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    model = await VisionLanguageModel.load(await damaged('checkpoints/llava-f32', tensor, value), { gpu: gpu() });
  });
  afterAll(() => model?.destroy());

  it('is named by generate, greedy and sampled, by head vectors, answers and analyses', async () => {
    const message = new RegExp(`^${first.replaceAll('.', '\\.')} is the first activation that is not finite: `);
    const input = await model.input(example);
    const text = async (options: object) => {
      for await (const _piece of model.generate(input, { maxNewTokens: 3, ...options }));
    };
    for (const run of [
      () => text({}),
      () => text({ temperature: 1 }),
      () => model.headVectors(example),
      () => model.headVectorsSharingPrefix([example, { ...example, prompt: 'What is here?' }]),
      () => model.answers([example], { maxNewTokens: 2, labels: ['a', 'b'] }),
    ]) {
      const error = await run().then(
        () => undefined,
        (e: unknown) => e,
      );
      expect(error).toBeInstanceOf(NotFiniteError);
      expect((error as Error).message).toMatch(message);
    }
    for (const run of [
      () => logitLens(model, input),
      () => attributeLogit(model, input, { token: 5 }),
      () => attentionMaps(model, input, { heads: allHeads(model.config.text) }),
      () => decoderRollout(model, input),
      () => headOutputs(model, input, { heads: allHeads(model.config.text) }),
      () => meanOutputs(model, [input]),
      () => ablateHeads(model, input, { token: 5 }, { heads: [{ layer: 1, head: 0 }] }),
      () => knockOutImages(model, input, { token: 5 }),
      () => sweepHeadVectors(model, input, [[]]),
    ])
      await expect(run(), String(run)).rejects.toThrow(message);
    // Who reads activations by name may want to see them.
    const cache = await model.runWithCache(input, { namesFilter: first });
    expect(cache.get(first)!.data.some((x) => !Number.isFinite(x))).toBe(true);
  });
});

it('a model without a damaged weight is not run twice', async () => {
  const model = await VisionLanguageModel.load(await openFolder(fixturePath('checkpoints/llava-f32')), { gpu: gpu() });
  let runs = 0;
  const { runWithCache } = model;
  model.runWithCache = (...given) => {
    runs++;
    return runWithCache.apply(model, given);
  };
  await model.headVectors(example);
  for await (const _piece of model.generate(await model.input(example), { maxNewTokens: 3 }));
  expect(runs).toBe(0);
  model.destroy();
});

it('an encoder names it too', async () => {
  const folder = await damaged('families/clip-f32', /vision_model.*layers\.0\.self_attn\.k_proj\.bias/, Number.NaN);
  const encoder = await DualEncoder.load(folder, { gpu: gpu() });
  await expect(encoder.imageEmbeddings([picture])).rejects.toThrow(
    /^vision\.blocks\.0\.attn\.hook_k is the first activation that is not finite/,
  );
  expect((await encoder.textEmbeddings(['a cat']))[0].every(Number.isFinite)).toBe(true);
  encoder.destroy();
});
