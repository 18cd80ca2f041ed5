// What the page's worker finds inside the model: all of it from one run, and what the library finds.
import { readFileSync } from 'node:fs';
import { expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import { attentionMaps } from '../../src/analysis/attention-map.ts';
import { logitLens } from '../../src/analysis/logit-lens.ts';
import type { Recorder } from '../../src/gpu/recorder.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { Inside } from '../../web/src/worker/inside.ts';
import type { WrittenToken } from '../../web/src/worker/work.ts';
import { fixturePath } from '../fixtures.ts';
import { useGpu } from '../gpu.ts';

const gpu = useGpu();
const unchanged = { scales: [], freezeNorms: false };

/** Whether a run has the tower in it. */
const isOfTower = (rec: Recorder) => rec.recorded.some(({ label }) => label.startsWith('vision.'));

const near = (a: ArrayLike<number>, b: ArrayLike<number>, digits = 5) => {
  expect(a.length).toBe(b.length);
  for (let i = 0; i < a.length; i++) expect(a[i]).toBeCloseTo(b[i], digits);
};

it('one run gives maps, words, lens and votes; only what is changed runs again', async () => {
  const model = await VisionLanguageModel.load(await openFolder(fixturePath('checkpoints/llava-f32')), { gpu: gpu() });
  const bytes = readFileSync('test/fixtures/images/scene.png');
  const question = 'What is this?';
  const input = await model.input({ images: [bytes], prompt: question });
  const heads = [0, 1, 2].map((head) => ({ layer: head % 2, head }));
  const { maps } = await attentionMaps(model, input, { heads });
  const lens = await logitLens(model, input, { k: 5 });
  const vectors = await model.headVectors(input);

  const record = vi.spyOn(gpu(), 'record');
  const forwards = () => record.mock.calls.filter(([label]) => label === 'forward').length;
  const inside = await Inside.open(model, { name: 'scene.png', file: new Blob([bytes]) }, question);
  for (const [i, head] of heads.entries()) {
    const { grids, share, promoted } = await inside.look(head);
    for (const [g, { values }] of grids.entries()) near(values, maps[i].grids[g]);
    expect(share).toBeCloseTo(maps[i].share, 5);
    expect(promoted).toHaveLength(6);
    expect(grids[0].area).toBeDefined();
  }
  const rows = await inside.lens();
  expect(rows.map(({ layer }) => layer)).toEqual(lens.map(({ layer }) => layer));
  for (const [l, { top }] of rows.entries())
    near(
      top.map(({ probability }) => probability),
      lens[l].top.map(({ probability }) => probability),
    );
  const whole = await inside.outcome(unchanged, undefined);
  near(whole.vectors, vectors);
  expect(forwards()).toBe(1);
  const tower = () => record.mock.results.filter(({ value }) => isOfTower(value)).length;
  expect(tower()).toBe(1);

  const cut = { scales: [{ layer: 0, head: 1, scale: 0 }], freezeNorms: false };
  const changed = await inside.outcome(cut, undefined);
  expect(forwards()).toBe(2);
  expect(changed.next).not.toEqual(whole.next);
  const frozen = await inside.outcome({ ...cut, freezeNorms: true }, undefined);
  expect(frozen.next).not.toEqual(changed.next);
  // Norms that are held at what they are change nothing.
  near((await inside.outcome({ ...unchanged, freezeNorms: true }, undefined)).vectors, vectors, 4);

  const tokens: WrittenToken[] = [];
  const { signal } = new AbortController();
  const [head] = heads;
  await inside.write(head, unchanged, undefined, { signal, onToken: (token) => tokens.push(token) });
  expect(tokens.length).toBeGreaterThan(2);
  // The second token is chosen from where the first one stands.
  const ids: number[] = [];
  for await (const _ of model.generate(input, { maxNewTokens: 2, onToken: (id) => ids.push(id) }));
  const longer = { ...input, inputIds: [...Array.from(input.inputIds), ids[0]] };
  for (const [t, asked] of [input, longer].entries()) {
    const expected = (await attentionMaps(model, asked, { heads: [head] })).maps[0];
    near(tokens[t].grids[0].values, expected.grids[0], 3);
  }
  const stop = new AbortController();
  const stopped = inside.write(head, unchanged, undefined, { signal: stop.signal, onToken: () => stop.abort() });
  await expect(stopped).rejects.toThrow('aborted');
  expect(tower()).toBe(4); // and three of the library’s own, to compare with
  inside.close();
  model.destroy();
});
