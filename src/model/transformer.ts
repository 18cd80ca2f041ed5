import type { Activation } from '../kernels/activation/activation.wgsl.ts';
import { attention } from '../kernels/attention/attention.ts';
import { attentionPattern, attentionScores } from '../kernels/attention-pattern/attention-pattern.ts';
import { activation, add, gatedActivation } from '../kernels/elementwise/elementwise.ts';
import { headResult } from '../kernels/head-result/head-result.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import { layerNorm, rmsNorm } from '../kernels/norm/norm.ts';
import type { Recorder } from '../kernels/recorder.ts';
import { copyRows, rotaryEmbedding } from '../kernels/rotary/rotary.ts';
import { isBindable, reshape, type Tensor } from '../kernels/tensor.ts';
import type { Site } from './hooks.ts';
import type { BlockWeights, Norm } from './weights.ts';

/** The sizes and kinds of a block: all that differs between the decoders and towers of every family. */
export interface BlockShape {
  readonly dModel: number;
  readonly dMlp: number;
  readonly nHeads: number;
  readonly nKvHeads: number;
  readonly dHead: number;
  readonly eps: number;
  readonly act: Activation;
  /** MLP: down(act(gate(x)) · up(x)), or else down(act(up(x))). */
  readonly gated: boolean;
}

/** Which keys a query sees. */
export type Mask =
  /** Those up to its own position, the last `window` of them where that is given. */
  | { readonly causal: true; readonly window?: number }
  /** All, or those from the first to before the second number of its row of `segments` u32[rows, 2] (`pairs` in all). */
  | { readonly causal: false; readonly segments?: Tensor; readonly pairs?: number };

export interface BlockRun {
  /** `blocks.3`, `vision.blocks.0`: the hooks' names begin with it. */
  readonly name: string;
  readonly site: Site;
  /** `batch` independent sequences of equal length. */
  readonly batch: number;
  readonly mask: Mask;
  /** `ropeTable` of every row's position, [rows, dHead]; without it nothing is rotated. */
  readonly rope?: Tensor;
  /** Keys and values of the `start` positions before these, and where theirs are put. */
  readonly cache?: { readonly keys: Tensor; readonly values: Tensor; readonly start: number };
  /** Stop as soon as the head outputs are there, computing them for the wanted positions alone. */
  readonly headsAlone?: boolean;
}

/**
 * The block of every decoder and tower: pre-norm attention and MLP, each added to the residual stream (HF
 * `LlamaDecoderLayer`, `CLIPEncoderLayer`, `Qwen2_5_VLVisionBlock`, …).
 * @param x [rows, dModel]
 * @returns [rows, dModel], or nothing with `headsAlone`.
 */
export function block(rec: Recorder, w: BlockWeights, shape: BlockShape, x: Tensor, run: BlockRun): Tensor | undefined {
  const { name, site } = run;
  site.emit(`${name}.hook_resid_pre`, x);
  const z = headOutputs(rec, w, shape, norm(rec, w.ln1, shape, x, `${name}.ln1`, site), run);
  if (run.headsAlone) return undefined;
  const flat = reshape(z, [x.shape[0], shape.nHeads * shape.dHead]);
  const attn = { x: flat, ...w.o, residual: x, label: `${name}.attn.o_proj` };
  const mid = projectOnto(rec, attn, `${name}.hook_attn_out`, site);
  site.emit(`${name}.hook_resid_mid`, mid);
  const post = mlpHidden(rec, w, shape, norm(rec, w.ln2, shape, mid, `${name}.ln2`, site), `${name}.mlp`, site);
  const mlp = { x: post, ...w.down, residual: mid, label: `${name}.mlp.down_proj` };
  const out = projectOnto(rec, mlp, `${name}.hook_mlp_out`, site);
  site.emit(`${name}.hook_resid_post`, out);
  return out;
}

/** Layer norm where there is a bias, RMS norm where there is none, and its hooks. */
export function norm(
  rec: Recorder,
  { weight, bias }: Norm,
  { eps }: Pick<BlockShape, 'eps'>,
  x: Tensor,
  name: string,
  site?: Site,
): Tensor {
  const normed = bias
    ? layerNorm(rec, { x, weight, bias, eps, label: name })
    : rmsNorm(rec, { x, weight, eps, label: name });
  site?.emitNorm(name, bias ? 'layer' : 'rms', eps, x, normed);
  return normed;
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
  let post: Tensor;
  if (gate) {
    const gated = matmul(rec, { x, ...gate, label: `${name}.gate_proj` });
    const linear = matmul(rec, { x, ...up, label: `${name}.up_proj` });
    site.emit(`${name}.hook_pre`, gated);
    site.emit(`${name}.hook_pre_linear`, linear);
    post = gatedActivation(rec, { gate: gated, up: linear, activation: act, label: `${name}.act` });
  } else if (site.wants(`${name}.hook_pre`)) {
    const pre = matmul(rec, { x, ...up, label: `${name}.up_proj` });
    site.emit(`${name}.hook_pre`, pre);
    post = activation(rec, { x: pre, activation: act, label: `${name}.act` });
  } else post = matmul(rec, { x, ...up, activation: act, label: `${name}.up_proj` });
  site.emit(`${name}.hook_post`, post);
  return post;
}

