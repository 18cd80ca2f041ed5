import { expect, it } from 'vitest';
import { openFolder } from '#platform';
import { openGpu } from '../../src/gpu/gpu.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';

it('a load tells its parts, and a warm-up compiles all that head vectors need, and runs nothing', async () => {
  const gpu = await openGpu(); // a device that has compiled nothing
  const parts: string[] = [];
  const model = await VisionLanguageModel.load(await openFolder(fixturePath('checkpoints/llava-f16')), {
    gpu,
    onProgress: (done, total, part) => parts.push(`${part} ${done === total}`),
  });
  expect([parts[0], parts.at(-1)]).toEqual(['settings true', 'weights true']);
  expect(parts).toContain('weights false');

  const prompt = { prompt: 'What?', images: [{ width: 9, height: 7, data: new Uint8Array(3 * 9 * 7) }] };
  const stop = AbortSignal.abort(new Error('no more'));
  await expect(model.warmUp(prompt, { signal: stop })).rejects.toThrow('no more');
  const controller = new AbortController();
  const started = performance.now();
  const ended = model.warmUp(prompt, { signal: controller.signal, onProgress: () => controller.abort() });
  await expect(ended).rejects.toThrow('aborted');
  expect(performance.now() - started).toBeLessThan(500);

  let submitted = 0;
  const { queue } = gpu.device;
  const submit = queue.submit.bind(queue);
  queue.submit = (commands) => {
    submitted++;
    return submit(commands);
  };
  const told: [number, number][] = [];
  await model.warmUp(prompt, { onProgress: (done, total) => told.push([done, total]) });
  expect(submitted).toBe(0);
  const kernels = told[0][1];
  expect(kernels).toBeGreaterThan(10);
  expect(told).toEqual(Array.from({ length: kernels + 1 }, (_, done) => [done, kernels]));
  const { compiled } = gpu.pipelines;
  expect(compiled).toBeGreaterThanOrEqual(kernels);
  await model.headVectors(prompt);
  expect(submitted).toBeGreaterThan(0);
  expect(gpu.pipelines.compiled).toBe(compiled);
  model.destroy();
  gpu.dispose();
});
