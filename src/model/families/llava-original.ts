// Checkpoints of the original LLaVA repositories (liuhaotian, lmms-lab): one flat config.json, in which the tower has a name
// where the others have its settings.

import { quoteValue } from '../../base/quote.ts';
import * as s from '../../base/schema.ts';
import { Settings } from '../config/settings.ts';
import { parseText } from '../config/text.ts';
import { clipLarge336, parseViT, siglipSo400m384, type ViTConfig } from '../config/vit.ts';
import type { Size } from '../processor/anyres.ts';
import type { ImageProcessorConfig } from '../processor/image-processor.ts';
import { originalTemplates } from '../processor/original-templates.ts';
import { clipStatistics, meanColourOf, siglipStatistics } from '../processor/settings.ts';
import { tiling } from '../processor/tiles.ts';
import type { Processing } from '../processor/visual-processor.ts';
import type { Architecture, Family } from './family.ts';
import { oneCrop, pack } from './llava.ts';
import { tiledFeatures, tiles } from './llava-next.ts';
import { onevision, tilesOrFrames } from './llava-onevision.ts';
import { type LlavaVisionConfig, llavaSide } from './llava-side.ts';

/** Towers by the last part of `mm_vision_tower`, with the layers that the checkpoints hold. */
const towers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'clip-vit-large-patch14-336': clipLarge336,
  'clip-vit-large-patch14': { ...clipLarge336, image_size: 224 },
  'siglip-so400m-patch14-384': siglipSo400m384,
};

const schema = s.looseObject({
  model_type: s.optional(s.string()),
  architectures: s.optional(s.array(s.string())),
  mm_vision_tower: s.string(1),
  /** Ours, for towers that have no published name: HF's vision_config. */
  mm_vision_tower_config: s.optional(s.looseObject({})),
  mm_vision_select_layer: s.optional(s.int(), -2),
  mm_vision_select_feature: s.optional(s.oneOf(['patch', 'cls_patch']), 'patch'),
  mm_projector_type: s.optional(s.string(), 'linear'),
  mm_patch_merge_type: s.optional(s.string(), 'flat'),
  mm_hidden_size: s.optional(s.int()),
  mm_resampler_type: s.optional(s.unknown()),
  /** Tokens around the image's; LLaVA-1.5 and later have none. */
  mm_use_im_start_end: s.nullish(s.boolean()),
  /** A tower that is shown the picture at several scales. */
  s2: s.nullish(s.boolean()),
  mm_newline_position: s.nullish(s.string()),
  mm_spatial_pool_mode: s.nullish(s.string()),
  image_aspect_ratio: s.nullish(s.string()),
  image_grid_pinpoints: s.optional(s.unknown()),
  image_token_index: s.nullish(s.int(-Infinity, 10_000_000)),
});

/** HF's model types of the decoders, by what the original repositories call their classes, and those their model_type. */
const decoders: Readonly<Record<string, keyof typeof originalTemplates>> = {
  LlavaLlamaForCausalLM: 'llama',
  LlavaMistralForCausalLM: 'mistral',
  LlavaQwenForCausalLM: 'qwen2',
  llava_llama: 'llama',
  llava_mistral: 'mistral',
  llava_qwen: 'qwen2',
};

/** The class says it where the file names one: model_type "llava" is written with any of the decoders. */
function decoderType(settings: Settings, raw: s.InferOutput<typeof schema>): keyof typeof originalTemplates {
  const name = raw.architectures?.[0] ?? raw.model_type ?? '';
  if (Object.hasOwn(decoders, name)) return decoders[name];
  settings.problem(
    `architectures ${quoteValue(raw.architectures)} with model_type ${quoteValue(raw.model_type)} is not supported; supported: ${Object.keys(decoders).join(', ')}`,
  );
  return 'llama';
}

/** Whether a config.json is one of the original repositories'. */
export const isOriginal = (json: unknown): boolean =>
  typeof json === 'object' && json !== null && 'mm_vision_tower' in json;

