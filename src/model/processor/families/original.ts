// Checkpoints in the layout of the original LLaVA repositories (liuhaotian/llava-v1.5-7b, lmms-lab/llava-onevision-qwen2-7b-ov):
// their folders say by which tower images are seen, and nothing of how it wants them.
import { z } from 'zod';
import type { Size } from '../../anyres.ts';
import { ConfigError } from '../../errors.ts';
import { parse } from '../../json.ts';
import type { ImageProcessorConfig } from '../image-processor.ts';
import type { Colour } from '../pixels.ts';
import { clipStatistics, side, siglipStatistics } from '../settings.ts';
import { pinpointsSchema, type TilingConfig, tiling } from '../tiles.ts';
import type { Family, VisualProcessor } from './family.ts';
import { llavaVisuals } from './llava.ts';
import { llavaNextVisuals } from './llava-next.ts';
import { llavaOnevisionVisuals, parseMaxTiles } from './llava-onevision.ts';
import type { PatchCount } from './patch-count.ts';

const schema = z.looseObject({
  model_type: z.string().default(''),
  architectures: z.array(z.string()).default([]),
  mm_vision_tower: z.string(),
  mm_vision_tower_config: z.looseObject({ image_size: side.optional(), patch_size: side.optional() }).nullish(),
  mm_vision_select_feature: z.enum(['patch', 'cls_patch']).nullish(),
  mm_patch_merge_type: z.string().nullish(),
  image_aspect_ratio: z.string().nullish(),
  image_grid_pinpoints: z.union([z.string(), pinpointsSchema]).nullish(),
  image_token_index: z.int().nullish(),
});
type OriginalConfig = z.output<typeof schema>;

/** Whether a config.json is in the original layout. */
export const isOriginal = (config: unknown): boolean =>
  typeof (config as { mm_vision_tower?: unknown } | null)?.mm_vision_tower === 'string';

/**
 * The family of an original checkpoint, from config.json alone:
 * - `mm_vision_tower`: its base name says CLIP or SigLIP, the pixels of a side and of a patch
 *   (`google/siglip-so400m-patch14-384`). Where `mm_vision_tower_config` is there (a key of Headlight's own, for towers of
 *   other sizes), `image_size` and `patch_size` in it, named as in HF's vision configs, go before the name.
 * - `image_aspect_ratio`: `pad` and none are LLaVA-1.5, `anyres` is LLaVA-NeXT, `anyres_max_9` is LLaVA-OneVision.
 * - `image_grid_pinpoints`: [height, width] pairs as HF reads them, or "(1x1),...,(6x6)", multiples of the tower's side.
 * - `image_token_index`: the id that `<image>` is given, where it is free.
 * @throws ConfigError naming every setting that is wrong or not supported.
 */
export function originalFamily(json: unknown): Family {
  const config = parse(schema, json, 'config.json');
  const index = config.image_token_index ?? -1;
  const visuals = visualsOf(config);
  return {
    imageToken: '<image>',
    videoToken: visuals.video && '<video>',
    addTokens: [
      { content: '<image>', id: index >= 0 ? index : undefined },
      ...(visuals.video ? [{ content: '<video>' }] : []),
    ],
    chatTemplate: chatTemplate(config),
    load: () => visuals,
  };
}

function visualsOf(config: OriginalConfig): VisualProcessor {
  const ratio = config.image_aspect_ratio ?? 'square';
  const { processing, meanColour, count, imageSize } = parseTower(config);
  if (ratio === 'square') return llavaVisuals(processing, count);
  if (ratio === 'pad') return llavaVisuals({ ...processing, padColour: meanColour }, count);
  if (!ratio.startsWith('anyres'))
    throw new ConfigError(
      `config.json: image_aspect_ratio ${JSON.stringify(ratio)} is not supported; supported: "square", "pad", "anyres", "anyres_max_9"`,
    );
  if (config.mm_patch_merge_type !== 'spatial_unpad')
    throw new ConfigError(
      `config.json: mm_patch_merge_type ${JSON.stringify(config.mm_patch_merge_type ?? 'flat')} with image_aspect_ratio ${JSON.stringify(ratio)} is not supported; supported: "spatial_unpad"`,
    );
  const whole = { height: imageSize, width: imageSize };
  const tiles: TilingConfig = tiling(
    { pinpoints: parsePinpoints(config, imageSize), size: whole, tile: whole, each: processing, padColour: meanColour },
    'config.json',
  );
  if (ratio === 'anyres') return llavaNextVisuals(tiles, count);
  const patches = Math.floor(imageSize / count.patchSize);
  const perCrop = patches ** 2 + count.additionalTokens - (count.strategy === 'default' ? 1 : 0);
  const maxTiles = parseMaxTiles(ratio, 'image_aspect_ratio');
  return llavaOnevisionVisuals(tiles, processing, { patches, perCrop, maxTiles });
}

