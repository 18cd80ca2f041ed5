import { describe, expect, test } from 'vitest';
import { loadProcessor } from '../../fixtures.ts';
import { checkpointFiles, memoryFolder, textFiles } from './memory-folder.ts';
import { frames, picture } from './pictures.ts';

const parts = [{ type: 'image' }, { type: 'text', text: 'What?' }] as const;
const tokenizerFiles = ['tokenizer.json', 'tokenizer_config.json'];

/** A folder of the original layout: a tokenizer of some fixture, and config.json. */
function original(config: object, from: Record<string, string>, more: Record<string, string> = {}) {
  const tokenizer = Object.fromEntries(tokenizerFiles.map((file) => [file, from[file]]));
  return loadProcessor(memoryFolder({ ...tokenizer, 'config.json': JSON.stringify(config), ...more }));
}

const qwen = textFiles('processor-families/llava-onevision');
const llama = checkpointFiles('llava-f32');
const onevision = {
  model_type: 'llava_qwen',
  mm_vision_tower: 'google/siglip-so400m-patch14-384',
  mm_vision_tower_config: { image_size: 28, patch_size: 4 },
  mm_projector_type: 'mlp2x_gelu',
  image_aspect_ratio: 'anyres_max_2',
  image_grid_pinpoints: '(1x1),...,(3x3)',
  mm_patch_merge_type: 'spatial_unpad',
  image_token_index: 407,
};
const vicuna = {
  model_type: 'llava_llama',
  mm_vision_tower: 'openai/clip-vit-large-patch14-336',
  mm_vision_tower_config: { image_size: 32, patch_size: 8 },
  mm_projector_type: 'mlp2x_gelu',
  image_aspect_ratio: 'pad',
  image_token_index: 419,
};
const next = {
  ...vicuna,
  image_aspect_ratio: 'anyres',
  mm_patch_merge_type: 'spatial_unpad',
  image_grid_pinpoints: [
    [32, 64],
    [64, 32],
    [64, 64],
  ],
};

/** The same checkpoint in the hub's layout. */
function hub(files: Record<string, string>, changes: Record<string, object>) {
  const changed = Object.entries(changes).map(([file, settings]) => [
    file,
    JSON.stringify({ ...JSON.parse(files[file]), ...settings }),
  ]);
  return loadProcessor(memoryFolder({ ...files, ...Object.fromEntries(changed) }));
}

const sizes = [
  [61, 23],
  [23, 61],
  [3, 2],
  [150, 110],
  [28, 28],
  [64, 32],
] as const;

describe('the same pixels and tokens as in the hub layout', () => {
  test('LLaVA-OneVision: one image, several, a video', async () => {
    const a = await original(onevision, qwen);
    const std = { image_std: [0.5, 0.5, 0.5] };
    const b = await hub(qwen, { 'preprocessor_config.json': std, 'video_preprocessor_config.json': std });
    for (const [width, height] of sizes) {
      const input = { prompt: 'a <image> b', images: [picture(width, height)] };
      expect(a.prepare(input)).toEqual(b.prepare(input));
    }
    const several = { prompt: '<image><image>', images: [picture(61, 23), picture(9, 9)] };
    expect(a.prepare(several)).toEqual(b.prepare(several));
    const video = { prompt: '<video>', videos: [{ frames: frames(40, 30, 3) }] };
    expect(a.prepare(video).visuals).toEqual(b.prepare(video).visuals);
    // config.json has no id for videos: one past the table stands for them
    const past = { ...onevision, vocab_size: 500 };
    const ids = Array.from((await original(past, qwen)).prepare(video).inputIds);
    expect(ids).toEqual(Array.from(b.prepare(video).inputIds, (id) => (id === 408 ? 501 : id)));
    expect(a.sampleFrames({ totalFrames: 100, fps: 25 })).toHaveLength(16);
  });

  test('LLaVA-1.5, padded', async () => {
    const a = await original(vicuna, llama);
    const b = await hub(llama, {
      'preprocessor_config.json': { image_processor_type: 'LlavaImageProcessor', do_pad: true },
    });
    for (const [width, height] of sizes) {
      const input = { prompt: 'a <image> b', images: [picture(width, height)] };
      expect(a.prepare(input)).toEqual(b.prepare(input));
    }
  });

  test('LLaVA-1.5, not padded, with the class token', async () => {
    const a = await original(
      { ...vicuna, image_aspect_ratio: undefined, mm_vision_select_feature: 'cls_patch' },
      llama,
    );
    const b = await hub(llama, { 'config.json': { vision_feature_select_strategy: 'full' } });
    const input = { prompt: '<image>', images: [picture(61, 23)] };
    expect(a.prepare(input)).toEqual(b.prepare(input));
    expect(a.tokens(a.prepare(input).visuals[0])).toBe(17);
  });

  test('LLaVA-NeXT', async () => {
    const a = await original(next, llama);
    // The original code reads [width, height], HF's [height, width]: it decides between equals.
    const pinpoints = next.image_grid_pinpoints.map(([width, height]) => [height, width]);
    const b = await hub(llama, {
      'config.json': { model_type: 'llava_next', image_grid_pinpoints: pinpoints },
      'preprocessor_config.json': {
        image_processor_type: 'LlavaNextImageProcessor',
        image_grid_pinpoints: pinpoints,
      },
    });
    for (const [width, height] of sizes) {
      const input = { prompt: '<image>', images: [picture(width, height)] };
      expect(a.prepare(input)).toEqual(b.prepare(input));
    }
  });
});