/**
 * `image_grid_pinpoints` as the original repositories write them: a list of [width, height], or "(1x1),...,(6x6)", which is
 * every number of tiles from the first pair to the last.
 */
const pinpoints = s.list(s.tuple([s.int(1), s.int(1)]), 1);

function originalPinpoints(settings: Settings, json: unknown, imageSize: number): Size[] {
  if (typeof json === 'string' && json.startsWith('(')) {
    const numbers = json.match(/\d+/g)?.map(Number) ?? [];
    const [fromHigh, fromWide] = numbers;
    const [toHigh, toWide] = numbers.slice(-2);
    const ordered = 1 <= fromHigh && fromHigh <= toHigh && 1 <= fromWide && fromWide <= toWide;
    if (numbers.length >= 4 && ordered && toHigh <= 100 && toWide <= 100) {
      const sizes: Size[] = [];
      for (let i = fromHigh; i <= toHigh; i++)
        for (let j = fromWide; j <= toWide; j++) sizes.push({ height: i * imageSize, width: j * imageSize });
      return sizes;
    }
  }
  const { value: pairs } = s.check(pinpoints, typeof json === 'string' ? parseList(json) : json);
  if (pairs) return pairs.map(([width, height]) => ({ height, width }));
  settings.problem(
    `image_grid_pinpoints: ${quoteValue(json)} is neither a list of pairs nor of the form "(1x1),...,(6x6)"`,
  );
  return [{ height: imageSize, width: imageSize }];
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll('(', '[').replaceAll(')', ']'));
  } catch {
    return undefined;
  }
}

export const llavaOriginal: Family = {
  name: 'LLaVA, original repository',
  modelTypes: ['llava_llama', 'llava_mistral', 'llava_qwen'],
  parse(json, file): Architecture {
    const settings = new Settings(file);
    const raw = settings.read(schema, json);
    const modelType = decoderType(settings, raw);
    const text = parseText(settings, { ...raw, model_type: modelType }, '', { modelType });
    const tower = originalTower(settings, raw);
    if (raw.mm_projector_type !== 'mlp2x_gelu')
      settings.problem(`mm_projector_type ${quoteValue(raw.mm_projector_type)}: supported: "mlp2x_gelu"`);
    if (raw.mm_hidden_size !== undefined && raw.mm_hidden_size !== tower.config.dModel)
      settings.problem(`mm_hidden_size ${raw.mm_hidden_size} is not the tower's width ${tower.config.dModel}`);
    const isAnyres = (raw.image_aspect_ratio ?? '').startsWith('anyres');
    const maxTiles = /^anyres_max_([1-9]\d{0,2})$/.exec(raw.image_aspect_ratio ?? '')?.[1];
    const imageTokenId = (raw.image_token_index ?? -1) >= 0 ? raw.image_token_index! : text.vocabSize;
    const videoTokenId = maxTiles ? text.vocabSize + 1 : undefined;
    const vision: LlavaVisionConfig = {
      tower: tower.config,
      features: {
        layers: [tower.layer],
        // "patch" means without the class token, which SigLIP has not.
        strategy: tower.config.classToken && raw.mm_vision_select_feature === 'patch' ? 'default' : 'full',
      },
      projectorAct: 'gelu',
      projectorBias: true,
      // The original code marks pictures by -200, which is no token: here by ids past the table, unless config.json has one.
      imageTokenId,
      videoTokenId,
    };
    const aspect = raw.image_aspect_ratio ?? 'square';
    if (!/^(square|pad|anyres)$/.test(aspect) && !maxTiles)
      settings.problem(
        `image_aspect_ratio ${quoteValue(aspect)}: supported: "square", "pad", "anyres", "anyres_max_" and a number`,
      );
    const merge = raw.mm_patch_merge_type;
    if (merge !== (isAnyres ? 'spatial_unpad' : 'flat'))
      settings.problem(
        `mm_patch_merge_type ${quoteValue(merge)} with image_aspect_ratio ${quoteValue(aspect)} is not supported; supported: "spatial_unpad" with anyres, "flat" with the others`,
      );
    settings.only('mm_newline_position', raw.mm_newline_position, 'one_token');
    settings.only('mm_spatial_pool_mode', raw.mm_spatial_pool_mode, 'bilinear');
    if (raw.mm_resampler_type != null)
      settings.problem(`mm_resampler_type ${quoteValue(raw.mm_resampler_type)} is not supported; supported: null`);
    settings.only('mm_use_im_start_end', raw.mm_use_im_start_end, false);
    settings.only('s2', raw.s2, false);
    const { imageSize, side } = tower.config;
    const pinpoints = isAnyres ? originalPinpoints(settings, raw.image_grid_pinpoints, imageSize) : [];
    settings.finish();

    const { each, padColour } = preprocessing(tower.config);
    const whole = { height: imageSize, width: imageSize };
    const cut = () => tiling({ pinpoints, size: whole, tile: whole, each, padColour }, file);
    const processing = (load: Processing['load']): Processing => ({
      imageToken: '<image>',
      videoToken: videoTokenId === undefined ? undefined : '<video>',
      addTokens: [
        { content: '<image>', id: imageTokenId },
        ...(videoTokenId === undefined ? [] : [{ content: '<video>', id: videoTokenId }]),
      ],
      chatTemplate: originalTemplates[modelType],
      load,
    });
    const family = this.name;
    if (maxTiles) {
      const frames = processing(() => tilesOrFrames(cut(), each));
      return { ...onevision(text, vision, { pinpoints, maxTiles: Number(maxTiles), processing: frames }), family };
    }
    if (isAnyres)
      return {
        family,
        className: 'LlavaNextForConditionalGeneration',
        text,
        vision: llavaSide(vision, text, {
          processing: processing(() => tiles(cut())),
          ...tiledFeatures({ pinpoints, imageSize, side }),
        }),
      };
    return {
      family,
      className: 'LlavaForConditionalGeneration',
      text,
      vision: llavaSide(vision, text, {
        processing: processing(() => oneCrop(aspect === 'pad' ? { ...each, padColour } : each)),
        pack,
        crops: () => 1,
        hasNewline: false,
      }),
    };
  },
};

