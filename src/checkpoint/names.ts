// Tensor names. Checkpoints are met in several layouts; the rest of the code knows one, the *canonical* names:
//
//   language_model.embed_tokens.weight        language_model.layers.3.self_attn.q_proj.weight
//   language_model.norm.weight                lm_head.weight
//   vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight         (CLIP, SigLIP)
//   multi_modal_projector.linear_1.weight     image_newline
//   visual.blocks.0.attn.qkv.weight           visual.merger.ln_q.weight (Qwen2-VL)
//   image_pooling.post_layernorm.weight       text_model.encoder.layers.0.mlp.fc1.weight (CLIP, SigLIP with both towers)
//
// which are the module names of transformers >= 4.52 without the leading `model.`, except that the tower keeps the
// `vision_model.` that the hub's files have and transformers 5 drops, and that what makes one vector of an image's tokens
// stands apart from the tower: the LLaVAs have it too, but never read it.

/** The layouts, as `inspect` names them. */
export type NameLayout = 'hub' | 'transformers' | 'bare' | 'dual';

export const layoutDescriptions: Record<NameLayout, string> = {
  hub: 'language_model.model.… (the hub, transformers < 4.52, and what transformers 5 saves)',
  transformers: 'model.language_model.… (transformers >= 4.52 in its own module names)',
  bare: 'model.layers.… (text decoders, Qwen2-VL on the hub; with model.mm_projector.… the original LLaVA repositories)',
  dual: 'text_model.… and vision_model.… (CLIP and SigLIP with both towers)',
};

/** How each layout's names begin, and what takes the place of that. The first rule that fits is applied, once. */
const rules: Record<NameLayout, readonly (readonly [RegExp, string])[]> = {
  hub: [
    [/^language_model\.model\./, 'language_model.'],
    [/^language_model\.lm_head\./, 'lm_head.'],
  ],
  transformers: [
    [/^model\.language_model\./, 'language_model.'],
    [/^model\.vision_tower\./, 'vision_tower.'],
    [/^model\.visual\./, 'visual.'],
    [/^model\.multi_modal_projector\./, 'multi_modal_projector.'],
    [/^model\.image_newline$/, 'image_newline'],
  ],
  bare: [
    [/^model\.(?=layers\.|embed_tokens\.|norm\.)/, 'language_model.'],
    // mlp2x_gelu is a Sequential of linear, activation, linear.
    [/^model\.mm_projector\.0\./, 'multi_modal_projector.linear_1.'],
    [/^model\.mm_projector\.2\./, 'multi_modal_projector.linear_2.'],
    // The tower is wrapped in a class of the same attribute name.
    [/^model\.vision_tower\.vision_tower\./, 'vision_tower.'],
    [/^model\.image_newline$/, 'image_newline'],
  ],
  dual: [
    [/^vision_model\.(?=post_layernorm\.|head\.)/, 'image_pooling.'],
    [/^vision_model\./, 'vision_tower.vision_model.'],
  ],
};

/**
 * Which layout a checkpoint has: the one of its language model, or of its towers where it has two. Undefined where no name
 * is telling, as in a file of canonical names.
 */
export function detectLayout(names: Iterable<string>): NameLayout | undefined {
  for (const name of names) {
    if (name.startsWith('language_model.model.')) return 'hub';
    if (name.startsWith('model.language_model.')) return 'transformers';
    if (/^model\.(layers|embed_tokens)\./.test(name)) return 'bare';
    if (name.startsWith('vision_model.')) return 'dual';
  }
  return undefined;
}

/** The canonical name of a tensor; a name that no rule knows stays as it is. */
export function canonicalName(name: string, layout: NameLayout | undefined): string {
  const rule = layout && rules[layout].find(([pattern]) => pattern.test(name));
  const renamed = rule ? name.replace(rule[0], rule[1]) : name;
  // In any layout: transformers 5.18 saves the tower without it, older versions with it.
  return renamed.replace(/^vision_tower\.(?!vision_model\.)/, 'vision_tower.vision_model.');
}

/** Tensors that real checkpoints carry and no forward pass reads, with the reason. Names are canonical. */
const ignorable: readonly (readonly [RegExp, string])[] = [
  [/\.rotary_emb\.(inv_freq|cos_cached|sin_cached)$/, 'computed from the config'],
  [/\.position_ids$/, 'the numbers 0, 1, 2, …'],
  [/^vision_tower\.vision_model\.post_layernorm\./, "after the tower's last layer, which LLaVA does not read"],
  [/^vision_tower\.vision_model\.head\./, "SigLIP's pooling head, which LLaVA does not read"],
];

/** Layers of the vision tower: how many the model reads, and how many it has. */
export interface VisionLayers {
  readonly read: number;
  readonly total: number;
}

/**
 * Why a tensor that the model did not ask for may be left unread, or undefined if there is no good reason.
 * @param visionLayers layers after the last one that features are taken from are in every checkpoint; absent, all are read.
 */
export function whyIgnorable(canonical: string, visionLayers?: VisionLayers): string | undefined {
  const layer = visionLayer(canonical);
  if (visionLayers && layer !== undefined && layer >= visionLayers.read && layer < visionLayers.total)
    return 'a vision layer after the last one that features are taken from';
  return ignorable.find(([pattern]) => pattern.test(canonical))?.[1];
}

/** The layer of the vision tower that a canonical name belongs to, if it does. */
export function visionLayer(canonical: string): number | undefined {
  const match = /^vision_tower\.vision_model\.encoder\.layers\.(\d+)\./.exec(canonical);
  return match ? Number(match[1]) : undefined;
}
