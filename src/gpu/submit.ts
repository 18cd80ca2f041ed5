// Runs a recording: memory, pipelines, submissions, read-backs.
import { debugLevel, waitForGpu } from '#platform';
import { labelOf, workOf } from './command.ts';
import { debugPrint } from './debug.ts';
import type { Dispatch } from './dispatch.ts';
import { type Encoding, encodeCommands } from './encode.ts';
import { KernelError } from './errors.ts';
import type { Pipeline, PipelineCache, Slot } from './pipeline-cache.ts';
import type { Recording } from './recording.ts';
import { RunMemory } from './run-memory.ts';
import { byteSize } from './tensor.ts';

/** Who watches a run. */
export interface Watch {
  /** Any of them ends the run before its next submission, with the signal's reason. */
  readonly signals?: readonly AbortSignal[];
  /** Of a run that takes several submissions: told after each but the last how much work is done, and how much there is. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Submissions that the GPU has at a time: while it works on one, the next one waits for it. */
const atOnce = 2;

/** A run that the GPU's queue has. */
export interface Started {
  /** When its read-backs are home. @throws KernelError for what WebGPU refused; DeviceLostError. */
  readonly finished: Promise<void>;
}

/**
 * Compiles what is not compiled yet (all at once, asynchronously), gives temporaries memory from the arena, encodes and submits. A run
 * that would keep the GPU busy for long takes several submissions (`Pace`), which changes nothing that it computes. With
 * HEADLIGHT_DEBUG each command is a submission, so that an error names it.
 * @returns when the queue has all of it: a run that is started then comes after it, and may use the same memory.
 * @throws KernelError naming the kernel that does not compile or the command that WebGPU refused; the reason of a signal that is
 * aborted; DeviceLostError.
 */
export async function start(recording: Recording, watch: Watch): Promise<Started> {
  const { gpu, commands } = recording;
  gpu.assertAlive();
  if (debugLevel() >= 2) debugPrint(recording);
  const pipelines = await Promise.all(
    commands.map((c) => ('dispatch' in c ? pipelineOf(gpu.pipelines, c.dispatch) : undefined)),
  );
  gpu.assertAlive();
  const memory = new RunMemory(recording);
  try {
    const running = await enqueue(recording, pipelines, memory, watch);
    return { finished: finish(recording, running, memory) };
  } catch (error) {
    // Also where a tensor had been destroyed: the next run finds the arena as it was.
    memory.giveBack();
    memory.destroyStaging();
    throw error;
  }
}

/** Brings read-backs home through one staging buffer. */
async function finish(recording: Recording, running: readonly Submission[], memory: RunMemory): Promise<void> {
  try {
    for (const submission of running) await settled(submission);
    if (memory.staging) fill(recording, memory.staging.getMappedRange());
  } finally {
    memory.destroyStaging();
  }
  await recording.profiler?.collect();
}

/** @returns the submissions that have not been waited for. */
async function enqueue(
  recording: Recording,
  pipelines: Encoding['pipelines'],
  memory: RunMemory,
  { signals = [], onProgress }: Watch,
): Promise<Submission[]> {
  const { gpu, label, commands, profiler } = recording;
  const { device, pace } = gpu;
  const debug = debugLevel();
  const hasMemory = checked(device, label, () => memory.take());
  const encoding: Encoding = { recording, pipelines, params: memory.params, staging: memory.staging };
  const total = onProgress ? commands.reduce((sum, command) => sum + workOf(command), 0) : 0;
  const running: Submission[] = [];
  let [withParams, done] = [0, 0];
  for (let start = 0; start < commands.length; ) {
    if (start) for (const signal of signals) signal.throwIfAborted();
    const { end, work } = debug ? { end: start + 1, work: workOf(commands[start]) } : pace.next(commands, start);
    const last = end === commands.length;
    const range = [start, end] as const;
    const accepted = checked(device, debug ? labelOf(commands[start]) : label, () => {
      const encoder = device.createCommandEncoder({ label });
      withParams = encodeCommands(encoder, encoding, range, withParams);
      if (last) profiler?.resolve(encoder);
      device.queue.submit([encoder.finish()]);
    });
    if (last) memory.giveBack();
    const finished = last ? memory.staging?.mapAsync(GPUMapMode.READ) : device.queue.onSubmittedWorkDone();
    running.push({ label, work, accepted, finished: finished && pace.time(work, finished) });
    start = end;
    if (last || running.length < atOnce) continue;
    const first = running.shift()!;
    await settled(first);
    done += first.work;
    onProgress?.(done, total);
  }
  return [{ label, work: 0, accepted: hasMemory, finished: undefined }, ...running];
}

interface Submission {
  readonly label: string;
  readonly work: number;
  readonly accepted: Promise<void>;
  /** Nobody waits for the end of a run that reads nothing back. */
  readonly finished: Promise<void> | undefined;
}

async function settled({ label, accepted, finished }: Submission): Promise<void> {
  await waitForGpu(accepted);
  if (finished)
    await waitForGpu(finished).catch(({ message }: Error) => {
      throw new KernelError(label, `read-back failed: ${message}`);
    });
}

/** Does something within error scopes. @returns when WebGPU has said that it takes it; KernelError where it refuses. */
function checked(device: GPUDevice, title: string, work: () => void): Promise<void> {
  device.pushErrorScope('out-of-memory');
  device.pushErrorScope('validation');
  let errors: Promise<(GPUError | null)[]>;
  try {
    work();
  } finally {
    errors = Promise.all([device.popErrorScope(), device.popErrorScope()]);
    errors.catch(() => {}); // of a lost device, which is told by itself
  }
  const accepted = errors.then((found) => {
    for (const error of found) if (error) throw new KernelError(title, error.message);
  });
  accepted.catch(() => {}); // thrown where it is waited for, if nothing else is thrown before
  return accepted;
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
