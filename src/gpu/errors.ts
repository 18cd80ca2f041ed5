import { type ErrorCode, HeadlightError } from '../base/error.ts';

/** Every error that the GPU floor throws on purpose. Messages are one line and say the way out. */
export class GpuError extends HeadlightError {
  override name = 'GpuError';
  readonly code: ErrorCode = 'gpu';
}

/** A submission that has taken so long when the device is lost, in milliseconds, is the likely cause. */
const patience = 1000;

/** The device was lost (driver reset, out of memory, `destroy()`): everything on it is gone, open a new `Gpu`. */
export class DeviceLostError extends GpuError {
  override name = 'DeviceLostError';
  override readonly code = 'device';
  /** WebGPU’s word for why: `destroyed` or `unknown`. */
  readonly reason: string;
  /** What the browser or the driver says; empty where it says nothing. */
  readonly details: string;
  /** @param busyMs how long the GPU had worked on one submission, in milliseconds. */
  constructor(reason: string, message: string, busyMs = 0) {
    const [since, advice] =
      busyMs < patience
        ? ['', '']
        : [
            `, ${(busyMs / 1000).toFixed(1)} s into one submission`,
            'drivers reset a GPU that works on one submission for too long: run less at once (a shorter prompt, fewer or smaller pictures), or give openGpu a smaller submissionMs; ',
          ];
    super(
      reason === 'destroyed'
        ? `the GPU device was destroyed: ${message || 'dispose() was called'}; open a new one with openGpu()`
        : `the GPU device was lost (${reason}${since}): ${message || 'the driver gave no reason'}; ${advice}open a new one with openGpu(); where it is lost again and again, restart the browser, or the program`,
    );
    this.reason = reason;
    this.details = message;
  }
}

/** Where something is wrong in the source of a custom kernel. */
export interface SourcePlace {
  /** From 1 on, in the source as it was given. */
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** A kernel that does not compile, or a command that WebGPU refused; `kernel` names it. */
export class KernelError extends GpuError {
  override name = 'KernelError';
  override readonly code = 'kernel';
  /** The kernel, run or tensor that it is about. */
  readonly kernel: string;
  /** Of a custom kernel: where in its source, as far as that is known. */
  readonly places: readonly SourcePlace[];
  /** @param options.cause of a failure that WebGPU gives no reason for. */
  constructor(kernel: string, message: string, places: readonly SourcePlace[] = [], options?: ErrorOptions) {
    super(`${kernel}: ${message}`, options);
    this.kernel = kernel;
    this.places = places;
  }
}

/** Tensors whose shapes or dtypes do not fit the operation. */
export class ShapeError extends GpuError {
  override name = 'ShapeError';
  override readonly code = 'shape';
}
