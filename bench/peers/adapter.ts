import { deviceDescriptor } from '../../src/gpu/capabilities.ts';
import { type Gpu, openGpu } from '../../src/gpu/gpu.ts';
import { requestAdapter } from '../../src/platform/node.ts';

/** Lanes of a subgroup that ORT's attention counts on. */
const lanesOfOrt = 8;

export interface Devices {
  /** On which all libraries run that take one. */
  readonly gpu: Gpu;
  /** The same adapter's without subgroups, for ORT's attention, where they are too small for it (README.md). */
  readonly plain?: Gpu;
}

export async function openDevices(): Promise<Devices> {
  const gpu = await openGpu();
  // The peers look for WebGPU there, and then take the device that they are given.
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu: { requestAdapter: async () => ({}) }, userAgent: 'node', hardwareConcurrency: 2 },
    configurable: true,
  });
  copySharedMemory();
  initialiseVariables();
  const { subgroups, subgroupMinSize } = gpu.capabilities;
  return { gpu, plain: subgroups && subgroupMinSize < lanesOfOrt ? await withoutSubgroups() : undefined };
}

async function withoutSubgroups(): Promise<Gpu> {
  const adapter = await requestAdapter();
  const { requiredFeatures, ...descriptor } = deviceDescriptor(adapter);
  const features = [...requiredFeatures!].filter((feature) => feature !== 'subgroups');
  return openGpu({ device: await adapter.requestDevice({ ...descriptor, requiredFeatures: features }) });
}

/** Dawn's binding takes no views of shared memory, which ORT's module writes from. */
function copySharedMemory(): void {
  const { writeBuffer } = GPUQueue.prototype;
  GPUQueue.prototype.writeBuffer = function (buffer, at, data, ...range) {
    const shared = ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer;
    const own = shared ? (data as Uint8Array).slice() : (data as BufferSource);
    return writeBuffer.call(this, buffer, at, own, ...range);
  };
}

/**
 * WGSL sets a variable without an initialiser to zero each time its declaration runs; Dawn's compiler to SPIR-V only when the function
 * starts (README.md). ORT's attention declares such in its loop.
 */
function initialiseVariables(): void {
  const { createShaderModule } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function ({ code, ...others }) {
    const initialised = code.replace(/^(\s+var\s+\w+)\s*:\s*([\w<>, ]+);/gm, '$1 : $2 = $2();');
    return createShaderModule.call(this, { ...others, code: initialised });
  };
}
