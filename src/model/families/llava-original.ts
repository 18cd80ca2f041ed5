// Checkpoints of the original LLaVA repositories (liuhaotian, lmms-lab): one flat config.json, in which the tower has a name
// where the others have its settings.
import { z } from 'zod';
import type { Size } from '../anyres.ts';
import { Settings, tokenId } from '../config/settings.ts';
import { parseText } from '../config/text.ts';
import { clipLarge336, parseViT, siglipSo400m384 } from '../config/vit.ts';
import type { Architecture, Family } from './family.ts';
import { pack } from './llava.ts';
import { nextSide } from './llava-next.ts';
import { onevision } from './llava-onevision.ts';
import { type LlavaVisionConfig, llavaSide } from './llava-side.ts';

/** Towers by the last part of `mm_vision_tower`, with the layers that the checkpoints hold. */
const towers: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'clip-vit-large-patch14-336': clipLarge336,
  'clip-vit-large-patch14': { ...clipLarge336, image_size: 224 },
  'siglip-so400m-patch14-384': siglipSo400m384,
};

const schema = z.looseObject({
  model_type: z.string().optional(),
  architectures: z.array(z.string()).optional(),
  mm_vision_tower: z.string().min(1),
  /** Ours, for towers that have no published name: HF's vision_config. */
  mm_vision_tower_config: z.record(z.string(), z.unknown()).optional(),
  mm_vision_select_layer: z.int().default(-2),
  mm_vision_select_feature: z.enum(['patch', 'cls_patch']).default('patch'),
  mm_projector_type: z.string().default('linear'),
  mm_patch_merge_type: z.string().default('flat'),
  mm_hidden_size: z.int().optional(),
  image_aspect_ratio: z.string().nullish(),
  image_grid_pinpoints: z.unknown().optional(),
  image_token_index: z.int().optional(),
  image_token_id: tokenId.optional(),
});

/** HF's model type of the decoder in a config of the original repositories. */
export function decoderType(raw: { model_type?: string; architectures?: readonly string[] }): string {
  const names = [raw.model_type ?? '', ...(raw.architectures ?? [])].join(' ').toLowerCase();
  return names.includes('qwen') ? 'qwen2' : names.includes('mistral') ? 'mistral' : 'llama';
}

/** Whether a config.json is one of the original repositories'. */
export const isOriginal = (json: unknown): boolean =>
  typeof json === 'object' && json !== null && 'mm_vision_tower' in json;

/**
 * `image_grid_pinpoints` as the original repositories write them: a list of [width, height], or "(1x1),...,(6x6)", which is
 * every number of tiles from the first pair to the last.
 */
