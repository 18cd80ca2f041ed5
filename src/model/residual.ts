import { add } from '../kernels/elementwise/elementwise.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import type { Recorder } from '../kernels/recorder.ts';
import type { Tensor } from '../kernels/tensor.ts';
import type { Hooks } from './hooks.ts';

/** residual + (x · Wᵀ + bias) in one pass, or in two where somebody wants to see what is added. */
export function projectOnto(
  rec: Recorder,
  args: Parameters<typeof matmul>[1] & { residual: Tensor },
  hook: string,
  hooks: Hooks,
  emit: (added: Tensor) => void,
): Tensor {
  if (!hooks.wants(hook)) return matmul(rec, args);
  const { residual, ...rest } = args;
  const added = matmul(rec, rest);
  emit(added);
  return add(rec, { a: residual, b: added, label: `${args.label} + residual` });
}
