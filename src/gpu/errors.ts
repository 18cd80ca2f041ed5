import { type ErrorCode, HeadlightError } from '../base/error.ts';

/** Every error that the GPU floor throws on purpose. Messages are one line and say the way out. */
export class GpuError extends HeadlightError {
  override name = 'GpuError';
  readonly code: ErrorCode = 'gpu';
}

/** The device was lost (driver reset, out of memory, `destroy()`): everything on it is gone, open a new `Gpu`. */
export class DeviceLostError extends GpuError {
  override name = 'DeviceLostError';
  override readonly code = 'device';
  /** WebGPU’s word for why: `destroyed` or `unknown`. */
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(
      reason === 'destroyed'
        ? `the GPU device was destroyed: ${message || 'dispose() was called'}; open a new one with openGpu()`
        : `the GPU device was lost (${reason}): ${message || 'the driver gave no reason'}; open a new one with openGpu()`,
    );
    this.reason = reason;
  }
}

/** A kernel that does not compile, or a command that WebGPU refused; `kernel` names it. */
export class KernelError extends GpuError {
  override name = 'KernelError';
  override readonly code = 'kernel';
  /** The kernel, run or tensor that it is about. */
  readonly kernel: string;
  constructor(kernel: string, message: string) {
    super(`${kernel}: ${message}`);
    this.kernel = kernel;
  }
}

/** Tensors whose shapes or dtypes do not fit the operation. */
export class ShapeError extends GpuError {
  override name = 'ShapeError';
  override readonly code = 'shape';
}
