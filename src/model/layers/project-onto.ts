import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import { add } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { Site } from '../interventions/hooks.ts';

/** residual + (x · Wᵀ + bias) in one pass, or in two where somebody wants to see or change what is added. */
export function projectOnto(
  rec: Recorder,
  args: Parameters<typeof matmul>[1] & { residual: Tensor },
  hook: string,
  site: Site,
): Tensor {
  if (!site.touches(hook)) return matmul(rec, args);
  const { residual, ...rest } = args;
  return addOnto(rec, { added: matmul(rec, rest), residual, label: args.label }, hook, site);
}

/** residual + what is added, where that is there already. */
export function addOnto(
  rec: Recorder,
  { added, residual, label }: { added: Tensor; residual: Tensor; label: string },
  hook: string,
  site: Site,
): Tensor {
  return add(rec, { a: residual, b: site.pass(hook, added), label: `${label} + residual` });
}
