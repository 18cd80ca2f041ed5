import type { Recorder } from '../../gpu/recorder.ts';
import { isBindable, reshape, type Tensor } from '../../gpu/tensor.ts';
import { attention } from '../../kernels/attention/attention.ts';
import { attentionPattern, attentionScores } from '../../kernels/attention-pattern/attention-pattern.ts';
import { attentionValues } from '../../kernels/attention-values/attention-values.ts';
import { headResult, headSum } from '../../kernels/head-result/head-result.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import { layerNorm, normScale, rmsNorm } from '../../kernels/norm/norm.ts';
import { copyRows, rotaryEmbedding } from '../../kernels/rotary/rotary.ts';
import type { BlockShape } from '../config/block.ts';
import { InputError } from '../errors.ts';
import type { Site } from '../interventions/hooks.ts';
import { mlp } from './mlp.ts';
import { addOnto, projectOnto } from './project-onto.ts';
import type { BlockWeights, Norm } from './weights.ts';

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
  /** It is a step of a generation, which is to run again with a position more in the cache (`Dispatch.later`). */
  readonly moves?: boolean;
  /** Stop as soon as the head outputs are there, computing them for the wanted positions alone. */
  readonly headsAlone?: boolean;
}

/**
 * The block of every decoder and tower: pre-norm attention and MLP, each added to the residual stream (HF
 * `LlamaDecoderLayer`, `CLIPEncoderLayer`, `Qwen2_5_VLVisionBlock`, …).
 * @param x [rows, dModel]
 * @returns [rows, dModel], or nothing with `headsAlone`.
 */
export function block(
  rec: Recorder,
  w: BlockWeights,
  shape: BlockShape,
  input: Tensor,
  run: BlockRun,
): Tensor | undefined {
  const { name, site } = run;
  const x = site.pass(`${name}.hook_resid_pre`, input);
  const z = headOutputs(rec, w, shape, norm(rec, w.ln1, shape, x, `${name}.ln1`, site), run);
  const results = headResults(rec, w, z, run);
  if (run.headsAlone) return undefined;
  const flat = reshape(z, [x.shape[0], shape.nHeads * shape.dHead]);
  const attn = { x: flat, ...w.o, residual: x, label: `${name}.attn.o_proj` };
  const attnOut = `${name}.hook_attn_out`;
  const sum = results && headSum(rec, { result: results, bias: w.o.bias, label: attn.label });
  const added = sum ? addOnto(rec, { ...attn, added: sum }, attnOut, site) : projectOnto(rec, attn, attnOut, site);
  const mid = site.pass(`${name}.hook_resid_mid`, added);
  const normed = norm(rec, w.ln2, shape, mid, `${name}.ln2`, site);
  return site.pass(`${name}.hook_resid_post`, mlp(rec, w, shape, { x: normed, residual: mid }, name, site));
}

/**
 * Layer norm where there is a bias, RMS norm where there is none, and its hooks.
 * @throws InputError where `hook_scale` is to be edited and a custom kernel stands in the norm's place.
 */
export function norm(
  rec: Recorder,
  { weight, bias }: Norm,
  { eps }: Pick<BlockShape, 'eps'>,
  x: Tensor,
  name: string,
  site?: Site,
): Tensor {
  const kind = bias ? 'layer' : 'rms';
  const hook = `${name}.hook_scale`;
  let scales: Tensor | undefined;
  if (site?.touches(hook)) {
    const left = site.pass(hook, normScale(rec, { x, eps, kind, label: hook }));
    if (site.edits(hook)) {
      expectOurs(rec, `${kind}Norm`, name, hook);
      scales = left;
    }
  }
  const normed = bias
    ? layerNorm(rec, { x, weight, bias, scales, eps, label: name })
    : rmsNorm(rec, { x, weight, scales, eps, label: name });
  return site?.pass(`${name}.hook_normalized`, normed) ?? normed;
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
  { name: blockName, site, batch, mask, rope, cache, moves, headsAlone: narrow = false }: BlockRun,
): Tensor {
  const name = `${blockName}.attn`;
  const count = normed.shape[0];
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
  // What nothing comes before attends to its own keys and values, not to what a cache of fewer bits keeps of them: a prompt's
  // numbers are then those of a run without a cache.
  const own = !cache || (start === 0 && cache.keys.dtype !== 'f32');
  if (cache) copyRows(rec, { x: v, out: cache.values, ...into, label: `${name}.v cache` });
  let keys: Tensor;
  if (rope && cache && !own && !site.touches(`${name}.hook_rot_k`))
    keys = rotaryEmbedding(rec, { x: k, table: rope, out: cache.keys, ...into, label: `${name}.rot_k` });
  else {
    const turned = rope
      ? site.pass(`${name}.hook_rot_k`, rotaryEmbedding(rec, { x: k, table: rope, label: `${name}.rot_k` }))
      : k;
    if (cache) copyRows(rec, { x: turned, out: cache.keys, ...into, label: `${name}.k cache` });
    keys = own ? turned : cache.keys;
  }
  const seen = { q: rotQ, k: keys, v: own ? v : cache.values, keys: start + count / batch, start };
  return attend(rec, seen, { name, site, batch, mask, moves, headsAlone: narrow });
}

