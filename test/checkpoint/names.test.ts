import { describe, expect, test } from 'vitest';
import { canonicalName, detectLayout, whyIgnorable } from '../../src/checkpoint/names.ts';

// One row per canonical name: as the hub, transformers and the original repositories write it.
const table: [canonical: string, hub: string, transformers: string, llava: string][] = [
  [
    'language_model.layers.3.self_attn.q_proj.weight',
    'language_model.model.layers.3.self_attn.q_proj.weight',
    'model.language_model.layers.3.self_attn.q_proj.weight',
    'model.layers.3.self_attn.q_proj.weight',
  ],
  [
    'language_model.embed_tokens.weight',
    'language_model.model.embed_tokens.weight',
    'model.language_model.embed_tokens.weight',
    'model.embed_tokens.weight',
  ],
  [
    'language_model.norm.weight',
    'language_model.model.norm.weight',
    'model.language_model.norm.weight',
    'model.norm.weight',
  ],
  ['lm_head.weight', 'language_model.lm_head.weight', 'lm_head.weight', 'lm_head.weight'],
  [
    'multi_modal_projector.linear_1.bias',
    'multi_modal_projector.linear_1.bias',
    'model.multi_modal_projector.linear_1.bias',
    'model.mm_projector.0.bias',
  ],
  [
    'multi_modal_projector.linear_2.weight',
    'multi_modal_projector.linear_2.weight',
    'model.multi_modal_projector.linear_2.weight',
    'model.mm_projector.2.weight',
  ],
  [
    'vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight',
    'vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight',
    'model.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight',
    'model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight',
  ],
  ['image_newline', 'image_newline', 'model.image_newline', 'model.image_newline'],
];

test('a tower that transformers 5.18 saved, without vision_model, in any layout', () => {
  const canonical = 'vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight';
  expect(canonicalName('vision_tower.encoder.layers.0.mlp.fc1.weight', 'hub')).toBe(canonical);
  expect(canonicalName('model.vision_tower.encoder.layers.0.mlp.fc1.weight', 'transformers')).toBe(canonical);
  expect(canonicalName('model.vision_tower.vision_tower.encoder.layers.0.mlp.fc1.weight', 'bare')).toBe(canonical);
  expect(canonicalName(canonical, undefined)).toBe(canonical);
});

test('CLIP and SigLIP: the image tower is the LLaVAs’, what pools its tokens is not', () => {
  const names: [string, string][] = [
    ['vision_model.encoder.layers.0.mlp.fc1.weight', 'vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight'],
    ['vision_model.embeddings.position_ids', 'vision_tower.vision_model.embeddings.position_ids'],
    ['vision_model.post_layernorm.weight', 'image_pooling.post_layernorm.weight'],
    ['vision_model.head.probe', 'image_pooling.head.probe'],
    ['text_model.encoder.layers.0.mlp.fc1.weight', 'text_model.encoder.layers.0.mlp.fc1.weight'],
    ['text_model.head.weight', 'text_model.head.weight'],
    ['visual_projection.weight', 'visual_projection.weight'],
    ['logit_scale', 'logit_scale'],
  ];
  const layout = detectLayout(names.map(([name]) => name));
  expect(layout).toBe('dual');
  for (const [name, canonical] of names) {
    expect(canonicalName(name, layout)).toBe(canonical);
    // All of it is read, and is part of the model's id, except the numbers 0, 1, 2, …
    expect(whyIgnorable(canonical) !== undefined, name).toBe(name.endsWith('position_ids'));
  }
});

describe.each([
  ['hub', 1],
  ['transformers', 2],
  ['bare', 3],
] as const)('layout %s', (layout, column) => {
  test('is detected', () => {
    expect(detectLayout(table.map((row) => row[column]))).toBe(layout);
  });
  test.each(table)('%s', (...row) => {
    expect(canonicalName(row[column], layout)).toBe(row[0]);
  });
});

test('transformers 5 without vision_model in its module names', () => {
  expect(canonicalName('model.vision_tower.pre_layrnorm.bias', 'transformers')).toBe(
    'vision_tower.vision_model.pre_layrnorm.bias',
  );
});

test('canonical names stay, whether or not a layout is known', () => {
  expect(detectLayout(table.map((row) => row[0]))).toBeUndefined();
  for (const [name] of table) {
    expect(canonicalName(name, undefined)).toBe(name);
    expect(canonicalName(name, 'hub')).toBe(name);
  }
});

test('a name that nobody knows stays as it is', () => {
  for (const layout of ['hub', 'transformers', 'bare'] as const)
    for (const name of ['model.mm_projector.1.weight', 'model.norms.weight', 'language_model.modelx', ''])
      expect(canonicalName(name, layout)).toBe(name);
});

test('what is ignorable, and what is not', () => {
  const layer = (l: number) => `vision_tower.vision_model.encoder.layers.${l}.mlp.fc1.weight`;
  const layers = { read: 23, total: 24 };
  expect(whyIgnorable('language_model.layers.0.self_attn.rotary_emb.inv_freq')).toBeTruthy();
  expect(whyIgnorable('vision_tower.vision_model.embeddings.position_ids')).toBeTruthy();
  expect(whyIgnorable('vision_tower.vision_model.post_layernorm.weight')).toBeTruthy();
  expect(whyIgnorable('vision_tower.vision_model.head.probe')).toBeTruthy();
  expect(whyIgnorable(layer(23), layers)).toBeTruthy();
  expect(whyIgnorable(layer(23))).toBeUndefined();
  expect(whyIgnorable(layer(22), layers)).toBeUndefined();
  expect(whyIgnorable(layer(24), layers)).toBeUndefined();
  expect(whyIgnorable(layer(3), layers)).toBeUndefined();
  expect(whyIgnorable('language_model.layers.23.mlp.down_proj.weight', layers)).toBeUndefined();
  expect(whyIgnorable('lm_head.weight', layers)).toBeUndefined();
});
