import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import { activation, gatedActivation } from '../../kernels/elementwise/elementwise.ts';
import { gatedMatmul } from '../../kernels/matmul/gated.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { BlockShape } from '../config/block.ts';
import type { Site } from '../interventions/hooks.ts';
import { inChunks } from './chunks.ts';
import { addOnto } from './project-onto.ts';
import { type BlockWeights, joined, type Linear } from './weights.ts';

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
  const onto = site.touches(hook) ? undefined : residual;
  const out = rec.temp(down.label, 'f32', residual.shape);
  inChunks(rec.gpu, count, seen ? 0 : w.up.weight.shape[0], (chunk) => {
    const hidden = mlpHidden(rec, w, { ...shape, ofRows: count }, chunk(x), inner, site);
    matmul(rec, { x: hidden, ...down, residual: onto && chunk(onto), out: chunk(out), ofRows: count });
  });
  return onto ? out : addOnto(rec, { added: out, residual, label: down.label }, hook, site);
}

/**
 * What goes into the MLP's last projection, [rows, dMlp].
 * @param shape with the rows that x is a chunk of, by default its own.
 */
export function mlpHidden(
  rec: Recorder,
  { gate, up }: Pick<BlockWeights, 'gate' | 'up'>,
  shape: Pick<BlockShape, 'act'> & { readonly ofRows?: number },
  x: Tensor,
  name: string,
  site: Site,
): Tensor {
  const { act, ofRows } = shape;
  let post = gate && gatedAtOnce(rec, { gate, up }, shape, x, name, site);
  if (post) return site.pass(`${name}.hook_post`, post);
  if (gate) {
    const gated = site.pass(`${name}.hook_pre`, matmul(rec, { x, ...gate, ofRows, label: `${name}.gate_proj` }));
    const linear = site.pass(`${name}.hook_pre_linear`, matmul(rec, { x, ...up, ofRows, label: `${name}.up_proj` }));
    post = gatedActivation(rec, { gate: gated, up: linear, activation: act, label: `${name}.act` });
  } else if (site.touches(`${name}.hook_pre`)) {
    const pre = site.pass(`${name}.hook_pre`, matmul(rec, { x, ...up, ofRows, label: `${name}.up_proj` }));
    post = activation(rec, { x: pre, activation: act, label: `${name}.act` });
  } else post = matmul(rec, { x, ...up, activation: act, ofRows, label: `${name}.up_proj` });
  return site.pass(`${name}.hook_post`, post);
}

/** One dispatch, where nobody looks at what is in between, and there are so few rows that `gatedMatmul` can. */
function gatedAtOnce(
  rec: Recorder,
  { gate, up }: { gate: Linear; up: Linear },
  { act: activation, ofRows }: Parameters<typeof mlpHidden>[2],
  x: Tensor,
  name: string,
  site: Site,
): Tensor | undefined {
  if (site.touches(`${name}.hook_pre`, `${name}.hook_pre_linear`)) return undefined;
  const replaced =
    ['gate', 'up'].some((each) => rec.replaces('matmul', `${name}.${each}_proj`)) ||
    rec.replaces('gatedActivation', `${name}.act`);
  const both = replaced ? undefined : joined([gate, up]);
  return both && gatedMatmul(rec, { x, ...both, activation, ofRows, label: `${name}.gate_up_proj` });
}
