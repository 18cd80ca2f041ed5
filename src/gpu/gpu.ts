import { requestAdapter, waitForGpu } from '#platform';
import { HeadlightError } from '../base/error.ts';
import { BindGroups } from './bind-groups.ts';
import { BufferPool } from './buffer-pool.ts';
import { type Arithmetic, adapterName, type Capabilities, describeDevice, deviceDescriptor } from './capabilities.ts';
import type { GpuContext } from './context.ts';
import { DeviceLostError, GpuError, ShapeError } from './errors.ts';
import { Pace } from './pace.ts';
import { type PipelineCache, pipelinesOf } from './pipeline-cache.ts';
import { Recorder, type RecorderOptions } from './recorder.ts';
import { byteSize, type DType, type Tensor } from './tensor.ts';
import { type TunedChoices, type Tuning, tunedTo, untuned } from './tuning.ts';

/** Which device is opened. */
export interface GpuOptions {
  /** Use this device instead of acquiring one; it is not destroyed by `dispose()`. */
  device?: GPUDevice;
  /** As WebGPU’s `requestAdapter` takes it. */
  powerPreference?: GPUPowerPreference;
  /** Take a software adapter even where there is a GPU (tests, bug reports). */
  software?: boolean;
  /** Lower limit in bytes than the device's, so that small weights are split as big ones would be. */
  maxStorageBufferBindingSize?: number;
  /**
   * f16 lets matrix units multiply where there are many rows, which GPUs do several times faster: the numbers that are multiplied are
   * rounded to f16, sums stay f32. Results move in their third or fourth digit. f32 by default; the adapter's lack of what f16 takes is
   * an error (docs/adr/0023-f16-arithmetic.md).
   */
  arithmetic?: Arithmetic;
  /** How long one submission should keep the GPU busy, in milliseconds; a longer run takes several. 100 by default. */
  submissionMs?: number;
  /**
   * Choices of kernels that were measured on this adapter, with this version (`headlight tune`), or what has them for an adapter. They
   * change speed, and results in their last bits. A choice that no kernel knows is an error of the run that meets it.
   */
  tuning?:
    | TunedChoices
    | ((capabilities: Capabilities) => TunedChoices | undefined | Promise<TunedChoices | undefined>);
}

/**
 * Acquires an adapter and a device and wraps them.
 * @throws NoAdapterError where WebGPU finds nothing to run on; the message says what to install. GpuError where it cannot do what is
 *   asked for.
 */
export async function openGpu(options: GpuOptions = {}): Promise<Gpu> {
  const { powerPreference, software, arithmetic, tuning } = options;
  const open = async (device: GPUDevice, info: GPUAdapterInfo, ownsDevice: boolean) => {
    const choices = typeof tuning === 'function' ? await tuning(describeDevice(device, info, options)) : tuning;
    return new Gpu(device, info, options, ownsDevice, choices && tunedTo(choices));
  };
  if (options.device) return open(options.device, options.device.adapterInfo, false);
  const adapter = await requestAdapter({ powerPreference, software, experimental: arithmetic === 'f16' });
  const device = await adapter.requestDevice(deviceDescriptor(adapter, arithmetic)).catch((error: Error) => {
    throw new GpuError(
      `the adapter gives no device: ${error.message}; where its driver has crashed, restart the browser, or the program`,
    );
  });
  try {
    return await open(device, adapter.info, true);
  } catch (e) {
    device.destroy();
    throw e;
  }
}

/** A device with its caches: pipelines by WGSL source, bind groups by what they bind, and buffers for temporaries. */
export class Gpu implements GpuContext {
  /** The WebGPU device: for work of the caller’s own. */
  readonly device: GPUDevice;
  /** What the adapter and the device can do. */
  readonly capabilities: Capabilities;
  /** Compiled kernels: the device's, shared by all that wrap it. */
  readonly pipelines: PipelineCache;
  /** What their dispatches bind. */
  readonly bindGroups: BindGroups;
  /** The arena: buffers for temporaries. */
  readonly pool: BufferPool;
  /** Buffers for the params of a run's dispatches. */
  readonly paramsPool: BufferPool;
  /** How much one submission holds. */
  readonly pace: Pace;
  /** Which kernels it was tuned to. */
  readonly tuning: Tuning;
  /** When the device is lost, by a crash or by `dispose`: the error that whatever needs it then throws. */
  readonly lost: Promise<DeviceLostError>;
  #lost: DeviceLostError | undefined;
  readonly #ownsDevice: boolean;

