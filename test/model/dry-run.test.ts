import { expect, it } from 'vitest';
import { openFolder } from '#platform';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { loadTensors } from '../../src/checkpoint/load.ts';
import { DryGpu } from '../../src/gpu/dry-gpu.ts';
import { bf16 } from '../../src/gpu/formats/bf16.ts';
import { type FormatName, formats } from '../../src/gpu/formats/index.ts';
import { openGpu } from '../../src/gpu/gpu.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import type { Edit } from '../../src/model/interventions/edits.ts';
import { KvCache } from '../../src/model/layers/kv-cache.ts';
import { weightSpecs } from '../../src/model/load-model.ts';
import { Model } from '../../src/model/model.ts';
import { dryModel } from '../../src/model/plan/dry-run.ts';
import { priceWeights } from '../../src/model/plan/price.ts';
import { modelWeights } from '../../src/model/run/forward.ts';
import { fixturePath, modelInput, readJsonFixture, readTensors } from '../fixtures.ts';
import { sharedDevice } from '../gpu.ts';

/** Edits that take other kernels than a run without them, or further ones. */
const taken: Edit[] = ['pattern', 'result', 'scale'].map((hook) => ({ at: `*.hook_${hook}`, scale: 1 }));

it.each<[string, FormatName, Edit[]]>([
  ['checkpoints/llava-bf16', 'bf16', []],
  ['families/onevision-f32', 'f32', []],
  ['families/onevision-f32', 'f32', taken],
  ['families/qwen2_5-vl-f32', 'f32', []],
])('%s in %s takes on a GPU what its dry run says, with the edits %j', async (name, dtype, edits) => {
  const { whole } = readJsonFixture<{ whole: string }>(`${name}/expected.json`);
  const tensors = [...readTensors(`${name}/expected.safetensors`)];
  const ofWhole = tensors.filter(([key]) => key.startsWith(`${whole}/`));
  const input = modelInput(new Map(ofWhole.map(([key, t]) => [key.slice(whole.length + 1), t])));
  const config = parseConfig(readJsonFixture(`${name}/config.json`));
  // Without the buffers of other runs, whose bytes would count.
  const gpu = await openGpu({ device: await sharedDevice() });
  try {
    const checkpoint = await openCheckpoint(await openFolder(fixturePath(name)));
    const loaded = await loadTensors(gpu, checkpoint, weightSpecs(config), { visionLayers: 0 });
    expect(priceWeights(config, () => formats[dtype]).gpuBytes).toBe(loaded.bytes);

    const real = new Model({ gpu, config, weights: modelWeights(config, loaded) });
    const dry = dryModel(config, formats[dtype], gpu.capabilities);
    const cacheFor = (model: Model) => new KvCache(model.gpu, config.text, { capacity: input.inputIds.length });
    await real.with({ edits }).step([input], { cache: cacheFor(real) });
    expect(dry.with({ edits }).recorded([input], {}, cacheFor(dry)).price()).toBe(gpu.pool.bytes);
  } finally {
    gpu.dispose();
  }
});

it('results above 1 GiB are refused unless somebody asks for as much', async () => {
  const config = parseConfig(readJsonFixture('geometries/Qwen--Qwen2-7B-Instruct.json'));
  const { nLayers, nHeads } = config.text;
  const model = dryModel(config, bf16);
  const pattern = { namesFilter: '*.hook_pattern' };
  const length = (bytes: number) => Math.floor(Math.sqrt(bytes / (4 * nLayers * nHeads)));
  const run = (count: number, bound = {}) =>
    model.with(bound).runWithCache({ inputIds: new Int32Array(count), visuals: [] }, pattern);
  const most = length(2 ** 30);
  await expect(run(most + 1)).rejects.toThrow(
    /bytes, more than 1073741824 \(blocks\.\*\.attn\.hook_pattern 1080 MB\): ask for fewer names/,
  );
  const submitted = 'a dry run has no device';
  await expect(run(most)).rejects.toThrow(submitted);
  await expect(run(most + 1, { maxResultBytes: 2 ** 31 })).rejects.toThrow(submitted);
});

it('a dry run cannot be submitted', async () => {
  const gpu = new DryGpu();
  const rec = gpu.record('dry');
  rec.read(rec.input('x', 'f32', [4], new Float32Array(4)));
  await expect(rec.submit()).rejects.toThrow('a dry run has no device: it can be recorded and priced, not submitted');
});
