// Models whose weights are kept in q8 or q4: they compute what a model of the dequantised weights computes, and little else than
// the model as it is stored.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { decodeFloats } from '../../src/checkpoint/decode.ts';
import { loadTensors } from '../../src/checkpoint/load.ts';
import { tensorOf, writeSafetensors } from '../../src/checkpoint/safetensors-writer.ts';
import { storedFormats } from '../../src/checkpoint/stored-formats.ts';
import { buffersOf } from '../../src/gpu/weight.ts';
import { InputError } from '../../src/model/errors.ts';
import { readConfig } from '../../src/model/families/read-config.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { type LoadedModel, loadModel, unreadTensors, weightSpecs } from '../../src/model/load-model.ts';
import { dryModel } from '../../src/model/plan/dry-run.ts';
import { priceWeights, storedFormat } from '../../src/model/plan/price.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { chosenFormat, type WeightsChoice } from '../../src/model/weight-formats.ts';
import type { Folder } from '../../src/platform/types.ts';
import { MemoryFolder } from '../checkpoint/memory-folder.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { nmse, relativeError } from '../kernels/check.ts';
import { open } from './subject.ts';

const gpu = useGpu();

/** The same checkpoint in f32, with the numbers that the GPU keeps of it; and how much of each matrix is lost (NMSE). */
async function dequantised(folder: Folder, choice: WeightsChoice): Promise<{ folder: Folder; lost: number[] }> {
  const checkpoint = await openCheckpoint(folder);
  const { config } = await readConfig(folder);
  const specs = weightSpecs(config);
  const options = { ...unreadTensors(config), formatOf: chosenFormat(choice) };
  const kept = await loadTensors(gpu(), checkpoint, specs, options);
  const tensors = [];
  const lost: number[] = [];
  for (const tensor of checkpoint.tensors.values()) {
    let values = decodeFloats(tensor, await folder.read(tensor.file, tensor.start, tensor.end));
    const spec = specs.find(({ name }) => name === tensor.canonical);
    const weight = spec?.role === 'matrix' ? kept.matrix(spec.name) : undefined;
    if (weight && weight.format !== storedFormats[tensor.dtype]) {
      const rec = gpu().record('read weights');
      const reads = weight.parts.map(({ buffers }) => buffers.map((buffer) => rec.read(buffer)));
      await rec.submit();
      const before = values;
      values = Float32Array.from(
        weight.parts.flatMap(({ format, shape }, i) => [
          ...format.unpack(
            reads[i].map(({ bytes }) => bytes!),
            shape,
          ),
        ]),
      );
      lost.push(nmse(values, before));
    }
    tensors.push(tensorOf(tensor.name, tensor.shape, values));
  }
  kept.destroy();
  const file = writeSafetensors(tensors);
  return {
    folder: new MemoryFolder({ 'config.json': await folder.read('config.json'), 'model.safetensors': file }),
    lost,
  };
}

describe('tiny-llava', () => {
  let input: ModelInput;
  let plain: LoadedModel;
  let folder: Folder;
  beforeAll(async () => {
    folder = await openFolder('weights/tiny-llava');
    plain = await loadModel(folder, { gpu: gpu() });
    const shown = await VisionLanguageModel.load(folder, { gpu: gpu() });
    const image = new Uint8Array(readFileSync('test/fixtures/images/scene.png'));
    input = await shown.input({ images: [image], prompt: 'What is in the image?' });
    shown.destroy();
  });
  afterAll(() => plain?.destroy());

  it.each<WeightsChoice>(['q8', 'q4', { decoder: 'q4', tower: 'q4' }])(
    'as %j computes what the dequantised weights do',
    async (weights) => {
      const other = await dequantised(folder, weights);
      expect(other.lost.length).toBeGreaterThan(50);
      // Normal numbers would lose 2e-5 and 6e-3 of their square.
      for (const share of other.lost) expect(share).toBeLessThan(weights === 'q8' ? 5e-5 : 1.2e-2);
      const [kept, wanted] = [
        await loadModel(folder, { gpu: gpu(), weights }),
        await loadModel(other.folder, { gpu: gpu() }),
      ];
      const namesFilter = ['blocks.*.attn.hook_z', 'blocks.*.attn.hook_result', 'vision.*.hook_resid_post', 'logits'];
      const [a, b, c] = [
        await kept.model.runWithCache(input, { namesFilter }),
        await wanted.model.runWithCache(input, { namesFilter }),
        await plain.model.runWithCache(input, { namesFilter }),
      ];
      for (const [key, { data }] of b) {
        expect(relativeError(a.at(key).data, data), key).toBeLessThan(1e-4);
      }
      expect(relativeError(a.logits.data, c.logits.data)).toBeGreaterThan(1e-3);
      const [x, y] = [await kept.model.headVectorsAtEnd([input]), await wanted.model.headVectorsAtEnd([input])];
      expect(relativeError(x[0], y[0])).toBeLessThan(1e-4);
      kept.destroy();
      wanted.destroy();
    },
  );

  it('takes the bytes that its price says', async () => {
    const { config } = await readConfig(folder);
    const checkpoint = await openCheckpoint(folder);
    for (const weights of ['q8', 'q4'] as const) {
      const loaded = await loadModel(folder, { gpu: gpu(), weights });
      const { decoder } = loaded.model.weights;
      const real = [...decoder.blocks.map(({ up }) => up.weight), decoder.embed, decoder.lmHead].map((weight) =>
        buffersOf(weight).map(({ dtype, shape }) => [dtype, ...shape]),
      );
      const dry = dryModel(config, storedFormat(checkpoint), gpu().capabilities, weights).weights.decoder;
      expect(
        [...dry.blocks.map(({ up }) => up.weight), dry.embed, dry.lmHead].map((weight) =>
          buffersOf(weight).map(({ dtype, shape }) => [dtype, ...shape]),
        ),
      ).toEqual(real);
      const price = priceWeights(config, storedFormat(checkpoint), undefined, weights);
      expect(price.gpuBytes).toBeLessThan(price.storedBytes);
      loaded.destroy();
    }
  });

  it('is told apart by its precision, and refuses formats and parts that there are not', async () => {
    const load = (weights?: WeightsChoice) => VisionLanguageModel.load('tiny-llava', { gpu: gpu(), weights });
    const models = [await load(), await load('q8'), await load('q4'), await load({ decoder: 'q4' })];
    expect(models.map(({ precision }) => precision)).toEqual([
      undefined,
      'decoder=q8,embeddings=q8,head=q8,projector=q8,tower=q8',
      'decoder=q4,embeddings=q8,head=q8,projector=q8,tower=q8',
      'decoder=q4',
    ]);
    expect(new Set(models.map(({ modelId }) => modelId)).size).toBe(1);
    expect(models[2].with({ edits: [] }).precision).toBe(models[2].precision);
    for (const model of models) model.destroy();
    await expect(load('q5' as WeightsChoice)).rejects.toThrow(
      'weights: no format q5; there are f32, f16, bf16, q8, q4',
    );
    await expect(load({ heads: 'q8' } as WeightsChoice)).rejects.toThrow(InputError);
  });
});

it('stays as it is stored where rows are not of whole groups of 32', async () => {
  const { loaded, input } = await open(gpu(), 'families/onevision-f32', 'scene');
  const kept = await loadModel(await openFolder(fixturePath('families/onevision-f32')), { gpu: gpu(), weights: 'q4' });
  const [a, b] = [await kept.model.headVectorsAtEnd([input]), await loaded.model.headVectorsAtEnd([input])];
  expect(a).toEqual(b);
  kept.destroy();
  loaded.destroy();
});
