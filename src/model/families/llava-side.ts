// What the LLaVA families share: a tower that sees square crops, a selection of its hidden states, a projector of two layers.
// They differ in how a picture becomes crops and how the crops' features are packed into one row of tokens.
import * as s from '../../base/schema.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import type { Tensor } from '../../gpu/tensor.ts';
import type { ActivationFunction } from '../../kernels/activation/activation.wgsl.ts';
import type { Taps } from '../../kernels/mix-rows/bilinear.ts';
import { mixRows } from '../../kernels/mix-rows/mix-rows.ts';
import { extraRow } from '../../kernels/splice/splice.ts';
import { type Settings, tokenId } from '../config/settings.ts';
import { parseText, type TextConfig } from '../config/text.ts';
import { clipLarge336, parseViT, tokensPerCrop, type ViTConfig } from '../config/vit.ts';
import { InputError } from '../errors.ts';
import type { Visual, VisualShape } from '../input.ts';
import { type HookPoint, vitHookPoints } from '../interventions/hook-points.ts';
import { checkCrops, stackCrops } from '../layers/crops.ts';
import { projector } from '../layers/projector.ts';
import { type FeatureSelection, selectFeatures, visionTower, vitWeights } from '../layers/vision-tower.ts';
import { linear } from '../layers/weights.ts';
import type { Size } from '../processor/anyres.ts';
import { cropPlanes, frameLabel, type PatchGrid, type TokenGrid } from '../processor/token-grids.ts';
import type { Processing } from '../processor/visual-processor.ts';
import type { VisionSide } from './family.ts';

/** The vision side of a LLaVA as its config says it. */
export interface LlavaVisionConfig {
  readonly tower: ViTConfig;
  readonly features: FeatureSelection;
  readonly projectorAct: ActivationFunction;
  readonly projectorBias: boolean;
  readonly imageTokenId: number;
  readonly videoTokenId?: number;
}

/** How the features of a visual's crops become its tokens. */
export interface Packing {
  /** Rows among the features of the visual's crops, or of `taps`' outputs; `newline` for image_newline. */
  readonly rows: ArrayLike<number>;
  /** Weighted sums of four of the crops' rows each, made first where a map is resized. */
  readonly taps?: Taps;
  /** Where the tokens stand in the picture. */
  readonly grids: readonly TokenGrid[];
}

export const newline: number = extraRow;

/** `perCrop`: features that each crop has. */
export type Packer = (visual: Visual, perCrop: number) => Packing;

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
    const packing = pack(visual as Visual, perCrop); // pixels are needed only where its grids show them
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
        const out = site.pass('projector.hook_out', projector(rec, weights, projectorAct, input, site));
        return { ...packed(rec, out, visuals, visuals.map(packingOf), perCrop), newline: newlineRow };
      };
    },
  };
}

/** The patches of each crop: a sequence of its own in the tower. */
function cropPatches(visuals: readonly Visual[], { side, classToken }: ViTConfig): PatchGrid[][] {
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
    })),
  );
}

/** Numbers the rows of all visuals in one tensor; resizes maps first where a visual needs that. */
function packed(
  rec: Recorder,
  features: Tensor,
  visuals: readonly Visual[],
  packings: readonly Packing[],
  perCrop: number,
): { features: Tensor; rows: ArrayLike<number>[] } {
  const counts = visuals.map(({ shape }) => shape[0] * perCrop);
  const shift = (rows: ArrayLike<number>, by: number) =>
    Uint32Array.from(rows, (row) => (row === newline ? newline : row + by));
  const startsOf = (sizes: readonly number[]) =>
    sizes.map((_, i) => sizes.slice(0, i).reduce((sum, size) => sum + size, 0));
  const starts = startsOf(counts);
  if (packings.every(({ taps }) => !taps))
    return { features, rows: packings.map(({ rows }, i) => shift(rows, starts[i])) };

  // A visual that is not resized passes through: one tap of weight 1 for each of its rows.
  const taps = packings.map((packing, i) => packing.taps ?? identity(counts[i]));
  const mixedStarts = startsOf(taps.map(({ indices }) => indices.length / 4));
  const indices = Uint32Array.from(taps.flatMap((t, i) => Array.from(shift(t.indices, starts[i]))));
  const weights = Float32Array.from(taps.flatMap((t) => Array.from(t.weights)));
  const mixed = mixRows(rec, {
    x: features,
    indices: rec.input('taps', 'u32', [indices.length / 4, 4], indices),
    weights: rec.input('tap weights', 'f32', [weights.length / 4, 4], weights),
    label: 'projector.resized',
  });
  return { features: mixed, rows: packings.map(({ rows }, i) => shift(rows, mixedStarts[i])) };
}

/** Taps that change nothing. */
export function identity(rows: number): Taps {
  const indices = new Uint32Array(4 * rows);
  const weights = new Float32Array(4 * rows);
  for (let row = 0; row < rows; row++) {
    indices[4 * row] = row;
    weights[4 * row] = 1;
  }
  return { indices, weights };
}
