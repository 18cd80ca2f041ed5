// What the LLaVA families share: a tower that sees square crops, a selection of its hidden states, a projector of two layers.
// They differ in how a picture becomes crops and how the crops' features are packed into one row of tokens.
import * as s from '../../base/schema.ts';
import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';
import { type Settings, tokenId } from '../config/settings.ts';
import { parseText, type TextConfig } from '../config/text.ts';
import { clipLarge336, parseViT, tokensPerCrop, type ViTConfig } from '../config/vit.ts';
import { InputError } from '../errors.ts';
import type { Visual, VisualShape } from '../input.ts';
import { type HookPoint, vitHookPoints } from '../interventions/hook-points.ts';
import { checkCrops, stackCrops } from '../layers/crops.ts';
import { projectAndMix, projector } from '../layers/projector.ts';
import { type FeatureSelection, selectFeatures, visionTower, vitWeights } from '../layers/vision-tower.ts';
import { linear } from '../layers/weights.ts';
import type { Size } from '../processor/anyres.ts';
import { cropArea, cropPlanes, frameLabel, type PatchGrid } from '../processor/token-grids.ts';
import type { Processing } from '../processor/visual-processor.ts';
import type { VisionSide } from './family.ts';
import { joinPackings, type Packer, type Packing } from './packing.ts';

/** The vision side of a LLaVA as its config says it. */
export interface LlavaVisionConfig {
  readonly tower: ViTConfig;
  readonly features: FeatureSelection;
  readonly projectorAct: ActivationFunction;
  readonly projectorBias: boolean;
  readonly imageTokenId: number;
  readonly videoTokenId?: number;
}

const layerList = s.union([s.int(), s.list(s.int(), 1, 1000)], 'expected a whole number, or up to 1000 of them');

export const llavaEntries = {
  vision_config: s.nullish(s.looseObject({})),
  text_config: s.nullish(s.looseObject({})),
  image_token_index: s.optional(tokenId),
  image_token_id: s.optional(tokenId),
  video_token_index: s.optional(tokenId),
  video_token_id: s.optional(tokenId),
  projector_hidden_act: s.optional(s.string(), 'gelu'),
  multimodal_projector_bias: s.optional(s.boolean(), true),
  vision_feature_layer: s.nullish(layerList),
  vision_feature_select_strategy: s.nullish(s.oneOf(['default', 'full'])),
  tie_word_embeddings: s.nullish(s.boolean()),
  quantization_config: s.optional(s.unknown()),
};
export const llavaSchema = s.looseObject(llavaEntries);

/** What a family's HF class assumes where config.json is silent. */
export interface LlavaDefaults {
  readonly textModelType: string;
  readonly visionModelType: string;
  readonly vision: Readonly<Record<string, unknown>>;
  readonly featureLayer: number;
  readonly strategy: 'default' | 'full';
  readonly imageTokenId: number;
  readonly videoTokenId?: number;
}

/** HF `LlavaConfig` and `LlavaNextConfig`. */
export const llavaDefaults: LlavaDefaults = {
  textModelType: 'llama',
  visionModelType: 'clip_vision_model',
  vision: clipLarge336,
  featureLayer: -2,
  strategy: 'default',
  imageTokenId: 32000,
};

/** Reads what the configs of the LLaVA families have in common. */
export function parseLlava(
  settings: Settings,
  raw: s.InferOutput<typeof llavaSchema>,
  defaults: LlavaDefaults,
): { text: TextConfig; vision: LlavaVisionConfig } {
  settings.unquantised(raw, '');
  const text = parseText(settings, raw.text_config ?? {}, 'text_config', {
    modelType: defaults.textModelType,
    tied: raw.tie_word_embeddings ?? false,
  });
  const imageTokenId = raw.image_token_id ?? raw.image_token_index ?? defaults.imageTokenId;
  if (imageTokenId >= text.vocabSize)
    settings.problem(`image_token_index ${imageTokenId} is not below text_config.vocab_size ${text.vocabSize}`);
  const tower = parseViT(settings, raw.vision_config ?? defaults.vision, 'vision_config', defaults.visionModelType);
  const states = tower.nLayers + 1; // the input of each layer, and the output of the last
  const layers = [raw.vision_feature_layer ?? defaults.featureLayer].flat();
  for (const layer of layers)
    if (layer < -states || layer >= states)
      settings.problem(
        `vision_feature_layer ${layer}: the tower has ${states} hidden states, ${-states} to ${states - 1}`,
      );
  return {
    text,
    vision: {
      tower,
      features: {
        layers: layers.map((layer) => (layer < 0 ? layer + states : layer)),
        strategy: raw.vision_feature_select_strategy ?? defaults.strategy,
      },
      projectorAct: settings.act(raw.projector_hidden_act, 'projector_hidden_act'),
      projectorBias: raw.multimodal_projector_bias,
      imageTokenId,
      videoTokenId: raw.video_token_id ?? raw.video_token_index ?? defaults.videoTokenId,
    },
  };
}

