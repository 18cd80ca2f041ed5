import type { BindGroups } from './bind-groups.ts';
import type { BufferPool } from './buffer-pool.ts';
import type { Capabilities } from './capabilities.ts';
import type { Pace } from './pace.ts';
import type { PipelineCache } from './pipeline-cache.ts';
import type { Tuning } from './tuning.ts';

/** What recording, running and timing commands needs of a GPU. */
export interface GpuContext {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  readonly pipelines: PipelineCache;
  readonly bindGroups: BindGroups;
  /** The arena: buffers for temporaries. */
  readonly pool: BufferPool;
  /** Buffers for the params of a run's dispatches. */
  readonly paramsPool: BufferPool;
  /** How much one submission holds. */
  readonly pace: Pace;
  /** What launchers ask for the candidate of a shape. */
  readonly tuning: Tuning;
  /** Throws DeviceLostError once the device is gone. */
  assertAlive(): void;
  /** See `Gpu.wait`. */
  wait<T>(done: Promise<T>): Promise<T>;
}
