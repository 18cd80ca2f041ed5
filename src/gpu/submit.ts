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

/**
 * Compiles what is not compiled yet (all at once, asynchronously), gives temporaries memory from the arena, encodes, submits, and
 * brings read-backs home through one staging buffer. A run that would keep the GPU busy for long takes several submissions (`Pace`),
 * which changes nothing that it computes. With HEADLIGHT_DEBUG each command is a submission, so that an error names it.
 * @throws KernelError naming the kernel that does not compile or the command that WebGPU refused; the reason of a signal that is
 * aborted; DeviceLostError.
 */
export async function submit(recording: Recording, watch: Watch): Promise<void> {
  const { gpu, commands, profiler } = recording;
  gpu.assertAlive();
  if (debugLevel() >= 2) debugPrint(recording);
  const pipelines = await Promise.all(
    commands.map((c) => ('dispatch' in c ? pipelineOf(gpu.pipelines, c.dispatch) : undefined)),
  );
  gpu.assertAlive();
  const memory = new RunMemory(recording);
  try {
    await run(recording, pipelines, memory, watch);
    if (memory.staging) fill(recording, memory.staging.getMappedRange());
  } finally {
    // Also where a tensor had been destroyed: the next run finds the arena as it was.
    memory.giveBack();
    memory.destroyStaging();
  }
  await profiler?.collect();
}

async function run(
  recording: Recording,
  pipelines: Encoding['pipelines'],
  memory: RunMemory,
  { signals = [], onProgress }: Watch,
): Promise<void> {
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
  await waitForGpu(hasMemory);
  for (const submission of running) await settled(submission);
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