export interface LlavaSideOptions {
  readonly processing: Processing;
  readonly pack: Packer;
  /** Crops that the image processor makes of the only image of a prompt. */
  readonly crops: (image: Size) => number;
  /** The checkpoint has an `image_newline`. */
  readonly hasNewline: boolean;
  /** Further settings, for people. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

/** The vision side of a family of LLaVAs. */
export function llavaSide(
  config: LlavaVisionConfig,
  text: TextConfig,
  { processing, pack, crops, hasNewline, settings }: LlavaSideOptions,
): VisionSide {
  const { tower, features, projectorAct, projectorBias } = config;
  const width = tower.dModel * features.layers.length;
  const perCrop = tokensPerCrop(tower) - (features.strategy === 'full' ? 0 : 1);
  const packings = new WeakMap<VisualShape, Packing>();
  /** Once for each visual: its tokens are counted, placed and packed by the same packing, a picture's of thousands of rows. */
  const packingOf = (visual: VisualShape): Packing => {
    const known = packings.get(visual);
    if (known) return known;
    const packing = pack(visual as Visual, perCrop, coveredOf(tower)); // pixels are needed only where its grids show them
    packings.set(visual, packing);
    return packing;
  };
  const projected = (name: string, columns: number): HookPoint => ({
    name: `projector.${name}`,
    layer: -1,
    shape: ({ crops }) => [crops, perCrop, columns],
  });
  return {
    config: { ...config, ...settings },
    imageTokenId: config.imageTokenId,
    videoTokenId: config.videoTokenId,
    processing,
    nLayers: tower.nLayers,
    hookPoints: [
      ...vitHookPoints(tower),
      projected('hook_in', width),
      projected('hook_pre', text.dModel),
      projected('hook_out', text.dModel),
    ],
    rows: ({ shape }) => shape[0] * tokensPerCrop(tower),
    widest: Math.max(tower.dMlp, tower.dModel, 3 * tower.patchSize ** 2),
    tokens(visual) {
      checkCrops(visual, tower.imageSize);
      if (visual.kind === 'video' && config.videoTokenId === undefined)
        throw new InputError('this model takes no videos: give their frames as images');
      return packingOf(visual).rows.length;
    },
    tokenGrids: (visual) => packingOf(visual).grids,
    patchGrids: (visuals) => cropPatches(visuals, tower),
    imageShape: (size) => ({
      kind: 'image',
      shape: [crops(size), 3, tower.imageSize, tower.imageSize],
      size,
    }),
    encoder(source) {
      const vit = vitWeights(tower, source);
      const weights = {
        linear1: linear(source, 'multi_modal_projector.linear_1', text.dModel, width, projectorBias),
        linear2: linear(source, 'multi_modal_projector.linear_2', text.dModel, text.dModel, projectorBias),
      };
      const newlineRow = hasNewline ? source.vector('image_newline', [text.dModel]) : undefined;
      return (rec, visuals, hooks) => {
        const pixels = rec.input('pixel_values', 'f32', ...stackCrops(visuals));
        const states = visionTower(rec, vit, tower, pixels, features.layers, hooks);
        const site = hooks.whole([pixels.shape[0], perCrop]);
        const selected = selectFeatures(rec, states, features, tokensPerCrop(tower));
        const input = site.pass('projector.hook_in', selected);
        const { rows, taps } = joinPackings(visuals, visuals.map(packingOf), perCrop);
        const args = [rec, weights, projectorAct, input] as const;
        const out = taps
          ? projectAndMix(...args, taps, site)
          : site.pass('projector.hook_out', projector(...args, site));
        return { features: out, rows, newline: newlineRow };
      };
    },
  };
}

/** What patches cover of a crop's side: all of 336 pixels where they have 14, 378 of 384. */
const coveredOf = ({ side, patchSize, imageSize }: ViTConfig): number => (side * patchSize) / imageSize;

/** The patches of each crop: a sequence of its own in the tower. */
function cropPatches(visuals: readonly Visual[], tower: ViTConfig): PatchGrid[][] {
  const { side, classToken } = tower;
  const first = classToken ? 1 : 0;
  let sequence = 0;
  return visuals.map((visual) =>
    Array.from({ length: visual.shape[0] }, (_, crop) => ({
      label:
        visual.kind === 'video' || crop === 0
          ? frameLabel(visual.kind, crop, visual.kind === 'video' ? visual.shape[0] : 1)
          : `tile ${crop}`,
      rows: side,
      columns: side,
      sequence: sequence++,
      rowOf: (y, x) => first + y * side + x,
      ...(classToken && { classRow: 0 }),
      picture: () => cropPlanes(visual, crop),
      area: cropArea(visual, crop, coveredOf(tower)),
    })),
  );
}