/**
 * hook_result: each head's z through its rows of W_O, for who wants to see or change it.
 * @param z [rows, nHeads, dHead]
 * @returns [rows, nHeads, dModel] where edits change it, of all rows: what is to be added up in the place of o_proj.
 */
function headResults(
  rec: Recorder,
  { o }: Pick<BlockWeights, 'o'>,
  z: Tensor,
  { name, site, headsAlone: narrow = false }: BlockRun,
): Tensor | undefined {
  const hook = `${name}.attn.hook_result`;
  const edited = site.edits(hook) && !narrow;
  if (!edited && !site.wants(hook)) return undefined;
  if (edited) expectOurs(rec, 'matmul', `${name}.attn.o_proj`, hook);
  const of = edited || narrow ? z : bindable(rec, site.narrow(z));
  const label = `${name}.attn.result`;
  const results = site.pass(hook, headResult(rec, { z: of, weight: o.weight, label }), !edited);
  return edited ? results : undefined;
}

/** Refuses an edit that bypasses a fused kernel which a custom one replaces. @throws InputError */
function expectOurs(rec: Recorder, kernel: string, label: string, hook: string): void {
  if (rec.replaces(kernel, label))
    throw new InputError(
      `edit of ${hook}: it takes ${label} apart, where a kernel of your own stands in the place of ${kernel}; leave one out`,
    );
}

/**
 * Attention with its hooks, from scores to hook_z: softmax(q kᵀ / √dHead) v per head.
 * @param qkv q [batch * queries, nHeads, dHead], k and v [batch * rows, nKvHeads, dHead] of which the first `keys` of each
 *   sequence count (all by default); `start` is the position of each sequence's first row.
 * @param run its name is `blocks.3.attn`, that of the block and what the hooks' names begin with.
 * @returns [batch * queries, nHeads, dHead]
 * @throws InputError where scores or the pattern are to be edited and a custom kernel stands in attention's place.
 */
export function attend(
  rec: Recorder,
  { q, k, v, keys, start = 0 }: { q: Tensor; k: Tensor; v: Tensor; keys?: number; start?: number },
  { name, site, batch, mask, moves, headsAlone: narrow = false }: Omit<BlockRun, 'rope' | 'cache'>,
): Tensor {
  const [, nHeads, dHead] = q.shape;
  const how = { batch, ...mask, scale: dHead ** -0.5, keys, moves };
  // Where the first of some queries stands; without a causal mask that says nothing.
  const at = (row: number) => (mask.causal ? { offset: start + row } : {});
  const first = narrow ? site.firstRow : 0;
  const [scoresHook, patternHook] = [`${name}.hook_attn_scores`, `${name}.hook_pattern`];
  /** Scores and pattern as matrices, and as they are after edits. */
  const matrices = (queries: Tensor, row: number, narrowed: boolean): Tensor | undefined => {
    const args = { q: queries, k, ...how, ...at(row), label: `${name}.scores` };
    const scores = site.passSquare(scoresHook, attentionScores(rec, args), narrowed);
    if (!site.touches(patternHook) && !site.edits(scoresHook)) return undefined;
    return site.passSquare(patternHook, attentionPattern(rec, { scores, label: `${name}.pattern` }), narrowed);
  };
  let z: Tensor;
  if (site.edits(scoresHook, patternHook)) {
    expectOurs(rec, 'attention', `${name}.z`, site.edits(scoresHook) ? scoresHook : patternHook);
    const pattern = matrices(q, first, narrow)!;
    z = attentionValues(rec, { pattern, v, heads: nHeads, batch, label: `${name}.z` });
  } else {
    if (site.wants(scoresHook, patternHook)) matrices(narrow ? q : bindable(rec, site.narrow(q)), site.firstRow, true);
    // Head vectors are kept in feature caches and classifiers: their last bits are to stay.
    z = attention(rec, { q, k, v, ...how, ...at(first), splitKeys: !narrow, label: `${name}.z` });
  }
  z = site.pass(`${name}.hook_z`, z, narrow);
  for (const [extra, tensor] of rec.extras(`${name}.z`)) site.pass(`${name}.hook_${extra}`, tensor, narrow);
  return z;
}

/** A view that starts at a multiple of 256 bytes as it is, any other one copied: WebGPU binds no other offsets. */
export function bindable(rec: Recorder, tensor: Tensor): Tensor {
  if (isBindable(tensor)) return tensor;
  const copy = rec.temp(tensor.label, tensor.dtype, tensor.shape);
  rec.copy(tensor, copy);
  return copy;
}
