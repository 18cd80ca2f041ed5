import { attention } from '../kernels/attention/attention.ts';
import { attentionPattern, attentionScores } from '../kernels/attention-pattern/attention-pattern.ts';
import { activation, concatColumns, gatherRows } from '../kernels/elementwise/elementwise.ts';
import { headResult } from '../kernels/head-result/head-result.ts';
import { matmul } from '../kernels/matmul/matmul.ts';
import { layerNorm } from '../kernels/norm/norm.ts';
import { patchify } from '../kernels/patchify/patchify.ts';
import type { Recorder } from '../kernels/recorder.ts';
import { reshape, type Tensor } from '../kernels/tensor.ts';
import { visionEmbedding } from '../kernels/vision-embedding/vision-embedding.ts';
import type { LlavaConfig, VisionConfig } from './config.ts';
import type { Hooks } from './hooks.ts';
import { projectOnto } from './residual.ts';
import type { VisionBlock, VisionWeights } from './weights.ts';

/**
 * CLIP's tower up to the last feature layer (HF `CLIPVisionModel`), and the selection of LLaVA (`get_image_features`).
 *
 * @param pixels [images, 3, size, size], normalised.
 * @returns [images * imageTokens, dModel * featureLayers]
 */
export function visionTower(
  rec: Recorder,
  weights: VisionWeights,
  config: LlavaConfig,
  pixels: Tensor,
  hooks: Hooks,
): Tensor {
  const { vision } = config;
  const images = pixels.shape[0];

  const patches = matmul(rec, {
    x: patchify(rec, { pixels, patch: vision.patchSize, label: 'vision.patches' }),
    weight: weights.patchEmbedding,
    label: 'vision.patch_embedding',
  });
  const perImage = patches.shape[0] / images;
  hooks.emitWhole('vision.hook_embed', patches, [images, perImage, vision.dModel]);
  const embedded = visionEmbedding(rec, {
    patches,
    classEmbedding: weights.classEmbedding,
    position: weights.positionEmbedding,
    batch: images,
    label: 'vision.embeddings',
  });
  const shape = [images, perImage + 1];
  hooks.emitWhole('vision.hook_full_embed', embedded, [...shape, vision.dModel]);
  let x = layerNorm(rec, { x: embedded, ...weights.lnPre, eps: vision.eps, label: 'vision.ln_pre' });
  hooks.emitWhole('vision.hook_ln_pre', x, [...shape, vision.dModel]);

  const states = new Map([[0, x]]);
  const layers = Math.max(...config.featureLayers, hooks.visionLayers);
  for (const [l, block] of weights.blocks.slice(0, layers).entries()) {
    x = visionBlock(rec, block, vision, x, shape, `vision.blocks.${l}`, hooks);
    states.set(l + 1, x);
  }

  const features = config.featureLayers.map((layer) => states.get(layer)!);
  const joined =
    features.length === 1 ? features[0] : concatColumns(rec, { parts: features, label: 'vision.features' });
  if (config.selectStrategy === 'full') return joined;
  const withoutClass = new Uint32Array(images * perImage);
  for (let row = 0; row < withoutClass.length; row++) withoutClass[row] = row + Math.floor(row / perImage) + 1;
  const index = rec.input('patch rows', 'u32', [withoutClass.length], withoutClass);
  return gatherRows(rec, { x: joined, rows: index, label: 'vision.selected' });
}

/** Pre-norm attention and MLP (HF `CLIPEncoderLayer`). `x` is [images * tokens, dModel], `shape` [images, tokens]. */
function visionBlock(
  rec: Recorder,
  w: VisionBlock,
  config: VisionConfig,
  x: Tensor,
  shape: number[],
  name: string,
  hooks: Hooks,
): Tensor {
  const { nHeads, dHead, dModel, dMlp, eps } = config;
  const [images, tokens] = shape;
  const emit = (hook: string, t: Tensor, ...rest: number[]) =>
    hooks.emitWhole(`${name}.${hook}`, t, [...shape, ...rest]);
  const heads = (t: Tensor) => reshape(t, [images * tokens, nHeads, dHead]);

  emit('hook_resid_pre', x, dModel);
  const normed = layerNorm(rec, { x, ...w.ln1, eps, label: `${name}.ln1` });
  hooks.emitNorm(`${name}.ln1`, 'layer', eps, x, normed, shape);
  const q = heads(matmul(rec, { x: normed, ...w.q, label: `${name}.attn.q_proj` }));
  const k = heads(matmul(rec, { x: normed, ...w.k, label: `${name}.attn.k_proj` }));
  const v = heads(matmul(rec, { x: normed, ...w.v, label: `${name}.attn.v_proj` }));
  emit('attn.hook_q', q, nHeads, dHead);
  emit('attn.hook_k', k, nHeads, dHead);
  emit('attn.hook_v', v, nHeads, dHead);
  const how = { batch: images, causal: false, scale: dHead ** -0.5 };
  if (hooks.wants(`${name}.attn.hook_attn_scores`, `${name}.attn.hook_pattern`)) {
    const square = [images, nHeads, tokens, tokens];
    const scores = attentionScores(rec, { q, k, ...how, label: `${name}.attn.scores` });
    hooks.emitWhole(`${name}.attn.hook_attn_scores`, scores, square);
    if (hooks.wants(`${name}.attn.hook_pattern`))
      hooks.emitWhole(
        `${name}.attn.hook_pattern`,
        attentionPattern(rec, { scores, label: `${name}.attn.pattern` }),
        square,
      );
  }
  const z = attention(rec, { q, k, v, ...how, label: `${name}.attn.z` });
  emit('attn.hook_z', z, nHeads, dHead);
  if (hooks.wants(`${name}.attn.hook_result`))
    emit(
      'attn.hook_result',
      headResult(rec, { z, weight: w.out.weight, label: `${name}.attn.result` }),
      nHeads,
      dModel,
    );

  const flat = reshape(z, [images * tokens, nHeads * dHead]);
  const mid = projectOnto(
    rec,
    { x: flat, ...w.out, residual: x, label: `${name}.attn.out_proj` },
    `${name}.hook_attn_out`,
    hooks,
    (t) => emit('hook_attn_out', t, dModel),
  );
  emit('hook_resid_mid', mid, dModel);

  const normed2 = layerNorm(rec, { x: mid, ...w.ln2, eps, label: `${name}.ln2` });
  hooks.emitNorm(`${name}.ln2`, 'layer', eps, mid, normed2, shape);
  let post: Tensor;
  if (hooks.wants(`${name}.mlp.hook_pre`)) {
    const pre = matmul(rec, { x: normed2, ...w.fc1, label: `${name}.mlp.fc1` });
    emit('mlp.hook_pre', pre, dMlp);
    post = activation(rec, { x: pre, activation: config.act, label: `${name}.mlp.act` });
  } else post = matmul(rec, { x: normed2, ...w.fc1, activation: config.act, label: `${name}.mlp.fc1` });
  emit('mlp.hook_post', post, dMlp);
  const out = projectOnto(
    rec,
    { x: post, ...w.fc2, residual: mid, label: `${name}.mlp.fc2` },
    `${name}.hook_mlp_out`,
    hooks,
    (t) => emit('hook_mlp_out', t, dModel),
  );
  emit('hook_resid_post', out, dModel);
  return out;
}
