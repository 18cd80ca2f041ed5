import { formatOf } from '../gpu/formats/index.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { byteSize, type DType, elementCount, type Tensor } from '../gpu/tensor.ts';

const guardWords = 256;
const sentinel = 0x7fc5a5a5; // a NaN that no arithmetic makes

/** An output tensor followed by sentinels. Give it as `out`, record with `{ bindToEnd: true }`, then `runGuarded`. */
export function guarded(gpu: Gpu, label: string, dtype: DType, shape: readonly number[]): Tensor {
  const words = byteSize(dtype, shape) / 4;
  const whole = gpu.tensor(label, 'u32', [words + guardWords], new Uint32Array(words + guardWords).fill(sentinel));
  return { ...whole, dtype, shape };
}

export interface Guarded {
  readonly content: Float32Array | Uint32Array;
  /** It was written past its end. */
  readonly overrun: boolean;
  /** A part of it was not written. */
  readonly unwritten: boolean;
}

/** Submits the run and checks the sentinels of a guarded tensor. */
export async function runGuarded(recorder: Recorder, tensor: Tensor): Promise<Guarded> {
  const words = byteSize(tensor.dtype, tensor.shape) / 4;
  const all = recorder.read({ ...tensor, dtype: 'u32', shape: [words + guardWords] });
  await recorder.submit();
  const content = all.u32;
  const count = elementCount(tensor.shape);
  return {
    content:
      tensor.dtype === 'u32'
        ? content.subarray(0, count)
        : Float32Array.from(formatOf(tensor).unpack([new Uint8Array(content.buffer)], [1, count])),
    overrun: content.subarray(words).some((w) => w !== sentinel),
    unwritten: content.subarray(0, words).some((w) => w === sentinel),
  };
}
