import type { GpuContext } from '../../gpu/context.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import { activation, gatedActivation } from '../../kernels/elementwise/elementwise.ts';
import { gatedMatmul } from '../../kernels/matmul/gated.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { BlockShape } from '../config/block.ts';
import type { Site } from '../interventions/hooks.ts';
import { addOnto, projectOnto } from './project-onto.ts';
import { type BlockWeights, joined, type Linear } from './weights.ts';

/** What every adapter binds. More at a time would need more memory, and gain nothing: some hundred rows keep a GPU busy. */
const mostBytes = 128 * 2 ** 20;

/** Rows of a chunk are a multiple of this, so that it begins where a binding may begin, whatever the width. */
const rowStep = 64;

/**
 * residual + down(act(gate(x)) * up(x)), or without a gate residual + down(act(up(x))).
 *
 * What is in between is several times as wide as the residual stream: for many rows it is made in chunks of rows, unless
 * somebody wants to see or change it.
 * @param stream x, normalised, and the residual stream, each [rows, dModel]
 * @param name of the block.
 * @returns [rows, dModel]
 */
export function mlp(
  rec: Recorder,
  w: Pick<BlockWeights, 'gate' | 'up' | 'down'>,
  shape: Pick<BlockShape, 'act'>,
  { x, residual }: { x: Tensor; residual: Tensor },
  name: string,
  site: Site,
): Tensor {
  const [hook, inner] = [`${name}.hook_mlp_out`, `${name}.mlp`];
  const down = { ...w.down, label: `${inner}.down_proj` };
  const [count] = x.shape;
  const seen = site.touches(...['hook_pre', 'hook_pre_linear', 'hook_post'].map((each) => `${inner}.${each}`));
  const atOnce = seen ? count : rowsAtOnce(rec.gpu, count, w.up.weight.shape[0]);
  if (atOnce >= count)
    return projectOnto(rec, { x: mlpHidden(rec, w, shape, x, inner, site), ...down, residual }, hook, site);
  const onto = site.touches(hook) ? undefined : residual;
  const out = rec.temp(down.label, 'f32', residual.shape);
  for (let start = 0; start < count; start += atOnce) {
    const chunk = (tensor: Tensor) => rows(tensor, start, Math.min(count, start + atOnce));
    const hidden = mlpHidden(rec, w, shape, chunk(x), inner, site);
    matmul(rec, { x: hidden, ...down, residual: onto && chunk(onto), out: chunk(out) });
  }
  return onto ? out : addOnto(rec, { added: out, residual, label: down.label }, hook, site);
}

/** Rows of a chunk: all chunks about as large. */
function rowsAtOnce({ capabilities }: GpuContext, count: number, width: number): number {
  const most = Math.min(mostBytes, capabilities.maxStorageBufferBindingSize);
  const chunks = Math.ceil((4 * width * count) / most);
  if (chunks === 1) return count;
  const even = rowStep * Math.ceil(count / chunks / rowStep);
  const fitting = rowStep * Math.floor(most / (4 * width) / rowStep);
  return Math.max(rowStep, Math.min(even, fitting));
}

/** What goes into the MLP's last projection, [rows, dMlp]. */
export function mlpHidden(
  rec: Recorder,
  { gate, up }: Pick<BlockWeights, 'gate' | 'up'>,
  { act }: Pick<BlockShape, 'act'>,
  x: Tensor,
  name: string,
  site: Site,
): Tensor {
  let post = gate && gatedAtOnce(rec, { gate, up }, act, x, name, site);
  if (post) return site.pass(`${name}.hook_post`, post);
  if (gate) {
    const gated = site.pass(`${name}.hook_pre`, matmul(rec, { x, ...gate, label: `${name}.gate_proj` }));
    const linear = site.pass(`${name}.hook_pre_linear`, matmul(rec, { x, ...up, label: `${name}.up_proj` }));
    post = gatedActivation(rec, { gate: gated, up: linear, activation: act, label: `${name}.act` });
  } else if (site.touches(`${name}.hook_pre`)) {
    const pre = site.pass(`${name}.hook_pre`, matmul(rec, { x, ...up, label: `${name}.up_proj` }));
    post = activation(rec, { x: pre, activation: act, label: `${name}.act` });
  } else post = matmul(rec, { x, ...up, activation: act, label: `${name}.up_proj` });
  return site.pass(`${name}.hook_post`, post);
}

/** One dispatch, where nobody looks at what is in between, and there are so few rows that `gatedMatmul` can. */
function gatedAtOnce(
  rec: Recorder,
  { gate, up }: { gate: Linear; up: Linear },
  act: BlockShape['act'],
  x: Tensor,
  name: string,
  site: Site,
): Tensor | undefined {
  if (site.touches(`${name}.hook_pre`, `${name}.hook_pre_linear`)) return undefined;
  const replaced =
    ['gate', 'up'].some((each) => rec.replaces('matmul', `${name}.${each}_proj`)) ||
    rec.replaces('gatedActivation', `${name}.act`);
  const both = replaced ? undefined : joined([gate, up]);
  return both && gatedMatmul(rec, { x, ...both, activation: act, label: `${name}.gate_up_proj` });
}
