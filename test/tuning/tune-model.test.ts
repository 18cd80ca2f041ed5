import { afterAll, beforeAll, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { openGpu } from '../../src/gpu/gpu.ts';
import { type LoadedModel, loadModel } from '../../src/model/load-model.ts';
import { tuneModel } from '../../src/tuning/tune-model.ts';
import { fixturePath } from '../fixtures.ts';
import { sharedDevice } from '../gpu.ts';

/** Of a shape that the prompt does not have. */
const other = { matmul: { 'rows up to 4096, n 40, k 28, format f32': 'tile 8x4' } };
const input = { inputIds: [1, 2], visuals: [] };
let loaded: LoadedModel;
beforeAll(async () => {
  const gpu = await openGpu({ device: await sharedDevice(), tuning: other });
  loaded = await loadModel(await openFolder(fixturePath('families/llama-text-f32')), { gpu });
});
afterAll(() => {
  loaded?.destroy();
  loaded?.model.gpu.dispose();
});

it('times what the model runs for a prompt and the token after it, and keeps what it had for other shapes', async () => {
  const said: string[] = [];
  const { shapes, choices } = await tuneModel(loaded.model, input, {
    rounds: 1,
    onProgress: (line) => said.push(line),
  });
  const named = shapes.map(({ op, shape }) => `${op} ${shape}`);
  const { vocabSize, dModel } = loaded.model.config.text;
  for (const shape of [
    `matmul rows up to 2, n 34, k ${dModel}, format f32`, // the MLP of the prompt
    `matmul rows up to 1, n ${vocabSize}, k ${dModel}, format f32`, // the logits of its last token
  ])
    expect(named).toContain(shape);
  expect(named.filter((name) => name.startsWith('attention queries up to 1,'))).toHaveLength(1);
  const kept = shapes.filter((each) => each.kept).map(({ op, shape }) => `${op} ${shape}`);
  const chosen = Object.entries(choices).flatMap(([op, byShape]) =>
    Object.keys(byShape).map((shape) => `${op} ${shape}`),
  );
  expect(chosen.sort()).toEqual([...kept, `matmul ${Object.keys(other.matmul)[0]}`].sort());
  expect(said.length).toBeGreaterThanOrEqual(shapes.length);
  expect(loaded.model.gpu.tuning.choices).toEqual(other);
});

it('ends with the signal, and names a misspelt option', async () => {
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(tuneModel(loaded.model, input, { signal })).rejects.toThrow('enough');
  await expect(tuneModel(loaded.model, input, { round: 1 } as never)).rejects.toThrow('did you mean rounds?');
});
