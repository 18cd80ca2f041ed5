// Quantised models against Hugging Face's transformers on the dequantised weights (test/reference/make_quantised.py), whose rounding
// is written in Python: rule, packing, scales and kernels have to agree with it.
import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { openCheckpoint } from '../../src/checkpoint/checkpoint-files.ts';
import { readConfig } from '../../src/model/families/read-config.ts';
import { loadModel } from '../../src/model/load-model.ts';
import { priceWeights, storedFormat } from '../../src/model/plan/price.ts';
import type { WeightsChoice } from '../../src/model/weight-formats.ts';
import { fixturePath, modelInput, readJsonFixture, readTensors } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

interface ExpectedRun {
  /** As the oracle rounded them, and as the model is loaded. */
  weights: WeightsChoice;
  inputs: Record<string, { visuals: string[] }>;
}

const isInput = (name: string) => /^(input_ids|pixel_values|image_|position_ids)/.test(name);

const gpu = useGpu();
/** As f32's (parity.test.ts): both compute with the same numbers. */
const tolerance = 1e-4;

describe.each(readdirSync(fixturePath('quantised')))('%s', (name) => {
  const { weights, inputs } = readJsonFixture<ExpectedRun>(`quantised/${name}/expected.json`);
  const tensors = readTensors(`quantised/${name}/expected.safetensors`);

  it.each(Object.entries(inputs))(
    'activations of "%s" equal HF’s on the dequantised weights',
    async (given, { visuals }) => {
      const folder = await openFolder(fixturePath(`quantised/${name}`));
      const { model, destroy } = await loadModel(folder, { gpu: gpu(), weights });
      const values = new Map(
        [...tensors].filter(([key]) => key.startsWith(`${given}/`)).map(([key, t]) => [key.slice(given.length + 1), t]),
      );
      const names = [...values.keys()].filter((key) => !isInput(key));
      const hooks = names.map((key) => (key === 'last_logits' ? 'logits' : key));
      const cache = await model.runWithCache(modelInput(values, visuals), { namesFilter: hooks });
      destroy();
      const errors = names.map((key, i) => {
        const found = key === 'last_logits' ? cache.at('logits').at(-1) : cache.at(hooks[i]);
        expect(found.shape, key).toEqual(values.get(key)!.shape);
        return [key, relativeError(found.data, values.get(key)!.data)] as const;
      });
      const worst = errors.reduce((a, b) => (b[1] > a[1] ? b : a));
      console.log(`${name} ${given}: ${names.length} activations, worst ${worst[1].toExponential(1)} (${worst[0]})`);
      expect(errors.filter(([, error]) => !(error <= tolerance))).toEqual([]);
    },
  );

  it('has matrices of every chosen format', async () => {
    const folder = await openFolder(fixturePath(`quantised/${name}`));
    const { config } = await readConfig(folder);
    const price = priceWeights(config, storedFormat(await openCheckpoint(folder)), undefined, weights);
    const formats = price.tensors.map(({ format }) => format.name);
    for (const format of new Set(Object.values(weights))) expect(formats).toContain(format);
    expect(formats.filter((format) => /^q\d$/.test(format)).length).toBeGreaterThan(13);
  });
});
