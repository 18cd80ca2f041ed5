import type { BufferPool } from './buffer-pool.ts';
import type { Capabilities } from './capabilities.ts';
import type { PipelineCache } from './pipeline-cache.ts';

/** What recording, running and timing commands needs of a GPU. */
export interface GpuContext {
  readonly device: GPUDevice;
  readonly capabilities: Capabilities;
  readonly pipelines: PipelineCache;
  readonly pool: BufferPool;
  /** Throws DeviceLostError once the device is gone. */
  assertAlive(): void;
  /** The buffer from which dispatches of one submission read their params; uploads are ordered with submissions. */
  paramsBuffer(size: number): GPUBuffer;
  /** See `Gpu.explain`. */
  explain(error: unknown): Promise<unknown>;
}
