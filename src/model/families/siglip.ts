import { reshape, type Tensor } from '../../gpu/tensor.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { ViTConfig } from '../config/vit.ts';
import { tokensPerCrop } from '../config/vit.ts';
import { InputError } from '../errors.ts';
import type { HookPoint } from '../interventions/hook-points.ts';
import { mlpHidden } from '../layers/mlp.ts';
import { projectOnto } from '../layers/project-onto.ts';
import { attend, norm } from '../layers/transformer.ts';
import { type Linear, layerNorm, linear, type WeightSource } from '../layers/weights.ts';
import type { DualFamily } from './dual.ts';

/** An image is what a learned query finds among its patches, a text its last token, padding or not (HF `SiglipModel`). */
export const siglip: DualFamily = {
  name: 'SigLIP',
  modelType: 'siglip',
  className: 'SiglipModel',
  imageProcessor: 'SiglipImageProcessor',
  writtenAs: (text) => text,
  textMask: { causal: false },
  padsTexts: true,
  hasLogitBias: true,
  scaleShape: [1],

  embeddingSize({ vision, text }, _, settings) {
    if (!vision.useHead)
      settings.problem('vision_config.vision_use_head: false is not supported, an image has no embedding then');
    if (text.projectionSize !== vision.dModel)
      settings.problem(
        `text_config.projection_size ${text.projectionSize} is not the width of images, vision_config.hidden_size ${vision.dModel}`,
      );
    return vision.dModel;
  },

  arrange(texts) {
    const { length } = texts[0];
    const other = texts.find((ids) => ids.length !== length);
    if (other)
      throw new InputError(
        `texts of ${length} and ${other.length} tokens: SigLIP sees padding, so that all must be padded to one length`,
      );
    const ids = new Uint32Array(texts.length * length);
    for (const [i, text] of texts.entries()) ids.set(Array.from(text), i * length);
    const pooled = Uint32Array.from(texts, (_, i) => (i + 1) * length - 1);
    return { ids, texts: texts.length, length, pooled };
  },

  textHead: ({ text, embeddingSize }, source) => linear(source, 'text_model.head', embeddingSize, text.dModel, true),

  /** HF `SiglipMultiheadAttentionPoolingHead`. */
  imageHead({ vision }, source) {
    const { dModel, dMlp, nHeads, dHead } = vision;
    const head = 'image_pooling.head';
    const post = layerNorm(source, 'image_pooling.post_layernorm', dModel);
    const probe = source.vector(`${head}.probe`, [1, 1, dModel]);
    const [q, k, v] = [0, 1, 2].map((index) => third(source, `${head}.attention`, vision, index));
    const o = linear(source, `${head}.attention.out_proj`, dModel, dModel, true);
    const ln = layerNorm(source, `${head}.layernorm`, dModel);
    const up = linear(source, `${head}.mlp.fc1`, dMlp, dModel, true);
    const down = linear(source, `${head}.mlp.fc2`, dModel, dMlp, true);

    return (rec, x, images, hooks) => {
      const name = 'vision.head';
      const tokens = x.shape[0] / images;
      const normed = norm(rec, post, vision, x, 'vision.ln_final', hooks.whole([images, tokens]));
      const site = hooks.whole([images, 1]);
      const heads = (t: Tensor) => reshape(t, [t.shape[0], nHeads, dHead]);
      const query = matmul(rec, { x: reshape(probe, [1, dModel]), ...q, label: `${name}.attn.q` });
      const same = rec.input('the one query', 'u32', [images], new Uint32Array(images));
      const queries = heads(gatherRows(rec, { x: query, rows: same, label: `${name}.attn.queries` }));
      const qkv = {
        q: queries,
        k: heads(matmul(rec, { x: normed, ...k, label: `${name}.attn.k` })),
        v: heads(matmul(rec, { x: normed, ...v, label: `${name}.attn.v` })),
      };
      const z = attend(rec, qkv, { name: `${name}.attn`, site, batch: images, mask: { causal: false } });
      const attn = matmul(rec, { x: reshape(z, [images, dModel]), ...o, label: `${name}.attn.out_proj` });
      const out = site.pass(`${name}.hook_attn_out`, attn);
      const hidden = mlpHidden(
        rec,
        { up },
        vision,
        norm(rec, ln, vision, out, `${name}.ln`, site),
        `${name}.mlp`,
        site,
      );
      const mlp = { x: hidden, ...down, residual: out, label: `${name}.mlp.fc2` };
      return projectOnto(rec, mlp, `${name}.hook_mlp_out`, site);
    };
  },

  headHookPoints(vision) {
    const { dModel, dMlp, nHeads, dHead } = vision;
    const tokens = tokensPerCrop(vision);
    const point = (name: string, ...rest: number[]): HookPoint => ({
      name: `vision.${name}`,
      layer: -1,
      shape: ({ crops }) => [crops, ...rest],
    });
    return [
      point('ln_final.hook_scale', tokens, 1),
      point('ln_final.hook_normalized', tokens, dModel),
      point('head.attn.hook_attn_scores', nHeads, 1, tokens),
      point('head.attn.hook_pattern', nHeads, 1, tokens),
      point('head.attn.hook_z', 1, nHeads, dHead),
      point('head.hook_attn_out', 1, dModel),
      point('head.ln.hook_scale', 1, 1),
      point('head.ln.hook_normalized', 1, dModel),
      point('head.mlp.hook_pre', 1, dMlp),
      point('head.mlp.hook_post', 1, dMlp),
      point('head.hook_mlp_out', 1, dModel),
    ];
  },
};

/** Query, key or value of `nn.MultiheadAttention`, which stores them one above the other. */
function third(source: WeightSource, name: string, { dModel }: ViTConfig, index: number): Linear {
  const placement = { part: { index, of: 3 } };
  return {
    weight: source.matrix(`${name}.in_proj_weight`, [3 * dModel, dModel], placement),
    bias: source.vector(`${name}.in_proj_bias`, [3 * dModel], placement),
  };
}
