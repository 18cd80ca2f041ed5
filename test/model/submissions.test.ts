// A run that takes several submissions computes what one in a single submission does, bit for bit, whatever their size.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { openFolder } from '#platform';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { useGpu } from '../gpu.ts';
import { bits, open } from './subject.ts';

const gpu = useGpu();

/** Does something with submissions of so many commands. */
async function inPieces<T>(commands: number, run: () => Promise<T>): Promise<{ found: T; submissions: number }> {
  const pace = vi
    .spyOn(gpu().pace, 'next')
    .mockImplementation((all, start) => ({ end: Math.min(all.length, start + commands), work: 1 }));
  const submit = vi.spyOn(gpu().device.queue, 'submit');
  try {
    return { found: await run(), submissions: submit.mock.calls.length };
  } finally {
    pace.mockRestore();
    submit.mockRestore();
  }
}

describe.each([
  ['checkpoints/llava-f32', 'pair'],
  ['families/qwen2_5-vl-f32', 'wide'],
])('all activations of %s', (checkpoint, name) => {
  it('are the same in many submissions', async () => {
    const { loaded, input } = await open(gpu(), checkpoint, name);
    const run = async () => {
      const all = await loaded.model.runWithCache(input);
      return [...all].map(([hook, { data }]) => [hook, bits(data)] as const);
    };
    const whole = await inPieces(Number.POSITIVE_INFINITY, run);
    expect(whole.submissions).toBe(1);
    for (const commands of [5, 29]) {
      const { found, submissions } = await inPieces(commands, run);
      expect(submissions).toBeGreaterThan(100 / commands);
      expect(found).toEqual(whole.found);
    }
    loaded.destroy();
  });
});

describe('tiny-llava', () => {
  const checkpoint = 'weights/tiny-llava';
  let model: VisionLanguageModel;
  let images: Uint8Array[];
  beforeAll(async () => {
    model = await VisionLanguageModel.load(await openFolder(checkpoint), { gpu: gpu() });
    images = ['000', '001'].map((n) => readFileSync(`${checkpoint}/tasks/images/warm-cool/test-${n}.png`));
  });
  afterAll(() => model?.destroy());

  it('gives the same head vectors and label scores of a batch, and generates the same', async () => {
    const run = async () => {
      const shown = images.map((image) => ({ images: [image], prompt: 'What color is the object?' }));
      const vectors = await model.headVectorsOf(shown);
      const answers = await model.answers(shown, { maxNewTokens: 1, labels: ['red'] });
      let text = '';
      const input = await model.input(shown[0]);
      for await (const piece of model.generate(input, { maxNewTokens: 3, temperature: 1, seed: 3 })) text += piece;
      return [vectors.map(bits), answers, text];
    };
    const whole = await inPieces(Number.POSITIVE_INFINITY, run);
    const { found, submissions } = await inPieces(13, run);
    expect(submissions).toBeGreaterThan(3 * whole.submissions);
    expect(found).toEqual(whole.found);
  });

  it('ends within a run when its signal is aborted, and tells how far it is', async () => {
    const input = await model.input({ images: [images[0]], prompt: 'What color is the object?' });
    const controller = new AbortController();
    const told: number[] = [];
    const bound = model.with({
      signal: controller.signal,
      onProgress(done, total) {
        told.push(done / total);
        if (told.length === 2) controller.abort(new Error('enough'));
      },
    });
    const run = () => bound.runWithCache(input, { namesFilter: 'logits', posSlice: -1 });
    const { submissions } = await inPieces(10, () => expect(run()).rejects.toThrow(/^enough$/));
    expect(submissions).toBeLessThan(5);
    expect(told).toHaveLength(2);
    expect(0 < told[0] && told[0] < told[1] && told[1] < 1).toBe(true);
    await model.runWithCache(input, { namesFilter: 'logits', posSlice: -1 });
  });
});