  constructor(
    device: GPUDevice,
    info: GPUAdapterInfo,
    options: Omit<GpuOptions, 'tuning'>,
    ownsDevice: boolean,
    tuning: Tuning = untuned,
  ) {
    const { submissionMs = 100, arithmetic = 'f32' } = options;
    if (!(submissionMs > 0)) throw new GpuError(`submissionMs ${submissionMs}: give a number of milliseconds above 0`);
    this.device = device;
    this.capabilities = describeDevice(device, info, options);
    if (arithmetic !== 'f32' && arithmetic !== 'f16') throw new GpuError(`arithmetic ${arithmetic}: give f32 or f16`);
    if (arithmetic === 'f16' && !this.capabilities.subgroupMatrix)
      throw new GpuError(
        `arithmetic f16: ${adapterName(this.capabilities) || 'this adapter'} has no subgroup matrices that multiply f16 into f32; leave it out, and f32 runs. (Chrome has them behind chrome://flags/#enable-unsafe-webgpu.)`,
      );
    this.pipelines = pipelinesOf(device);
    this.bindGroups = new BindGroups(device);
    this.pool = new BufferPool(device, 'arena');
    this.paramsPool = new BufferPool(device, 'params');
    this.pace = new Pace(submissionMs);
    this.tuning = tuning;
    this.#ownsDevice = ownsDevice;
    this.lost = device.lost.then(({ reason, message }) => {
      this.#lost = new DeviceLostError(reason, message, this.pace.busyMs);
      return this.#lost;
    });
  }

  /** Throws DeviceLostError once the device is gone. */
  assertAlive(): void {
    if (this.#lost) throw this.#lost;
  }

  /** What a promise of the device gives. @throws DeviceLostError where it fails and the device is lost: whatever fails then fails for it. */
  async wait<T>(done: Promise<T>): Promise<T> {
    try {
      return await waitForGpu(done);
    } catch (error) {
      // Browsers tell of the loss only after the failures. What WebGPU refuses with a reason has another cause, most likely.
      const hasReason = error instanceof HeadlightError && error.cause === undefined;
      if (!this.#lost)
        await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, hasReason ? 50 : 2000))]);
      throw this.#lost ?? error;
    }
  }

  /** Starts recording commands; nothing runs before `submit()`. */
  record(label: string, options: RecorderOptions = {}): Recorder {
    this.assertAlive();
    return new Recorder(this, label, options);
  }

  /** A persistent tensor with a buffer of its own, zeroed, optionally filled. Free it with `destroy`. */
  tensor(label: string, dtype: DType, shape: readonly number[], data?: BufferSource): Tensor {
    this.assertAlive();
    const size = Math.max(4, byteSize(dtype, shape));
    if (size > this.capabilities.maxBufferSize)
      throw new GpuError(
        `${label}: ${size} bytes exceed this adapter's largest buffer, ${this.capabilities.maxBufferSize}`,
      );
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const tensor: Tensor = {
      label,
      dtype,
      shape,
      offset: 0,
      storage: { label, size, buffer: this.device.createBuffer({ label, size, usage }) },
    };
    if (data) this.write(tensor, data);
    return tensor;
  }

  /** Writes the whole of a persistent tensor. Throws ShapeError when the byte counts differ. */
  write(tensor: Tensor, data: BufferSource): void {
    const expected = byteSize(tensor.dtype, tensor.shape);
    if (Math.ceil(data.byteLength / 4) * 4 !== expected)
      throw new ShapeError(
        `${tensor.label}: [${tensor.shape}] ${tensor.dtype} takes ${expected} bytes, got ${data.byteLength}`,
      );
    const buffer = tensor.storage.buffer;
    if (!buffer)
      throw new GpuError(
        `${tensor.label}: a recorder's temporary cannot be written from the host; use record().input()`,
      );
    const bytes = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    if (bytes.byteLength % 4 === 0) this.device.queue.writeBuffer(buffer, tensor.offset, bytes);
    else {
      const padded = new Uint8Array(expected); // an odd count of 16-bit numbers
      padded.set(bytes);
      this.device.queue.writeBuffer(buffer, tensor.offset, padded);
    }
  }

  /** Copies persistent tensors into others of the same byte sizes, after all that has been submitted. */
  copy(copies: readonly { readonly from: Tensor; readonly to: Tensor }[]): void {
    const encoder = this.device.createCommandEncoder({ label: 'copy' });
    for (const { from, to } of copies) {
      const size = byteSize(from.dtype, from.shape);
      encoder.copyBufferToBuffer(from.storage.buffer!, from.offset, to.storage.buffer!, to.offset, size);
    }
    this.device.queue.submit([encoder.finish()]);
  }

  /** Frees the memory of tensors that `tensor` made. They can no longer be bound; a second call does nothing. */
  destroy(...tensors: Tensor[]): void {
    for (const t of tensors) {
      if (!t.storage.buffer) continue;
      this.bindGroups.forget(t.storage.buffer);
      t.storage.buffer.destroy();
      t.storage.buffer = undefined;
    }
    // Chromium gives the memory back with the next submission, which may be that of a model still to be loaded.
    this.device.queue.submit([]);
  }

  /** Frees everything; a device that the caller passed in stays theirs. */
  dispose(): void {
    this.pool.destroy();
    this.paramsPool.destroy();
    if (this.#ownsDevice) this.device.destroy();
  }
}
