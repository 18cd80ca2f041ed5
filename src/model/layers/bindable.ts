import type { Recorder } from '../../gpu/recorder.ts';
import { isBindable, type Tensor } from '../../gpu/tensor.ts';

/** A view that starts at a multiple of 256 bytes as it is, any other one copied: WebGPU binds no other offsets. */
export function bindable(rec: Recorder, tensor: Tensor): Tensor {
  if (isBindable(tensor)) return tensor;
  const copy = rec.temp(tensor.label, tensor.dtype, tensor.shape);
  rec.copy(tensor, copy);
  return copy;
}
