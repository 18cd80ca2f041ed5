// Kernels of the user's own in a whole model: extras under hook names, labels, batches, generation, errors before anything runs.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import entropy from '../../docs/examples/kernels/entropy.ts';
import { slidingWindow } from '../../docs/examples/kernels/sliding-window.ts';
import { temperatureSoftmax } from '../../docs/examples/kernels/temperature-softmax.ts';
import type { AttentionKernel, Kernels } from '../../src/kernels/custom/kernels.ts';
import type { ModelInput } from '../../src/model/input.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { useGpu } from '../gpu.ts';
import { relativeError } from '../kernels/check.ts';

const gpu = useGpu();
const checkpoint = 'weights/tiny-llava';
let model: VisionLanguageModel;
let input: ModelInput;
beforeAll(async () => {
  model = await VisionLanguageModel.load(await openFolder(checkpoint), { gpu: gpu() });
  const row = JSON.parse(readFileSync(`${checkpoint}/tasks/novel-words.test.jsonl`, 'utf8').split('\n')[0]);
  const images = [new Uint8Array(readFileSync(`${checkpoint}/tasks/${row.image}`))];
  input = await model.input({ images, prompt: 'What is in the image?' });
});
const mine = entropy.attention as AttentionKernel;

describe('extras', () => {
  it('come back under hook names, with the shape of their rows, and change nothing', async () => {
    const vision = 'vision.blocks.1.attn.hook';
    const names = ['blocks.2.attn.hook_entropy', `${vision}_entropy`, 'blocks.2.attn.hook_z', `${vision}_z`];
    const all = await model.runWithCache(input, { kernels: entropy, namesFilter: names });
    const length = input.inputIds.length;
    expect(all.get(names[0])!.shape).toEqual([length, 8]);
    expect(all.get(names[1])!.shape).toEqual(all.get(names[3])!.shape.slice(0, -1));
    const ours = await model.runWithCache(input, { namesFilter: names[2] });
    expect(relativeError(all.get(names[2])!.data, ours.get(names[2])!.data)).toBeLessThan(1e-5);
    const some = await model.runWithCache(input, { kernels: entropy, namesFilter: names[0], posSlice: [5, 9] });
    expect(some.get(names[0])!.shape).toEqual([4, 8]);
    // a run that ends with these heads computes the wanted queries alone
    expect(relativeError(some.get(names[0])!.data, all.get(names[0])!.data.subarray(40, 72))).toBeLessThan(1e-5);
  });

  it('exist only where the kernel runs', async () => {
    const kernels: Kernels = { attention: { ...mine, labels: 'blocks.1.*' } };
    const namesFilter = 'blocks.*.attn.hook_entropy';
    expect([...(await model.runWithCache(input, { kernels, namesFilter })).keys()]).toEqual([
      'blocks.1.attn.hook_entropy',
    ]);
    const run = model.runWithCache(input, { kernels, namesFilter: 'blocks.2.attn.hook_entropy' });
    await expect(run).rejects.toThrow('no hook point is named "blocks.2.attn.hook_entropy"');
    await expect(model.runWithCache(input, { namesFilter })).rejects.toThrow('no hook point is named');
  });

  it('may not have the name of a hook point', async () => {
    const kernels: Kernels = { attention: { ...mine, extras: { pattern: () => [1] } } };
    const run = model.runWithCache(input, { kernels, namesFilter: 'blocks.0.attn.hook_z' });
    await expect(run).rejects.toThrow(
      /blocks\.0\.attn\.hook_pattern is a hook point of the model|vision\..*hook_pattern/,
    );
  });
});

describe('a run with kernels', () => {
  it('refuses one that takes no place in it', async () => {
    const run = model.runWithCache(input, {
      kernels: slidingWindow(4, 'block.2.*'),
      namesFilter: 'blocks.0.attn.hook_z',
    });
    await expect(run).rejects.toThrow(
      'the kernel sliding-window.wgsl took no place in this run: no dispatch has a label like block.2.*',
    );
  });

  it('refuses edits that would leave one out', async () => {
    const mine = { name: 'mine.wgsl', wgsl: '@compute fn main() {}' };
    for (const [op, hook] of [
      ['attention', 'attn.hook_attn_scores'],
      ['attention', 'attn.hook_pattern'],
      ['matmul', 'attn.hook_result'],
      ['rmsNorm', 'ln1.hook_scale'],
    ]) {
      const run = (labels: string) => {
        const edits = [{ at: `blocks.1.${hook}`, scale: 1 }];
        return model.model.dispatches(input, { kernels: { [op]: { ...mine, labels } }, edits, namesFilter: 'logits' });
      };
      expect(() => run('blocks.1.*'), hook).toThrow(`edit of blocks.1.${hook}: it takes blocks.1.`);
      expect(() => run('blocks.2.*'), hook).not.toThrow();
    }
  });

  it('does not start when one does not compile', async () => {
    const before = gpu().pool.bytes;
    const kernels: Kernels = { matmul: { name: 'mm.wgsl', wgsl: '\n\n@compute fn main() { foo(); }' } };
    const run = model.runWithCache(input, { kernels, namesFilter: 'logits' });
    await expect(run).rejects.toThrow(/^matmul kernel mm\.wgsl:3:\d+: /);
    expect(gpu().pool.bytes).toBe(before);
  });

  it('generates with them, in the prompt and in every step', async () => {
    const text = async (kernels?: Kernels) => {
      let all = '';
      for await (const piece of model.generate(input, { maxNewTokens: 8, kernels })) all += piece;
      return all;
    };
    const ours = await text();
    expect(await text(temperatureSoftmax(() => 1))).toBe(ours);
    expect(await text(temperatureSoftmax(() => 20))).not.toBe(ours);
    const queries = new Set<unknown>();
    const { attention } = temperatureSoftmax(() => 1) as { attention: AttentionKernel };
    const wgsl: AttentionKernel['wgsl'] = ({ sizes }) => {
      queries.add(sizes!.queries);
      return attention.wgsl as string;
    };
    await text({ attention: { ...attention, wgsl } });
    expect([...queries]).toEqual([input.inputIds.length, 1]);
  });
});

describe('dispatches', () => {
  it('lists what a run would do, and runs nothing', async () => {
    const { submit } = gpu().device.queue;
    let submissions = 0;
    gpu().device.queue.submit = (...args) => {
      submissions++;
      return submit.apply(gpu().device.queue, args);
    };
    const list = model.model.dispatches(input, { kernels: slidingWindow(4, 'blocks.2.*'), namesFilter: 'logits' });
    expect(submissions).toBe(0);
    delete (gpu().device.queue as { submit?: unknown }).submit;
    const attention = list.filter(({ label }) => /^blocks\.\d\.attn\.z$/.test(label)).map(({ kernel }) => kernel);
    expect(attention[2]).toBe('attention sliding-window.wgsl');
    expect(attention.filter((kernel) => kernel.startsWith('attention.'))).toHaveLength(5);
  });
});
