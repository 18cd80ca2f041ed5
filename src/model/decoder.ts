import { attention } from '../kernels/attention/attention.ts';
import { attentionPattern, attentionScores } from '../kernels/attention-pattern/attention-pattern.ts';
import { gatedActivation } from '../kernels/elementwise/elementwise.ts';
import { headResult } from '../kernels/head-result/head-result.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import { rmsNorm } from '../kernels/norm/norm.ts';
import type { Recorder } from '../kernels/recorder.ts';
import { copyRows, rotaryEmbedding } from '../kernels/rotary/rotary.ts';
import { isBindable, reshape, type Tensor } from '../kernels/tensor.ts';
import type { TextConfig } from './config.ts';
import type { Hooks } from './hooks.ts';
import type { KvCache } from './kv-cache.ts';
import { projectOnto } from './residual.ts';
import type { DecoderBlock, DecoderWeights } from './weights.ts';

export interface DecoderRun {
  /** Merged embeddings, [batch * length, dModel]: `batch` independent sequences of equal length. */
  readonly x: Tensor;
  readonly batch: number;
  /** `ropeTable` of every row's position, [batch * length, dHead]. */
  readonly rope: Tensor;
  /** Keys and values of the positions before these, and where theirs are put. */
  readonly cache?: KvCache;
  readonly hooks: Hooks;
  /** Blocks to run. */
  readonly layers: number;
  /** Stop in the last block as soon as its head outputs are there, computing them for the hooks' positions alone. */
  readonly stopAtHeads: boolean;
}

/**
 * The blocks of a Llama decoder (HF `LlamaModel` without its final norm).
 * @returns the residual stream [batch * length, dModel], or nothing with `stopAtHeads`.
 */
export function decoder(
  rec: Recorder,
  weights: DecoderWeights,
  config: TextConfig,
  run: DecoderRun,
): Tensor | undefined {
  let x: Tensor | undefined = run.x;
  for (let l = 0; l < run.layers && x; l++) x = decoderBlock(rec, weights.blocks[l], config, x, l, run);
  return x;
}

/**
 * The final norm and the LM head (HF `LlamaForCausalLM`).
 * @param x rows of the residual stream, [n, dModel].
 * @param hooks offered what is computed, when `x` are the hooks' positions.
 * @returns [n, vocab]
 */
export function unembed(rec: Recorder, weights: DecoderWeights, config: TextConfig, x: Tensor, hooks?: Hooks): Tensor {
  const rows = bindable(rec, x);
  const normed = rmsNorm(rec, { x: rows, weight: weights.lnFinal, eps: config.eps, label: 'ln_final' });
  const logits = matmul(rec, { x: normed, weight: weights.lmHead, label: 'lm_head' });
  hooks?.emitNorm('ln_final', 'rms', config.eps, rows, normed, [rows.shape[0]]);
  hooks?.emit('logits', logits, true);
  return logits;
}

/** Pre-norm attention and gated MLP (HF `LlamaDecoderLayer`). */
function decoderBlock(
  rec: Recorder,
  w: DecoderBlock,
  config: TextConfig,
  x: Tensor,
  l: number,
  run: DecoderRun,
): Tensor | undefined {
  const { hooks } = run;
  const name = `blocks.${l}`;
  hooks.emit(`${name}.hook_resid_pre`, x);
  const normed = rmsNorm(rec, { x, weight: w.ln1, eps: config.eps, label: `${name}.ln1` });
  hooks.emitNorm(`${name}.ln1`, 'rms', config.eps, x, normed);

  const headsAlone = run.stopAtHeads && l === run.layers - 1;
  const z = headOutputs(rec, w, config, normed, l, run, headsAlone);
  if (headsAlone) return undefined;
  const flat = reshape(z, [x.shape[0], config.nHeads * config.dHead]);
  const mid = projectOnto(
    rec,
    { x: flat, ...w.o, residual: x, label: `${name}.attn.o_proj` },
    `${name}.hook_attn_out`,
    hooks,
    (t) => hooks.emit(`${name}.hook_attn_out`, t),
  );
  hooks.emit(`${name}.hook_resid_mid`, mid);

  const normed2 = rmsNorm(rec, { x: mid, weight: w.ln2, eps: config.eps, label: `${name}.ln2` });
  hooks.emitNorm(`${name}.ln2`, 'rms', config.eps, mid, normed2);
  const gate = matmul(rec, { x: normed2, ...w.gate, label: `${name}.mlp.gate_proj` });
  const up = matmul(rec, { x: normed2, ...w.up, label: `${name}.mlp.up_proj` });
  hooks.emit(`${name}.mlp.hook_pre`, gate);
  hooks.emit(`${name}.mlp.hook_pre_linear`, up);
  const post = gatedActivation(rec, { gate, up, activation: config.act, label: `${name}.mlp.act` });
  hooks.emit(`${name}.mlp.hook_post`, post);
  const out = projectOnto(
    rec,
    { x: post, ...w.down, residual: mid, label: `${name}.mlp.down_proj` },
    `${name}.hook_mlp_out`,
    hooks,
    (t) => hooks.emit(`${name}.hook_mlp_out`, t),
  );
  hooks.emit(`${name}.hook_resid_post`, out);
  return out;
}

