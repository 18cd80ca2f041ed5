import { greatest } from '../../base/extremes.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { TextTowerConfig } from '../config/text-tower.ts';
import { tokensPerCrop } from '../config/vit.ts';
import { InputError } from '../errors.ts';
import type { HookPoint } from '../interventions/hook-points.ts';
import { norm } from '../layers/transformer.ts';
import { layerNorm, linear } from '../layers/weights.ts';
import type { DualFamily } from './dual.ts';

/** An image is its class token, a text its end token (HF `CLIPModel`). */
export const clip: DualFamily = {
  name: 'CLIP',
  modelType: 'clip',
  className: 'CLIPModel',
  imageProcessor: 'CLIPImageProcessor',
  // Letter by letter, as HF's tokenizers put texts into lower case: a final sigma would become another letter.
  writtenAs: (text) => Array.from(text.normalize('NFC'), (letter) => letter.toLowerCase()).join(''),
  textMask: { causal: true },
  padsTexts: false,
  hasLogitBias: false,
  scaleShape: [],

  embeddingSize: (_, projectionDim) => projectionDim,

  arrange(texts, config) {
    const length = greatest(texts.map((ids) => ids.length));
    const ids = new Uint32Array(texts.length * length);
    const pooled = new Uint32Array(texts.length);
    for (const [i, text] of texts.entries()) {
      // What follows a text is behind all that its tokens see.
      ids.fill(text[text.length - 1], i * length, (i + 1) * length);
      ids.set(Array.from(text), i * length);
      pooled[i] = i * length + endOf(text, config);
    }
    return { ids, texts: texts.length, length, pooled };
  },

  textHead: ({ text, embeddingSize }, source) => linear(source, 'text_projection', embeddingSize, text.dModel, false),

  imageHead({ vision, embeddingSize }, source) {
    const post = layerNorm(source, 'image_pooling.post_layernorm', vision.dModel);
    const projection = linear(source, 'visual_projection', embeddingSize, vision.dModel, false);
    const tokens = tokensPerCrop(vision);
    return (rec, x, images, hooks) => {
      const first = Uint32Array.from({ length: images }, (_, i) => i * tokens);
      const index = rec.input('class tokens', 'u32', [images], first);
      const pooled = gatherRows(rec, { x, rows: index, label: 'vision.pooled' });
      const normed = norm(rec, post, vision, pooled, 'vision.ln_final', hooks.whole([images]));
      return matmul(rec, { x: normed, ...projection, label: 'visual_projection' });
    };
  },

  headHookPoints: ({ dModel }): HookPoint[] => [
    { name: 'vision.ln_final.hook_scale', layer: -1, shape: ({ crops }) => [crops, 1] },
    { name: 'vision.ln_final.hook_normalized', layer: -1, shape: ({ crops }) => [crops, dModel] },
  ],
};

/** Configs of before transformers 4.31 say 2, whatever the end token is: then it is the text's largest id. */
const unknownEnd = 2;

/** Where a text's end token stands, the first if there are several. */
function endOf(ids: ArrayLike<number>, { eosTokenId }: TextTowerConfig): number {
  const list = Array.from(ids);
  const at = list.indexOf(eosTokenId === unknownEnd ? greatest(list) : eosTokenId);
  if (at < 0)
    throw new InputError(
      `a text of ${list.length} tokens has no end token ${eosTokenId}: tokenizer.json ends texts with ${list.at(-1)}, but text_config.eos_token_id of config.json is where its embedding is read`,
    );
  return at;
}
