import type { Recorder } from '../../gpu/recorder.ts';
import { reshape, type Tensor } from '../../gpu/tensor.ts';
import { attention } from '../../kernels/attention/attention.ts';
import { attentionPattern, attentionScores } from '../../kernels/attention-pattern/attention-pattern.ts';
import { attentionValues } from '../../kernels/attention-values/attention-values.ts';
import { headResult, headSum } from '../../kernels/head-result/head-result.ts';
import { layerNorm, normScale, rmsNorm } from '../../kernels/norm/norm.ts';
import type { BlockShape } from '../config/block.ts';
import { InputError } from '../errors.ts';
import type { Site } from '../interventions/hooks.ts';
import { type AttentionInputs, attentionInputs } from './attention-inputs.ts';
import { bindable } from './bindable.ts';
import type { BlockRun } from './block-run.ts';
import { mlp } from './mlp.ts';
import { addOnto, projectOnto } from './project-onto.ts';
import type { BlockWeights, Norm } from './weights.ts';

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
function headOutputs(rec: Recorder, w: BlockWeights, shape: BlockShape, normed: Tensor, run: BlockRun): Tensor {
  return attend(rec, attentionInputs(rec, w, shape, normed, run), { ...run, name: `${run.name}.attn` });
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
 * @param run its name is `blocks.3.attn`, that of the block and what the hooks' names begin with.
 * @returns [batch * queries, nHeads, dHead]
 * @throws InputError where scores or the pattern are to be edited and a custom kernel stands in attention's place.
 */
export function attend(
  rec: Recorder,
  { q, k, v, keys, start = 0 }: AttentionInputs,
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