/**
 * hook_z: softmax(q kᵀ / √dHead) v per head, before o_proj.
 * @param narrow compute the queries of the hooks' positions alone.
 * @returns [rows, nHeads, dHead], rows of all positions or of the wanted ones.
 */
function headOutputs(
  rec: Recorder,
  w: DecoderBlock,
  config: TextConfig,
  normed: Tensor,
  l: number,
  { batch, rope, cache, hooks }: DecoderRun,
  narrow: boolean,
): Tensor {
  const { nHeads, nKvHeads, dHead } = config;
  const name = `blocks.${l}.attn`;
  const count = normed.shape[0];
  const pick = (t: Tensor) => (narrow ? bindable(rec, hooks.narrow(t)) : t);

  const queryRows = pick(normed);
  const q = reshape(matmul(rec, { x: queryRows, ...w.q, label: `${name}.q_proj` }), [
    queryRows.shape[0],
    nHeads,
    dHead,
  ]);
  const k = reshape(matmul(rec, { x: normed, ...w.k, label: `${name}.k_proj` }), [count, nKvHeads, dHead]);
  const v = reshape(matmul(rec, { x: normed, ...w.v, label: `${name}.v_proj` }), [count, nKvHeads, dHead]);
  hooks.emit(`${name}.hook_q`, q, narrow);
  hooks.emit(`${name}.hook_k`, k);
  hooks.emit(`${name}.hook_v`, v);
  const rotQ = rotaryEmbedding(rec, { x: q, table: pick(rope), label: `${name}.rot_q` });
  const start = cache?.length ?? 0;
  const rotK = rotaryEmbedding(rec, {
    x: k,
    table: rope,
    out: cache?.keys[l],
    outRow: start,
    batch,
    label: `${name}.rot_k`,
  });
  if (cache) copyRows(rec, { x: v, out: cache.values[l], outRow: start, batch, label: `${name}.v cache` });
  hooks.emit(`${name}.hook_rot_q`, rotQ, narrow);
  if (hooks.wants(`${name}.hook_rot_k`))
    hooks.emit(
      `${name}.hook_rot_k`,
      cache ? rotaryEmbedding(rec, { x: k, table: rope, label: `${name}.rot_k` }) : rotK,
    );

  const length = count / batch;
  const how = { batch, causal: true, scale: dHead ** -0.5, keys: start + length };
  const keys = cache ? cache.keys[l] : rotK;
  const values = cache ? cache.values[l] : v;
  const scoresHook = `${name}.hook_attn_scores`;
  const patternHook = `${name}.hook_pattern`;
  if (hooks.wants(scoresHook, patternHook)) {
    const wantedQ = narrow ? rotQ : bindable(rec, hooks.narrow(rotQ));
    const offset = start + hooks.range.start;
    const scores = attentionScores(rec, { q: wantedQ, k: keys, ...how, offset, label: `${name}.scores` });
    hooks.emitWhole(scoresHook, scores);
    if (hooks.wants(patternHook))
      hooks.emitWhole(patternHook, attentionPattern(rec, { scores, label: `${name}.pattern` }));
  }
  const offset = start + (narrow ? hooks.range.start : 0);
  const z = attention(rec, { q: rotQ, k: keys, v: values, ...how, offset, label: `${name}.z` });
  hooks.emit(`${name}.hook_z`, z, narrow);
  if (hooks.wants(`${name}.hook_result`)) {
    const wantedZ = narrow ? z : bindable(rec, hooks.narrow(z));
    hooks.emit(
      `${name}.hook_result`,
      headResult(rec, { z: wantedZ, weight: w.o.weight, label: `${name}.result` }),
      true,
    );
  }
  return z;
}

/** A view that starts at a multiple of 256 bytes as it is, any other one copied: WebGPU binds no other offsets. */
function bindable(rec: Recorder, tensor: Tensor): Tensor {
  if (isBindable(tensor)) return tensor;
  const copy = rec.temp(tensor.label, tensor.dtype, tensor.shape);
  rec.copy(tensor, copy);
  return copy;
}
