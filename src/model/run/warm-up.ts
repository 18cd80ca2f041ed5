// Kernels compiled before they are needed.
import type { Dispatch } from '../../gpu/dispatch.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { unlessAborted } from '../../platform/next-chunk.ts';

/** Who watches a warm-up, and may end it. */
export interface WarmUpOptions {
  /** Ends the wait, with the signal's reason; what is being compiled is compiled nevertheless, and kept. */
  readonly signal?: AbortSignal;
  /** How many kernels are compiled, of how many. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** Compiles the kernels of some dispatches. @throws KernelError, DeviceLostError, the signal's reason. */
export async function compileKernels(
  gpu: Gpu,
  dispatches: readonly Dispatch[],
  { signal, onProgress }: WarmUpOptions,
): Promise<void> {
  signal?.throwIfAborted();
  const pipelines = new Set(dispatches.map((dispatch) => gpu.pipelines.get(dispatch)));
  let done = 0;
  onProgress?.(done, pipelines.size);
  const counted = Array.from(pipelines, async (pipeline) => {
    await pipeline;
    onProgress?.(++done, pipelines.size);
  });
  signal?.throwIfAborted(); // told of the beginning, somebody may end it
  const all = gpu.wait(Promise.all(counted));
  await (signal ? unlessAborted(all, signal) : all);
}
