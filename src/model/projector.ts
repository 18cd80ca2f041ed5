import { activation } from '../kernels/elementwise/elementwise.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import type { Recorder } from '../kernels/recorder.ts';
import type { Tensor } from '../kernels/tensor.ts';
import type { LlavaConfig } from './config.ts';
import type { Hooks } from './hooks.ts';
import type { LlavaWeights } from './weights.ts';

/**
 * The connector (HF `LlavaMultiModalProjector`): two linear layers and an activation.
 * @param features [images * imageTokens, dModel of the tower * feature layers]
 * @returns [images * imageTokens, dModel of the decoder]
 */
export function projector(
  rec: Recorder,
  { linear1, linear2 }: LlavaWeights['projector'],
  config: LlavaConfig,
  features: Tensor,
  hooks: Hooks,
): Tensor {
  const emit = (hook: string, t: Tensor) =>
    hooks.emitWhole(`projector.${hook}`, t, [t.shape[0] / config.imageTokens, config.imageTokens, t.shape[1]]);
  emit('hook_in', features);
  let hidden: Tensor;
  if (hooks.wants('projector.hook_pre')) {
    const pre = matmul(rec, { x: features, ...linear1, label: 'projector.linear_1' });
    emit('hook_pre', pre);
    hidden = activation(rec, { x: pre, activation: config.projectorAct, label: 'projector.act' });
  } else
    hidden = matmul(rec, { x: features, ...linear1, activation: config.projectorAct, label: 'projector.linear_1' });
  const out = matmul(rec, { x: hidden, ...linear2, label: 'projector.linear_2' });
  emit('hook_out', out);
  return out;
}
