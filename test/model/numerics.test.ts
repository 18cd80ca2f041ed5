import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeImage, openFolder } from '#platform';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { sha256Hex } from '../../src/checkpoint/sha256.ts';
import { guaranteed } from '../../src/gpu/dry-gpu.ts';
import { listKernels } from '../../src/kernels/custom/listing.ts';
import { requireJson } from '../../src/model/config/json.ts';
import { parseConfig } from '../../src/model/families/index.ts';
import { numericsVersion } from '../../src/model/numerics.ts';
import { dryModel, recordStep } from '../../src/model/plan/dry-run.ts';
import { storedFormat } from '../../src/model/plan/price.ts';
import { fixturePath, loadProcessor } from '../fixtures.ts';
import { frames, picture } from './processor/pictures.ts';

const checkpoints = [
  'checkpoints/llava-f32',
  'families/next-qwen2-bf16',
  'families/onevision-f16',
  'families/qwen2-vl-f32',
  'families/qwen2_5-vl-f16',
];
const files = ['grey-16bit.png', 'palette-transparent.png', 'odd-37x53.png', 'strip-50x2.png'];
const adapters = [
  guaranteed,
  { ...guaranteed, subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 32, shaderF16: true },
];

const hashOf = (...values: readonly (string | ArrayLike<number>)[]) =>
  sha256Hex(values.map((value) => (typeof value === 'string' ? value : Array.from(value).join())).join('\n'));

// PNG and our own resampling are the same on every machine, JPEG is not.
describe(`what numericsVersion ${numericsVersion} stands for`, () => {
  it.each(checkpoints)('%s', async (name) => {
    const folder = await openFolder(fixturePath(name));
    const processor = await loadProcessor(folder);
    const pictures = [picture(37, 53), picture(90, 41, 1)];
    for (const file of files) pictures.push(await decodeImage(readFileSync(fixturePath(`images/${file}`)), file));
    const inputs = pictures.map((image) =>
      processor.prepare({ prompt: processor.chat(1, 'What is shown?'), images: [image] }),
    );
    if (processor.video)
      inputs.push(
        processor.prepare({
          prompt: processor.chat([{ type: 'video' }, { type: 'text', text: 'What?' }]),
          videos: [{ frames: frames(44, 30, 4), fps: 2 }],
        }),
      );
    const prepared = inputs.flatMap(({ inputIds, visuals }) => [
      inputIds,
      ...visuals.flatMap(({ pixels, shape }) => [
        shape,
        new Uint32Array(pixels.buffer, pixels.byteOffset, pixels.length),
      ]),
    ]);

    const config = parseConfig(await requireJson(folder, 'config.json'), name);
    const format = storedFormat(await openCheckpoint(folder));
    const texts = adapters.flatMap((adapter) => {
      const model = dryModel(config, format, adapter);
      const runs = [model.dispatches(inputs[0], { namesFilter: 'logits' }), recordStep(model, 20).recorded];
      return runs.flatMap((run) => [...listKernels(run).files.values()]);
    });
    const kernels = texts.map((text) => text.replaceAll(/\/\/.*/g, '').replaceAll(/\s+/g, ' '));

    const found = { version: numericsVersion, input: await hashOf(...prepared), kernels: await hashOf(...kernels) };
    await expect(
      `${JSON.stringify(found, undefined, 2)}\n`,
      'input or kernels are not what this numericsVersion stands for. If numbers changed (and not only texts), raise numericsVersion in src/model/numerics.ts: else caches and classifiers answer with the old ones. Then run vitest with -u',
    ).toMatchFileSnapshot(fixturePath(`numerics/${name.split('/')[1]}.json`));
  });
});
