import type { Recorder } from '../../gpu/recorder.ts';
import { reshape, type Tensor } from '../../gpu/tensor.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import { rotatedMatmul } from '../../kernels/matmul/rotated.ts';
import { rotateAndAppend } from '../../kernels/rotary/append.ts';
import { copyRows, rotaryEmbedding } from '../../kernels/rotary/rotary.ts';
import type { BlockShape } from '../config/block.ts';
import { bindable } from './bindable.ts';
import type { BlockRun } from './block-run.ts';
import { type BlockWeights, joined } from './weights.ts';

/** What attention reads. */
export interface AttentionInputs {
  /** [batch * queries, nHeads, dHead], turned where there is a rotary table. */
  readonly q: Tensor;
  /** [batch * rows, nKvHeads, dHead], as `q`, and values. */
  readonly k: Tensor;
  readonly v: Tensor;
  /** How many of each sequence's rows of `k` and `v` count, from the first on. Default: all. */
  readonly keys?: number;
  /** The position of each sequence's first query. Default 0. */
  readonly start?: number;
}

type Inputs = [rec: Recorder, w: BlockWeights, shape: BlockShape, normed: Tensor, run: BlockRun];

/**
 * q, k and v of a block, with their hooks; with a cache keys and values are put there too.
 * @param normed [rows, dModel]
 */
export const attentionInputs = (...of: Inputs): AttentionInputs => atOnce(...of) ?? oneByOne(...of);

/**
 * Up to so many rows a matrix product takes the same kernel whatever the columns (`chooseMatmul`): numbers are then the same at once
 * and one by one. More rows keep the GPU so long that launches do not count.
 */
const fewRows = 64;

/**
 * One dispatch for a row or a few, two for more: for the steps of a generation, where launches count. Nothing where somebody looks at
 * what is in between.
 */
function atOnce(...[rec, w, { nHeads, dHead }, normed, run]: Inputs): AttentionInputs | undefined {
  const { site, batch, rope, cache, moves } = run;
  const name = `${run.name}.attn`;
  const [count] = normed.shape;
  if (!rope || !cache || count > fewRows || run.headsAlone || attendsToItself(run)) return undefined;
  if (site.touches(...['q', 'k', 'v', 'rot_q', 'rot_k'].map((each) => `${name}.hook_${each}`))) return undefined;
  const replaced =
    ['q', 'k', 'v'].some((each) => rec.replaces('matmul', `${name}.${each}_proj`)) ||
    ['rot_q', 'rot_k'].some((each) => rec.replaces('rotary', `${name}.${each}`)) ||
    rec.replaces('copyRows', `${name}.v cache`);
  const all = replaced ? undefined : joined([w.q, w.k, w.v]);
  if (!all) return undefined;
  const { keys: k, values: v, start } = cache;
  const into = { table: rope, heads: nHeads, keys: k, values: v, outRow: start, batch, moves };
  const product = { x: normed, ...all, label: `${name}.qkv_proj` };
  const q =
    (rec.replaces('matmul', product.label) ? undefined : rotatedMatmul(rec, { ...product, ...into })) ??
    rotateAndAppend(rec, { qkv: matmul(rec, product), ...into, label: `${name}.rot_q, k and v` });
  return { q: reshape(q, [count, nHeads, dHead]), k, v, keys: start + count / batch, start };
}

function oneByOne(...[rec, w, { nHeads, nKvHeads, dHead }, normed, run]: Inputs): AttentionInputs {
  const { site, batch, rope, cache, moves, headsAlone: narrow = false } = run;
  const name = `${run.name}.attn`;
  const pick = (t: Tensor) => (narrow ? bindable(rec, site.narrow(t)) : t);
  const heads = (t: Tensor, n: number) => reshape(t, [t.shape[0], n, dHead]);

  const q = site.pass(
    `${name}.hook_q`,
    heads(matmul(rec, { x: pick(normed), ...w.q, label: `${name}.q_proj` }), nHeads),
    narrow,
  );
  const k = site.pass(`${name}.hook_k`, heads(matmul(rec, { x: normed, ...w.k, label: `${name}.k_proj` }), nKvHeads));
  const v = site.pass(`${name}.hook_v`, heads(matmul(rec, { x: normed, ...w.v, label: `${name}.v_proj` }), nKvHeads));

  const rotQ = rope
    ? site.pass(`${name}.hook_rot_q`, rotaryEmbedding(rec, { x: q, table: pick(rope), label: `${name}.rot_q` }), narrow)
    : q;
  const start = cache?.start ?? 0;
  const into = { outRow: start, batch, moves };
  const own = attendsToItself(run);
  if (cache) copyRows(rec, { x: v, out: cache.values, ...into, label: `${name}.v cache` });
  let keys: Tensor;
  if (rope && cache && !own && !site.touches(`${name}.hook_rot_k`))
    keys = rotaryEmbedding(rec, { x: k, table: rope, out: cache.keys, ...into, label: `${name}.rot_k` });
  else {
    const turned = rope
      ? site.pass(`${name}.hook_rot_k`, rotaryEmbedding(rec, { x: k, table: rope, label: `${name}.rot_k` }))
      : k;
    if (cache) copyRows(rec, { x: turned, out: cache.keys, ...into, label: `${name}.k cache` });
    keys = own || !cache ? turned : cache.keys;
  }
  return { q: rotQ, k: keys, v: own || !cache ? v : cache.values, keys: start + normed.shape[0] / batch, start };
}

/**
 * What nothing comes before attends to its own keys and values, not to what a cache of fewer bits keeps of them: a prompt's numbers are
 * then those of a run without a cache.
 */
const attendsToItself = ({ cache }: BlockRun): boolean => !cache || (cache.start === 0 && cache.keys.dtype !== 'f32');