describe('chat', () => {
  test('words a conversation as the models were trained', async () => {
    expect((await original(vicuna, llama)).chat(parts)).toBe(
      "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions. USER: <image>\nWhat? ASSISTANT:",
    );
    expect((await original({ ...vicuna, model_type: 'llava_mistral' }, llama)).chat(parts)).toBe(
      '[INST] <image>\nWhat? [/INST]',
    );
    expect((await original(onevision, qwen)).chat(parts)).toBe(
      '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\n',
    );
    const turns = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: parts },
      { role: 'assistant', content: 'A cat.' },
      { role: 'user', content: 'Sure?' },
    ];
    expect((await original(vicuna, llama)).applyChatTemplate(turns)).toBe(
      'Be brief. USER: <image>\nWhat? ASSISTANT: A cat.</s>USER: Sure? ASSISTANT:',
    );
    expect((await original(onevision, qwen)).applyChatTemplate(turns)).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<image>\nWhat?<|im_end|>\n<|im_start|>assistant\nA cat.<|im_end|>\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  test("takes the folder's own template, but not the tokenizer's, which knows no pictures", async () => {
    const config = JSON.stringify({ ...JSON.parse(qwen['tokenizer_config.json']), chat_template: 'of the tokenizer' });
    const processor = await original(onevision, { ...qwen, 'tokenizer_config.json': config });
    expect(processor.chat(parts)).toContain('<image>\nWhat?');
    const own = await original(onevision, qwen, { 'chat_template.jinja': 'of the folder' });
    expect(own.chat(parts)).toBe('of the folder');
  });
});

describe('the image token', () => {
  /** The tokenizer before LLaVA was made of it. */
  const bare = () => {
    const json = JSON.parse(qwen['tokenizer.json']);
    json.added_tokens = json.added_tokens.filter((t: { content: string }) => !/image>|video>/.test(t.content));
    return { ...qwen, 'tokenizer.json': JSON.stringify(json) };
  };

  test.each([
    [407, 407],
    [5000, 5000],
    [-200, 6000],
    [undefined, 6000],
  ])('of index %s is %s', async (image_token_index, image) => {
    const processor = await original({ ...onevision, image_token_index, vocab_size: 6000 }, bare());
    expect(processor.image).toEqual({ text: '<image>', id: image });
    expect(processor.video).toEqual({ text: '<video>', id: 6001 });
    const { inputIds } = processor.prepare({ prompt: 'a<image>b', images: [picture(28, 28)] });
    expect(Array.from(inputIds).filter((id) => id === image)).toHaveLength(49 + 7 * 8);
  });

  test('is one of the model’s own, whatever the tokenizer calls it', async () => {
    const processor = await original({ ...onevision, image_token_index: 5000 }, qwen);
    const { inputIds } = processor.prepare({ prompt: 'a<image>b', images: [picture(28, 28)] });
    expect(inputIds).not.toContain(processor.tokenizer.id('<image>'));
    expect(Array.from(inputIds).filter((id) => id === 5000)).toHaveLength(49 + 7 * 8);
  });

  test('cannot be another token', async () => {
    await expect(original({ ...onevision, image_token_index: 3 }, bare())).rejects.toThrow(
      'config.json gives <image> the id 3, which is',
    );
  });
});