/** A tower's published preprocessing. */
function preprocessing({ classToken: isClip, imageSize }: ViTConfig) {
  const statistics = isClip ? clipStatistics : siglipStatistics;
  const whole = { height: imageSize, width: imageSize };
  const each: ImageProcessorConfig = {
    filter: 'bicubic',
    rescaleFactor: 1 / 255,
    normalize: statistics,
    resize: isClip ? { shortestEdge: imageSize } : whole,
    crop: isClip ? whole : undefined,
  };
  return { each, padColour: meanColourOf(statistics.mean) };
}

/** The tower's settings and the hidden state that is read, as a number from 0. */
function originalTower(settings: Settings, raw: s.InferOutput<typeof schema>) {
  const name = raw.mm_vision_tower.split('/').filter(Boolean).at(-1) ?? '';
  const known = raw.mm_vision_tower_config ?? (Object.hasOwn(towers, name) ? towers[name] : undefined);
  if (!known)
    settings.problem(
      `mm_vision_tower ${quoteValue(raw.mm_vision_tower)} is not supported; supported: ${Object.keys(towers).join(', ')}`,
    );
  const kind = /siglip/i.test(name) ? 'siglip_vision_model' : 'clip_vision_model';
  const config = parseViT(settings, known ?? clipLarge336, 'mm_vision_tower_config', kind);
  // Of SigLIP the original code deletes the last layer, weights and all, and reads what is then the last hidden state,
  // whatever mm_vision_select_layer says.
  if (!config.classToken) return { config, layer: config.nLayers };
  const states = config.nLayers + 1;
  const layer = raw.mm_vision_select_layer;
  if (layer < -states || layer >= states)
    settings.problem(`mm_vision_select_layer ${layer}: the tower has ${states} hidden states`);
  return { config, layer: layer < 0 ? layer + states : layer };
}
