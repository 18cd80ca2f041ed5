import { afterAll, beforeAll } from 'vitest';
import { type Gpu, type GpuOptions, openGpu } from '../src/gpu/gpu.ts';

/** One for all files of a worker: the shaders that it has compiled stay with it. */
let device: Promise<GPUDevice> | undefined;

/** A Gpu for a test file, on the worker's device, made before its tests. Tests that lose a device open one of their own. */
export function useGpu(options?: GpuOptions): () => Gpu {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    device ??= openGpu().then((first) => first.device);
    gpu = await openGpu({ ...options, device: await device });
  });
  afterAll(() => gpu?.dispose());
  return () => gpu!;
}