describe('the tower', () => {
  const sideOf = async (config: object) => {
    const processor = await original({ ...vicuna, mm_vision_tower_config: undefined, ...config }, llama);
    const [visual] = processor.prepare({ prompt: '<image>', images: [picture(9, 7)] }).visuals;
    return [visual.shape[2], processor.tokens(visual)];
  };

  test('is known by its base name', async () => {
    expect(await sideOf({ mm_vision_tower: 'openai/clip-vit-large-patch14-336' })).toEqual([336, 576]);
    expect(await sideOf({ mm_vision_tower: 'openai/clip-vit-large-patch14' })).toEqual([224, 256]);
    expect(await sideOf({ mm_vision_tower: '/models/towers/siglip-so400m-patch14-384/' })).toEqual([384, 729]);
  });

  test('may be of another size', async () => {
    const mm_vision_tower_config = { image_size: 24, patch_size: 6, hidden_size: 96 };
    expect(await sideOf({ mm_vision_tower: './tiny-clip', mm_vision_tower_config })).toEqual([24, 16]);
    expect(await sideOf({ mm_vision_tower: './tiny-siglip', mm_vision_tower_config })).toEqual([24, 16]);
  });

  test.each([
    [
      { mm_vision_tower: 'facebook/dinov2', mm_vision_tower_config: undefined },
      'mm_vision_tower "facebook/dinov2" is not supported; supported: clip-vit-large-patch14-336',
    ],
    [{ mm_vision_tower_config: { image_size: 4, patch_size: 8 } }, 'patch_size 8 exceeds image_size 4'],
    [{ mm_newline_position: 'grid' }, 'mm_newline_position "grid" is not supported; supported: one_token'],
    [{ mm_spatial_pool_mode: 'max' }, 'mm_spatial_pool_mode "max" is not supported; supported: bilinear'],
    [{ mm_projector_type: 'linear' }, 'mm_projector_type "linear": supported: "mlp2x_gelu"'],
    [{ image_aspect_ratio: 'highres' }, 'image_aspect_ratio "highres": supported: "square", "pad"'],
    [{ ...next, image_aspect_ratio: 'anyres_max_x' }, 'image_aspect_ratio "anyres_max_x": supported'],
    [{ ...next, mm_patch_merge_type: undefined }, 'mm_patch_merge_type "flat" with image_aspect_ratio "anyres"'],
    [{ ...next, image_grid_pinpoints: [[30, 64]] }, "[64, 30] is not a multiple of the tile's side, 32"],
    [{ ...next, image_grid_pinpoints: 'all' }, 'image_grid_pinpoints: "all" is neither'],
    [{ ...next, image_grid_pinpoints: '(3x3),...,(1x1)' }, 'image_grid_pinpoints: "(3x3),...,(1x1)" is neither'],
    [{ ...next, image_grid_pinpoints: '(0x1),...,(1x1)' }, 'image_grid_pinpoints: "(0x1),...,(1x1)" is neither'],
    [{ ...next, image_grid_pinpoints: undefined }, 'image_grid_pinpoints: undefined is neither'],
    [{ ...next, image_grid_pinpoints: [[16384, 16384]] }, '[16384, 16384] is too large'],
  ])('%j is refused', async (config, message) => {
    await expect(original({ ...vicuna, ...config }, llama)).rejects.toThrow(message);
  });
});