/**
 * hook_z: softmax(q kᵀ / √dHead) v per head, before o_proj.
 * @returns [rows, nHeads, dHead], rows of all positions or, with `headsAlone`, of the wanted ones.
 */
function headOutputs(
  rec: Recorder,
  w: BlockWeights,
  { nHeads, nKvHeads, dHead }: BlockShape,
  normed: Tensor,
  { name: blockName, site, batch, mask, rope, cache, headsAlone: narrow = false }: BlockRun,
): Tensor {
  const name = `${blockName}.attn`;
  const count = normed.shape[0];
  const pick = (t: Tensor) => (narrow ? bindable(rec, site.narrow(t)) : t);
  const heads = (t: Tensor, n: number) => reshape(t, [t.shape[0], n, dHead]);

  const q = heads(matmul(rec, { x: pick(normed), ...w.q, label: `${name}.q_proj` }), nHeads);
  const k = heads(matmul(rec, { x: normed, ...w.k, label: `${name}.k_proj` }), nKvHeads);
  const v = heads(matmul(rec, { x: normed, ...w.v, label: `${name}.v_proj` }), nKvHeads);
  site.emit(`${name}.hook_q`, q, narrow);
  site.emit(`${name}.hook_k`, k);
  site.emit(`${name}.hook_v`, v);

  const start = cache?.start ?? 0;
  const rotQ = rope ? rotaryEmbedding(rec, { x: q, table: pick(rope), label: `${name}.rot_q` }) : q;
  const rotate = (into?: Tensor) =>
    rope
      ? rotaryEmbedding(rec, { x: k, table: rope, out: into, outRow: into && start, batch, label: `${name}.rot_k` })
      : k;
  const rotK = rotate(cache?.keys);
  if (cache) copyRows(rec, { x: v, out: cache.values, outRow: start, batch, label: `${name}.v cache` });
  if (rope) {
    site.emit(`${name}.hook_rot_q`, rotQ, narrow);
    if (site.wants(`${name}.hook_rot_k`)) site.emit(`${name}.hook_rot_k`, cache ? rotate() : rotK);
  }

  const how = { batch, ...mask, scale: dHead ** -0.5, keys: start + count / batch };
  // Where the first of some queries stands; without a causal mask that says nothing.
  const at = (row: number) => (mask.causal ? { offset: start + row } : {});
  const keys = cache?.keys ?? rotK;
  const values = cache?.values ?? v;
  if (site.wants(`${name}.hook_attn_scores`, `${name}.hook_pattern`)) {
    const wanted = narrow ? rotQ : bindable(rec, site.narrow(rotQ));
    const scores = attentionScores(rec, { q: wanted, k: keys, ...how, ...at(site.firstRow), label: `${name}.scores` });
    site.emitSquare(`${name}.hook_attn_scores`, scores);
    if (site.wants(`${name}.hook_pattern`))
      site.emitSquare(`${name}.hook_pattern`, attentionPattern(rec, { scores, label: `${name}.pattern` }));
  }
  const z = attention(rec, {
    q: rotQ,
    k: keys,
    v: values,
    ...how,
    ...at(narrow ? site.firstRow : 0),
    label: `${name}.z`,
  });
  site.emit(`${name}.hook_z`, z, narrow);
  for (const [extra, tensor] of rec.extras(`${name}.z`)) site.emit(`${name}.hook_${extra}`, tensor, narrow);
  if (site.wants(`${name}.hook_result`)) {
    const wanted = narrow ? z : bindable(rec, site.narrow(z));
    site.emit(`${name}.hook_result`, headResult(rec, { z: wanted, weight: w.o.weight, label: `${name}.result` }), true);
  }
  return z;
}

/** residual + (x · Wᵀ + bias) in one pass, or in two where somebody wants to see what is added. */
export function projectOnto(
  rec: Recorder,
  args: Parameters<typeof matmul>[1] & { residual: Tensor },
  hook: string,
  site: Site,
): Tensor {
  if (!site.wants(hook)) return matmul(rec, args);
  const { residual, ...rest } = args;
  const added = matmul(rec, rest);
  site.emit(hook, added);
  return add(rec, { a: residual, b: added, label: `${args.label} + residual` });
}

/** A view that starts at a multiple of 256 bytes as it is, any other one copied: WebGPU binds no other offsets. */
export function bindable(rec: Recorder, tensor: Tensor): Tensor {
  if (isBindable(tensor)) return tensor;
  const copy = rec.temp(tensor.label, tensor.dtype, tensor.shape);
  rec.copy(tensor, copy);
  return copy;
}