interface Tower {
  readonly processing: ImageProcessorConfig;
  readonly meanColour: Colour;
  readonly count: PatchCount;
  readonly imageSize: number;
}

/** A tower's published preprocessing. */
function parseTower(config: OriginalConfig): Tower {
  const name = config.mm_vision_tower.replace(/\/+$/, '').split(/[/\\]/).at(-1)!.toLowerCase();
  const kind = /siglip|clip/.exec(name)?.[0];
  if (!kind)
    throw new ConfigError(
      `config.json: mm_vision_tower ${JSON.stringify(config.mm_vision_tower)} is not supported; supported: CLIP (openai/clip-vit-large-patch14-336) and SigLIP (google/siglip-so400m-patch14-384)`,
    );
  const [, patchInName, sizeInName = '224'] = /patch(\d{1,4})(?:-(\d{1,5}))?$/.exec(name) ?? [];
  const given = config.mm_vision_tower_config;
  const imageSize = given?.image_size ?? (patchInName ? Number(sizeInName) : 0);
  const patchSize = given?.patch_size ?? Number(patchInName ?? 0);
  if (!(imageSize >= patchSize && patchSize > 0 && imageSize <= 16384))
    throw new ConfigError(
      `config.json: mm_vision_tower ${JSON.stringify(config.mm_vision_tower)} does not say the pixels of a side and of a patch, as in "…-patch14-336"; give mm_vision_tower_config {"image_size": n, "patch_size": n}`,
    );
  const isClip = kind === 'clip';
  const { mean, std } = isClip ? clipStatistics : siglipStatistics;
  const whole: Size = { height: imageSize, width: imageSize };
  return {
    processing: {
      filter: 'bicubic',
      rescaleFactor: 1 / 255,
      normalize: { mean, std },
      resize: isClip ? { shortestEdge: imageSize } : whole,
      crop: isClip ? whole : undefined,
    },
    meanColour: [Math.trunc(mean[0] * 255), Math.trunc(mean[1] * 255), Math.trunc(mean[2] * 255)],
    // only CLIP has a class token, which is dropped unless it is asked for
    count: {
      patchSize,
      additionalTokens: isClip ? 1 : 0,
      strategy: isClip && config.mm_vision_select_feature !== 'cls_patch' ? 'default' : 'full',
    },
    imageSize,
  };
}

function parsePinpoints({ image_grid_pinpoints: given }: OriginalConfig, tile: number): readonly Size[] {
  if (Array.isArray(given)) return given;
  const ends = [...(given ?? '').matchAll(/\((\d{1,2})x(\d{1,2})\)/g)].map(([, rows, columns]) => [+rows, +columns]);
  if (ends.length < 2)
    throw new ConfigError(
      `config.json: image_grid_pinpoints ${JSON.stringify(given ?? null)}: expected a list of [height, width], or the like of "(1x1),...,(6x6)"`,
    );
  const [[firstRows, firstColumns], [lastRows, lastColumns]] = [ends[0], ends[ends.length - 1]];
  const sizes: Size[] = [];
  for (let rows = firstRows; rows <= lastRows; rows++)
    for (let columns = firstColumns; columns <= lastColumns; columns++)
      sizes.push({ height: rows * tile, width: columns * tile });
  if (sizes.length === 0 || firstRows < 1 || firstColumns < 1)
    throw new ConfigError(`config.json: image_grid_pinpoints ${JSON.stringify(given)}: no sizes lie between its ends`);
  return sizes;
}

const words = `{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% else %}{{ '<' + p.type + '>\n' }}{% endif %}{% endfor %}{% endif %}`;
const withoutSystem = `{% if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set turns = messages[1:] %}{% else %}{% set turns = messages %}{% endif %}`;

/** The conversations that the models were trained on: `vicuna_v1`, `qwen_1_5` and `mistral_instruct` of the repositories. */
const chatTemplates = {
  vicuna: `{% set system = "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite answers to the user's questions." %}${withoutSystem}{{ system }} {% for m in turns %}{% if m.role == 'user' %}USER: ${words} {% else %}ASSISTANT: ${words}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}`,
  qwen: `{% set system = 'You are a helpful assistant.' %}${withoutSystem}{{ '<|im_start|>system\n' + system + '<|im_end|>\n' }}{% for m in turns %}{{ '<|im_start|>' + m.role + '\n' }}${words}{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`,
  mistral: `{% for m in messages %}{% if m.role == 'user' %}[INST] ${words} [/INST]{% else %} ${words}</s>{% endif %}{% endfor %}`,
};

function chatTemplate({ model_type, architectures }: OriginalConfig): string {
  const names = [model_type, ...architectures].join(' ').toLowerCase();
  if (names.includes('qwen')) return chatTemplates.qwen;
  return names.includes('mistral') ? chatTemplates.mistral : chatTemplates.vicuna;
}
