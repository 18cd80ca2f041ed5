// Runs a recording: memory, pipelines, one submission, read-backs.
import { debugLevel, waitForGpu } from '#platform';
import { takeBestFit } from './buffer-pool.ts';
import { debugPrint, submitOneByOne } from './debug.ts';
import type { Dispatch } from './dispatch.ts';
import { type Encoding, encodeCommands, paramsOf } from './encode.ts';
import { KernelError } from './errors.ts';
import { assignSlots, lifetimes } from './memory-plan.ts';
import type { Pipeline, PipelineCache, Slot } from './pipeline-cache.ts';
import { type Recording, usesOf } from './recording.ts';
import { byteSize } from './tensor.ts';

/**
 * Compiles what is not compiled yet (all at once, asynchronously), gives temporaries memory from the arena, encodes, submits, and
 * brings read-backs home through one staging buffer.
 * @throws KernelError naming the kernel that does not compile or the command that WebGPU refused; DeviceLostError.
 */
export async function submit(recording: Recording): Promise<void> {
  const { gpu, label, commands, inputs, temporaries, readbackBytes, profiler } = recording;
  const debug = debugLevel();
  gpu.assertAlive();
  if (debug >= 2) debugPrint(recording);
  const pipelines = await Promise.all(
    commands.map((c) => ('dispatch' in c ? pipelineOf(gpu.pipelines, c.dispatch) : undefined)),
  );
  gpu.assertAlive();

  const { device, pool } = gpu;
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  const taken = new Set<GPUBuffer>();
  const free: GPUBuffer[] = [];
  const take = (size: number): GPUBuffer => {
    const buffer = takeBestFit(free, size) ?? pool.take(size);
    taken.add(buffer);
    return buffer;
  };
  let staging: GPUBuffer | undefined;
  let eachRefused: Promise<void> | undefined;
  let errors: Promise<GPUError | null>[];
  try {
    const buffers = assignSlots(lifetimes(usesOf(recording)), take, (buffer) => free.push(buffer));
    for (const [storage, buffer] of buffers) storage.buffer = buffer;
    const words = paramsOf(recording);
    const params = words.length ? gpu.paramsBuffer(words.byteLength) : undefined;
    if (params) device.queue.writeBuffer(params, 0, words);
    for (const { tensor, data } of inputs)
      if (tensor.storage.buffer) device.queue.writeBuffer(tensor.storage.buffer, 0, data);
    if (readbackBytes)
      staging = device.createBuffer({
        label: `${label} read-back`,
        size: readbackBytes,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
    const encoding: Encoding = { recording, pipelines, params, staging };
    if (debug) eachRefused = submitOneByOne(encoding);
    else {
      const encoder = device.createCommandEncoder({ label });
      encodeCommands(encoder, encoding, [0, commands.length], 0);
      profiler?.resolve(encoder);
      device.queue.submit([encoder.finish()]);
    }
  } finally {
    // Also where a tensor had been destroyed: the next run finds the arena and the error scopes as they were.
    errors = [device.popErrorScope(), device.popErrorScope()];
    // Later submissions run after this one, so the arena's buffers can be handed out again at once.
    for (const storage of temporaries) storage.buffer = undefined;
    for (const buffer of taken) pool.give(buffer);
  }
  const mapped = staging?.mapAsync(GPUMapMode.READ);
  mapped?.catch(() => {}); // reported through the error scopes or as a lost device, with a name
  try {
    await eachRefused;
    for (const error of await waitForGpu(Promise.all(errors))) if (error) throw new KernelError(label, error.message);
    if (mapped) await waitForGpu(mapped).catch((e: Error) => refuse(label, e));
    if (staging) fill(recording, staging.getMappedRange());
  } finally {
    staging?.destroy();
  }
  await profiler?.collect();
}

function refuse(label: string, { message }: Error): never {
  throw new KernelError(label, `read-back failed: ${message}`);
}

function fill({ commands }: Recording, all: ArrayBuffer): void {
  for (const command of commands)
    if ('readback' in command) {
      const { tensor, offset } = command.readback;
      command.readback.bytes = new Uint8Array(all.slice(offset, offset + byteSize(tensor.dtype, tensor.shape)));
    }
}

function pipelineOf(
  pipelines: PipelineCache,
  { bindings, params, moreBindings = [], ...dispatch }: Dispatch,
): Promise<Pipeline> {
  const slots: Slot[] = bindings.map((b) => b.access);
  if (params) slots.push('params');
  slots.push(...moreBindings.map((b) => b.access));
  return pipelines.get({ ...dispatch, slots });
}
