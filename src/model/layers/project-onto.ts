import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import { add } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { Site } from '../interventions/hooks.ts';

/**
 * residual + (x · Wᵀ + bias) in one pass, or in two where somebody wants to see or change what is added.
 * @param sum what is added, where it is there already.
 */
export function projectOnto(
  rec: Recorder,
  args: Parameters<typeof matmul>[1] & { residual: Tensor },
  hook: string,
  site: Site,
  sum?: Tensor,
): Tensor {
  if (!sum && !site.touches(hook)) return matmul(rec, args);
  const { residual, ...rest } = args;
  const added = site.pass(hook, sum ?? matmul(rec, rest));
  return add(rec, { a: residual, b: added, label: `${args.label} + residual` });
}
