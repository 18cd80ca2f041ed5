import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';
import { activation } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { Site } from '../interventions/hooks.ts';
import type { Linear } from './weights.ts';

export interface ProjectorWeights {
  readonly linear1: Linear;
  readonly linear2: Linear;
}

/**
 * The connector: two linear layers and an activation (HF `LlavaMultiModalProjector`, the `mlp` of Qwen2-VL's `PatchMerger`).
 * @param x [rows, in]
 * @returns [rows, dModel of the decoder]
 */
export function projector(
  rec: Recorder,
  { linear1, linear2 }: ProjectorWeights,
  act: ActivationFunction,
  x: Tensor,
  site: Site,
): Tensor {
  let hidden: Tensor;
  if (site.touches('projector.hook_pre')) {
    const pre = site.pass('projector.hook_pre', matmul(rec, { x, ...linear1, label: 'projector.linear_1' }));
    hidden = activation(rec, { x: pre, activation: act, label: 'projector.act' });
  } else hidden = matmul(rec, { x, ...linear1, activation: act, label: 'projector.linear_1' });
  return matmul(rec, { x: hidden, ...linear2, label: 'projector.linear_2' });
}
