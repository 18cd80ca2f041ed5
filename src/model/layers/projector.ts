import type { Recorder } from '../../gpu/recorder.ts';
import { rows, type Tensor } from '../../gpu/tensor.ts';
import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';
import { activation, gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { Taps } from '../../kernels/mix-rows/bilinear.ts';
import { mixRows } from '../../kernels/mix-rows/mix-rows.ts';
import type { Site } from '../interventions/hooks.ts';
import { inChunks, mostRows } from './chunks.ts';
import { tapChunks } from './tap-chunks.ts';
import type { Linear } from './weights.ts';

export interface ProjectorWeights {
  readonly linear1: Linear;
  readonly linear2: Linear;
}

/**
 * The connector: two linear layers and an activation (HF `LlavaMultiModalProjector`, the `mlp` of Qwen2-VL's `PatchMerger`).
 * What is in between is made in chunks of rows, unless somebody wants to see or change it.
 * @param x [rows, in]
 * @returns [rows, dModel of the decoder]
 */
export function projector(
  rec: Recorder,
  weights: ProjectorWeights,
  act: ActivationFunction,
  x: Tensor,
  site: Site,
): Tensor {
  const { linear1, linear2 } = weights;
  if (site.touches('projector.hook_pre')) {
    const pre = site.pass('projector.hook_pre', matmul(rec, { x, ...linear1, label: 'projector.linear_1' }));
    const hidden = activation(rec, { x: pre, activation: act, label: 'projector.act' });
    return matmul(rec, { x: hidden, ...linear2, label: 'projector.linear_2' });
  }
  const [count] = x.shape;
  const out = rec.temp('projector.linear_2', 'f32', [count, linear2.weight.shape[0]]);
  inChunks(rec.gpu, count, widest(weights), (chunk) =>
    project(rec, weights, act, chunk(x), { ofRows: count, out: chunk(out) }),
  );
  return out;
}

/**
 * Weighted sums of the projector's rows. Where these are more than a binding holds, and nobody wants to see or change them, the rows
 * that a chunk of sums reads are gathered and projected by themselves. Those that two chunks read run twice.
 * @param x [rows, in]
 * @param taps four rows of the projector's output for each sum.
 * @returns [sums, dModel of the decoder]
 */
export function projectAndMix(
  rec: Recorder,
  weights: ProjectorWeights,
  act: ActivationFunction,
  x: Tensor,
  taps: Taps,
  site: Site,
): Tensor {
  const [count] = x.shape;
  const most = mostRows(rec.gpu, widest(weights));
  const out = rec.temp('projector.resized', 'f32', [taps.indices.length / 4, weights.linear2.weight.shape[0]]);
  if (count <= most || site.touches('projector.hook_pre', 'projector.hook_out'))
    return mix(rec, site.pass('projector.hook_out', projector(rec, weights, act, x, site)), taps, out);
  for (const { start, end, read, ...own } of tapChunks(taps, most)) {
    const index = rec.input('projected rows', 'u32', [read.length], read);
    const some = gatherRows(rec, { x, rows: index, label: 'projector.rows' });
    mix(rec, project(rec, weights, act, some, { ofRows: count }), own, rows(out, start, end));
  }
  return out;
}

/** Numbers of a row of what goes in, of what is in between, or of what comes out. */
const widest = ({ linear1, linear2 }: ProjectorWeights): number =>
  Math.max(...linear1.weight.shape, linear2.weight.shape[0]);

/** @param out [sums, columns of x] */
const mix = (rec: Recorder, x: Tensor, { indices, weights }: Taps, out: Tensor): Tensor =>
  mixRows(rec, {
    x,
    indices: rec.input('taps', 'u32', [out.shape[0], 4], indices),
    weights: rec.input('tap weights', 'f32', [out.shape[0], 4], weights),
    out,
    label: 'projector.resized',
  });

/** Both layers over some of `ofRows` rows. */
function project(
  rec: Recorder,
  { linear1, linear2 }: ProjectorWeights,
  act: ActivationFunction,
  x: Tensor,
  { ofRows, out }: { ofRows: number; out?: Tensor },
): Tensor {
  const hidden = matmul(rec, { x, ...linear1, activation: act, ofRows, label: 'projector.linear_1' });
  return matmul(rec, { x: hidden, ...linear2, ofRows, out, label: 'projector.linear_2' });
}
