import { KernelError } from './errors.ts';
import type { Tensor } from './tensor.ts';

/** A result that the host has asked for; filled when the recorder's `submit()` has resolved. */
export class Readback {
  /** What was read. */
  readonly tensor: Tensor;
  /** Bytes from the start of the run's staging buffer. */
  readonly offset: number;
  /** The bytes as they were on the GPU; undefined before `submit()` has resolved. */
  bytes: Uint8Array | undefined;

  constructor(tensor: Tensor, offset: number) {
    this.tensor = tensor;
    this.offset = offset;
  }

  /** The shape of what was read. */
  get shape(): readonly number[] {
    return this.tensor.shape;
  }

  /** The elements of an f32 tensor, row-major. Throws before `submit()` has resolved. */
  get f32(): Float32Array {
    return new Float32Array(this.#buffer());
  }

  /** The elements of a u32 tensor, row-major. Throws before `submit()` has resolved. */
  get u32(): Uint32Array {
    return new Uint32Array(this.#buffer());
  }

  #buffer(): ArrayBuffer {
    if (!this.bytes) throw new KernelError(this.tensor.label, 'read back before submit() has resolved');
    return this.bytes.buffer as ArrayBuffer;
  }
}