export function originalPinpoints(settings: Settings, json: unknown, imageSize: number): Size[] {
  if (typeof json === 'string' && json.startsWith('(')) {
    const numbers = json.match(/\d+/g)?.map(Number) ?? [];
    const [fromHigh, fromWide] = numbers;
    const [toHigh, toWide] = numbers.slice(-2);
    if (numbers.length >= 4 && fromHigh >= 1 && fromWide >= 1 && toHigh <= 100 && toWide <= 100) {
      const sizes: Size[] = [];
      for (let i = fromHigh; i <= toHigh; i++)
        for (let j = fromWide; j <= toWide; j++) sizes.push({ height: i * imageSize, width: j * imageSize });
      return sizes;
    }
  }
  const list = z
    .array(z.tuple([z.int().min(1), z.int().min(1)]))
    .safeParse(typeof json === 'string' ? parseList(json) : json);
  if (list.success && list.data.length) return list.data.map(([width, height]) => ({ height, width }));
  settings.problem(
    `image_grid_pinpoints: ${JSON.stringify(json)} is neither a list of pairs nor of the form "(1x1),...,(6x6)"`,
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
    const modelType = decoderType(raw);
    const text = parseText(settings, { ...raw, model_type: modelType }, '', { modelType });
    const tower = originalTower(settings, raw);
    if (raw.mm_projector_type !== 'mlp2x_gelu')
      settings.problem(`mm_projector_type ${JSON.stringify(raw.mm_projector_type)}: supported: "mlp2x_gelu"`);
    if (raw.mm_hidden_size !== undefined && raw.mm_hidden_size !== tower.config.dModel)
      settings.problem(`mm_hidden_size ${raw.mm_hidden_size} is not the tower's width ${tower.config.dModel}`);
    const vision: LlavaVisionConfig = {
      tower: tower.config,
      features: {
        layers: [tower.layer],
        // "patch" means without the class token, which SigLIP has not.
        strategy: tower.config.classToken && raw.mm_vision_select_feature === 'patch' ? 'default' : 'full',
      },
      projectorAct: 'gelu',
      projectorBias: true,
      imageTokenId: imageTokenOf(raw, text.vocabSize),
    };
    const { imageSize, side } = tower.config;
    const aspect = raw.image_aspect_ratio ?? 'square';
    const merge = raw.mm_patch_merge_type;
    if (!/^(square|pad|anyres|anyres_max_[1-9]\d?)$/.test(aspect))
      settings.problem(
        `image_aspect_ratio ${JSON.stringify(aspect)}: supported: "square", "pad", "anyres", "anyres_max_" and a number`,
      );
    if (merge !== (aspect.startsWith('anyres') ? 'spatial_unpad' : 'flat'))
      settings.problem(
        `mm_patch_merge_type ${JSON.stringify(merge)} with image_aspect_ratio ${JSON.stringify(aspect)} is not supported; supported: "spatial_unpad" with anyres, "flat" with the others`,
      );
    const pinpoints = aspect.startsWith('anyres')
      ? originalPinpoints(settings, raw.image_grid_pinpoints, imageSize)
      : [];
    settings.finish();
    const maxTiles = /^anyres_max_(\d+)$/.exec(aspect)?.[1];
    const family = llavaOriginal.name;
    if (maxTiles) return { ...onevision(text, vision, { pinpoints, maxTiles: Number(maxTiles) }), family };
    if (aspect !== 'anyres')
      return {
        family,
        className: 'LlavaForConditionalGeneration',
        text,
        vision: llavaSide(vision, text, { pack, crops: () => 1, hasNewline: false }),
      };
    const options = nextSide({ pinpoints, imageSize, side });
    return { family, className: 'LlavaNextForConditionalGeneration', text, vision: llavaSide(vision, text, options) };
  },
};

/** The tower's settings and the hidden state that is read, as a number from 0. */
function originalTower(settings: Settings, raw: z.output<typeof schema>) {
  const name = raw.mm_vision_tower.split('/').filter(Boolean).at(-1) ?? '';
  const known = raw.mm_vision_tower_config ?? towers[name];
  if (!known)
    settings.problem(
      `mm_vision_tower ${JSON.stringify(raw.mm_vision_tower)} is not supported; supported: ${Object.keys(towers).join(', ')}`,
    );
  const config = parseViT(settings, known ?? clipLarge336, 'mm_vision_tower_config', 'clip_vision_model');
  // Of SigLIP the original code deletes the last layer, weights and all, and reads what is then the last hidden state,
  // whatever mm_vision_select_layer says.
  if (!config.classToken) return { config, layer: config.nLayers };
  const states = config.nLayers + 1;
  const layer = raw.mm_vision_select_layer;
  if (layer < -states || layer >= states)
    settings.problem(`mm_vision_select_layer ${layer}: the tower has ${states} hidden states`);
  return { config, layer: layer < 0 ? layer + states : layer };
}

/** The original code marks images by -200, which is no token: what the processor writes in its place is past the table. */
export const imageTokenOf = (raw: { image_token_index?: number; image_token_id?: number }, vocabSize: number): number =>
  raw.image_token_id ??
  (raw.image_token_index !== undefined && raw.image_token_index >= 0 ? raw.image_token_index : vocabSize);
