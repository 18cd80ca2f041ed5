import { afterAll, beforeAll } from 'vitest';
import { type Gpu, type GpuOptions, openGpu } from '../src/gpu/gpu.ts';

let device: Promise<GPUDevice> | undefined;

/** One for all files of a worker: the shaders that it has compiled stay with it. */
export function sharedDevice(): Promise<GPUDevice> {
  device ??= openGpu().then((gpu) => gpu.device);
  return device;
}

/** A Gpu for a test file, on the worker's device, made before its tests. Tests that lose a device open one of their own. */
export function useGpu(options?: GpuOptions): () => Gpu {
  let gpu: Gpu | undefined;
  beforeAll(async () => {
    gpu = await openGpu({ ...options, device: await sharedDevice() });
  });
  afterAll(() => gpu?.dispose());
  return () => gpu!;
}
