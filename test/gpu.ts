import { afterAll, beforeAll } from 'vitest';
import { type Gpu, type GpuOptions, openGpu } from '../src/gpu/gpu.ts';

/** One device for a test file, opened before its tests and destroyed after them. */
export function useGpu(options?: GpuOptions): () => Gpu {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    gpu = await openGpu(options);
  });
  afterAll(() => gpu?.dispose());
  return () => gpu!;
}
