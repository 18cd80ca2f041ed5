import { describe, expect, it } from 'vitest';
import { openFolder } from '#platform';
import { DeviceLostError } from '../../src/gpu/errors.ts';
import { type Gpu, openGpu } from '../../src/gpu/gpu.ts';
import { Profiler } from '../../src/gpu/profiler.ts';
import { VisionLanguageModel } from '../../src/model/vision-language-model.ts';
import { fixturePath } from '../fixtures.ts';

/** Loads a small model of texts and runs it, in many submissions, with timestamps. */
async function run(gpu: Gpu): Promise<void> {
  const folder = await openFolder(fixturePath('families/llama-text-f32'));
  const model = await VisionLanguageModel.load(folder, { gpu });
  await model.with({ profiler: new Profiler(gpu) }).headVectors({ prompt: 'What?' });
}

/** A device that tells of its loss when all has long failed, as browsers do after a crash. */
async function lateDevice(): Promise<GPUDevice> {
  const { device } = await openGpu();
  const lost = device.lost.then(async (info) => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    return info;
  });
  Object.defineProperty(device, 'lost', { value: lost });
  return device;
}

/** What a run throws whose device is lost after so many calls of a method; and how many calls there were. */
async function loseAt(owner: 'device' | 'queue', method: string, at: number) {
  const device = await lateDevice();
  const gpu = await openGpu({ device, submissionMs: 1e-6 });
  const asked = (owner === 'queue' ? device.queue : device) as unknown as Record<string, (...of: unknown[]) => unknown>;
  const own = asked[method].bind(asked);
  let calls = 0;
  asked[method] = (...args) => {
    const result = own(...args);
    if (calls++ === at) device.destroy();
    return result;
  };
  const error = await run(gpu).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  device.destroy();
  return { calls, error, lost: await gpu.lost };
}

describe('a lost device', () => {
  it.each([
    ['device', 'createComputePipelineAsync'],
    ['device', 'popErrorScope'],
    ['queue', 'submit'],
    ['queue', 'onSubmittedWorkDone'],
  ] as const)('is a DeviceLostError, though its loss is told last: %s.%s', async (owner, method) => {
    const first = await loseAt(owner, method, 0);
    const { calls, ...whole } = await loseAt(owner, method, Number.POSITIVE_INFINITY);
    expect(whole.error).toBeUndefined();
    const last = await loseAt(owner, method, calls - 1);
    for (const { error, lost } of [first, last]) {
      expect(error).toBeInstanceOf(DeviceLostError);
      expect(error).toBe(lost);
    }
  });
});
