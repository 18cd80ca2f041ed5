import * as s from '../../base/schema.ts';
import type { Recorder } from '../../gpu/recorder.ts';
import { elementCount, reshape, type Tensor } from '../../gpu/tensor.ts';
import { gatherRows } from '../../kernels/elementwise/elementwise.ts';
import { matmul } from '../../kernels/matmul/matmul.ts';
import type { BlockShape } from '../config/block.ts';
import { parse } from '../config/json.ts';
import { count, headCount, layerCount, Settings, tokenId } from '../config/settings.ts';
import { parseText, type TextConfig } from '../config/text.ts';
import { ConfigError, InputError } from '../errors.ts';
import type { Visual, VisualShape } from '../input.ts';
import { blockHookPoints, type HookPoint } from '../interventions/hook-points.ts';
import type { Hooks } from '../interventions/hooks.ts';
import type { Mask } from '../layers/block-run.ts';
import { projector } from '../layers/projector.ts';
import { inverseFrequencies, ropeTable } from '../layers/rope.ts';
import { block, norm } from '../layers/transformer.ts';
import { type BlockWeights, layerNorm, linear, rmsNorm, type WeightSource } from '../layers/weights.ts';
import { parsePatching, patchedShape, patchFrames, patchImage } from '../processor/patches.ts';
import { checkRate, type FrameSampling, sampleFrames } from '../processor/sample-frames.ts';
import type { Processing, ProcessorFiles, VisualProcessor } from '../processor/visual-processor.ts';
import type { Architecture, Family, VisionSide } from './family.ts';
import {
  type Grid,
  inverse,
  layPatches,
  type PatchLayout,
  type QwenVisionConfig,
  type Segments,
} from './qwen2-vl-grid.ts';
import { mropePositions } from './qwen2-vl-positions.ts';
import { squareGrids, towerGrids } from './qwen2-vl-token-grids.ts';

const common = {
  model_type: s.optional(s.string()),
  depth: s.optional(layerCount, 32),
  num_heads: s.optional(headCount, 16),
  in_channels: s.optional(s.literal(3), 3),
  in_chans: s.optional(s.literal(3), 3), // as the hub's files name it
  patch_size: s.optional(count, 14),
  spatial_merge_size: s.optional(s.int(1, 8), 2),
  temporal_patch_size: s.optional(s.int(1, 16), 2),
  rope_theta: s.nullish(s.number()),
  rope_parameters: s.nullish(s.looseObject({ rope_theta: s.nullish(s.number()), rope_type: s.nullish(s.string()) })),
  head_dim: s.nullish(count),
  num_attention_heads: s.nullish(headCount),
  quantization_config: s.optional(s.unknown()),
};

const qwen2Vision = s.looseObject({
  ...common,
  embed_dim: s.optional(count, 1280),
  hidden_size: s.optional(count, 3584), // the decoder's width
  hidden_act: s.optional(s.string(), 'quick_gelu'),
  mlp_ratio: s.optional(s.positive(64), 4),
});

const qwen25Vision = s.looseObject({
  ...common,
  hidden_size: s.optional(count, 3584),
  intermediate_size: s.optional(count, 3420),
  hidden_act: s.optional(s.string(), 'silu'),
  out_hidden_size: s.optional(count, 3584),
  window_size: s.optional(count, 112),
  fullatt_block_indexes: s.optional(s.list(s.int(0), 0, 1000), [7, 15, 23, 31]),
  tokens_per_second: s.optional(s.positive(), 4),
});

const schema = s.looseObject({
  model_type: s.oneOf(['qwen2_vl', 'qwen2_5_vl']),
  vision_config: s.nullish(s.looseObject({})),
  text_config: s.nullish(s.looseObject({})),
  image_token_id: s.optional(tokenId, 151655),
  video_token_id: s.optional(tokenId, 151656),
  tie_word_embeddings: s.nullish(s.boolean()),
  quantization_config: s.optional(s.unknown()),
});

const towerEps = 1e-6; // fixed in the HF classes
const towerTheta = 10000;

/** Qwen2-VL and Qwen2.5-VL (HF `Qwen2VLForConditionalGeneration`, `Qwen2_5_VLForConditionalGeneration`). */
export const qwen2Vl: Family = {
  name: 'Qwen2-VL',
  modelTypes: ['qwen2_vl', 'qwen2_5_vl'],
  parse(json, file) {
    const settings = new Settings(file);
    const raw = settings.read(schema, json);
    settings.unquantised(raw, '');
    const is25 = raw.model_type === 'qwen2_5_vl';
    const modelType = `${raw.model_type}_text`;
    // The hub's files have the decoder's settings at the top, where model_type is the whole model's.
    const text = raw.text_config
      ? parseText(settings, raw.text_config, 'text_config', { modelType, tied: raw.tie_word_embeddings ?? false })
      : parseText(settings, { ...raw, model_type: modelType }, '', { modelType });
    const ids = { imageTokenId: raw.image_token_id, videoTokenId: raw.video_token_id };
    const vision = { ...(is25 ? parse25 : parse2)(settings, raw.vision_config ?? {}, text), ...ids };
    settings.finish();
    const architecture: Architecture = {
      family: is25 ? 'Qwen2.5-VL' : 'Qwen2-VL',
      className: is25 ? 'Qwen2_5_VLForConditionalGeneration' : 'Qwen2VLForConditionalGeneration',
      text,
      vision: visionSide(vision, text, {
        imageToken: '<|image_pad|>',
        videoToken: '<|video_pad|>',
        load: (files) => patches(files, vision),
      }),
    };
    return architecture;
  },
};

type TowerConfig = Omit<QwenVisionConfig, 'imageTokenId' | 'videoTokenId'>;

function parse2(settings: Settings, json: unknown, text: TextConfig): TowerConfig {
  const v = settings.read(qwen2Vision, json, 'vision_config');
  if (v.hidden_size !== text.dModel)
    settings.problem(`vision_config.hidden_size ${v.hidden_size} is not the decoder's hidden_size ${text.dModel}`);
  return tower(settings, v, {
    dModel: v.embed_dim,
    dMlp: Math.trunc(v.embed_dim * v.mlp_ratio),
    gated: false,
  });
}

function parse25(settings: Settings, json: unknown, text: TextConfig): TowerConfig {
  const v = settings.read(qwen25Vision, json, 'vision_config');
  if (v.out_hidden_size !== text.dModel)
    settings.problem(
      `vision_config.out_hidden_size ${v.out_hidden_size} is not the decoder's hidden_size ${text.dModel}`,
    );
  const side = Math.floor(v.window_size / v.spatial_merge_size / v.patch_size) * v.spatial_merge_size;
  if (side < 1)
    settings.problem(
      `vision_config.window_size ${v.window_size} is less than ${v.spatial_merge_size} patches of ${v.patch_size}`,
    );
  return {
    ...tower(settings, v, { dModel: v.hidden_size, dMlp: v.intermediate_size, gated: true }),
    window: { side, fullLayers: v.fullatt_block_indexes },
    tokensPerSecond: v.tokens_per_second,
  };
}

function tower(
  settings: Settings,
  v: Pick<s.InferOutput<typeof qwen2Vision>, keyof typeof common | 'hidden_act'>,
  { dModel, dMlp, gated }: Pick<BlockShape, 'dModel' | 'dMlp' | 'gated'>,
): TowerConfig {
  settings.divides('vision_config: the width', dModel, 'num_heads', v.num_heads);
  const dHead = Math.floor(dModel / v.num_heads);
  settings.unquantised(v, 'vision_config.');
  const rope = v.rope_parameters;
  settings.only('vision_config.rope_parameters: rope_theta', rope?.rope_theta ?? v.rope_theta, towerTheta);
  settings.only('vision_config.rope_parameters: rope_type', rope?.rope_type, 'axial', 'default');
  settings.only('vision_config.head_dim', v.head_dim, dHead);
  settings.only('vision_config.num_attention_heads', v.num_attention_heads, v.num_heads);
  if (dHead % 4) settings.problem(`vision_config: a head size of ${dHead} does not split into rows and columns`);
  return {
    dModel,
    dMlp,
    nLayers: v.depth,
    nHeads: v.num_heads,
    nKvHeads: v.num_heads,
    dHead,
    eps: towerEps,
    act: settings.act(v.hidden_act, 'vision_config.hidden_act'),
    gated,
    patchSize: v.patch_size,
    temporalPatchSize: v.temporal_patch_size,
    mergeSize: v.spatial_merge_size,
  };
}

/** Numbers of a patch: channels, frames, rows, columns. */
const patchWidth = ({ patchSize, temporalPatchSize }: QwenVisionConfig) => 3 * temporalPatchSize * patchSize ** 2;

const frames = s.int(1, 1_000_000);
const samplingSchema = s.looseObject({
  fps: s.nullish(s.positive()),
  num_frames: s.nullish(frames),
  min_frames: s.nullish(frames, 4),
  max_frames: s.nullish(frames, 768),
});

/** Patches of an image or video of any size (HF `Qwen2VLProcessor`, `Qwen2_5_VLProcessor`). */
function patches(files: ProcessorFiles, { tokensPerSecond }: QwenVisionConfig): VisualProcessor {
  const forImages = parsePatching(files.image, 'image');
  const forVideos = parsePatching(files.video, 'video');
  const { temporalPatch } = forVideos;
  const raw = parse(samplingSchema, files.video.json, files.video.file);
  if (raw.fps != null && raw.num_frames != null)
    throw new ConfigError(`${files.video.file}: fps and num_frames exclude each other; take one out`);
  const sampling: FrameSampling = {
    // two frames a second are the default of the authors' own tools (qwen-vl-utils); HF has none
    rate: raw.num_frames != null ? { frames: raw.num_frames } : { fps: raw.fps ?? 2 },
    minFrames: raw.min_frames,
    maxFrames: raw.max_frames,
    temporalPatch,
  };
  return {
    image: (image) => ({ kind: 'image', ...patchImage(image, forImages) }),
    imageShape: (size) => ({ kind: 'image', ...patchedShape(size, forImages) }),
    video({ frames, fps = 24 }) {
      // Only Qwen2.5-VL asks; 24 frames a second are what HF takes of frames that nobody knows the time of.
      if (tokensPerSecond !== undefined) checkRate(fps);
      return {
        kind: 'video',
        ...patchFrames(frames, forVideos),
        ...(tokensPerSecond !== undefined && { secondsPerPatch: temporalPatch / fps }),
      };
    },
    sampleFrames: (info) => sampleFrames(info, sampling),
  };
}

function visionSide(config: QwenVisionConfig, text: TextConfig, processing: Processing): VisionSide {
  const merged = config.mergeSize ** 2;
  return {
    config: { ...config },
    imageTokenId: config.imageTokenId,
    videoTokenId: config.videoTokenId,
    processing,
    nLayers: config.nLayers,
    hookPoints: qwenHookPoints(config, text),
    rows: ({ shape }) => shape[0],
    widest: Math.max(config.dMlp, config.dModel, patchWidth(config)),
    tokens: (visual) => elementCount(checkedGrid(config, visual)) / merged,
    tokenGrids: (visual) => squareGrids(config, visual, checkedGrid(config, visual)),
    patchGrids: (visuals) =>
      towerGrids(
        config,
        visuals,
        visuals.map((visual) => checkedGrid(config, visual)),
      ),
    imageShape(image, preprocessor) {
      const { patchSize: patch, mergeSize: merge, temporalPatchSize: temporalPatch } = config;
      const patching = { ...parsePatching(preprocessor, 'image'), patch, merge, temporalPatch };
      return { kind: 'image', ...patchedShape(image, patching) };
    },
    positions: (input) => mropePositions(input, config),
    encoder(source) {
      const weights = qwenWeights(config, text, source);
      return (rec, visuals, hooks) => {
        const grids = visuals.map((visual) => checkedGrid(config, visual));
        const layout = layPatches(grids, config.mergeSize, config.window?.side);
        const features = encode(rec, weights, config, visuals, layout, hooks);
        let first = 0;
        const rows = grids.map((grid) => {
          const tokens = elementCount(grid) / merged;
          const own = Array.from({ length: tokens }, (_, i) => first + i);
          first += tokens;
          return own;
        });
        return { features, rows };
      };
    },
  };
}

/** @throws InputError where pixels and grid do not belong together. */
function checkedGrid(config: QwenVisionConfig, { grid, shape, ...visual }: Visual | VisualShape): Grid {
  const width = patchWidth(config);
  const patches = grid && elementCount(grid);
  const numbers = 'pixels' in visual ? visual.pixels.length : elementCount(shape);
  const whole =
    grid?.every((n) => Number.isInteger(n) && n >= 1) && !(grid[1] % config.mergeSize || grid[2] % config.mergeSize);
  if (!grid || !whole || shape[0] !== patches || shape[1] !== width || numbers !== patches * width)
    throw new InputError(
      `pixel values: [${shape}] of ${numbers} numbers with the grid [${grid}], expected [patches, ${width}] and a grid of as many, in squares of ${config.mergeSize}`,
    );
  return grid;
}

interface QwenWeights {
  readonly patchEmbedding: ReturnType<WeightSource['matrix']>;
  readonly blocks: readonly BlockWeights[];
  readonly merger: {
    readonly norm: BlockWeights['ln1'];
    readonly linear1: BlockWeights['q'];
    readonly linear2: BlockWeights['q'];
  };
}

function qwenWeights(config: QwenVisionConfig, text: TextConfig, source: WeightSource): QwenWeights {
  const { dModel: d, dMlp, gated, patchSize, temporalPatchSize, mergeSize } = config;
  const anyNorm = gated ? rmsNorm : layerNorm;
  const towerBlock = (l: number): BlockWeights => {
    const layer = `visual.blocks.${l}`;
    const third = (index: number) => linear(source, `${layer}.attn.qkv`, d, d, true, { part: { index, of: 3 } });
    const up = gated ? 'up_proj' : 'fc1';
    return {
      ln1: anyNorm(source, `${layer}.norm1`, d),
      q: third(0),
      k: third(1),
      v: third(2),
      o: linear(source, `${layer}.attn.proj`, d, d, true),
      ln2: anyNorm(source, `${layer}.norm2`, d),
      gate: gated ? linear(source, `${layer}.mlp.gate_proj`, dMlp, d, true) : undefined,
      up: linear(source, `${layer}.mlp.${up}`, dMlp, d, true),
      down: linear(source, `${layer}.mlp.${gated ? 'down_proj' : 'fc2'}`, d, dMlp, true),
    };
  };
  const width = d * mergeSize ** 2;
  return {
    patchEmbedding: source.matrix('visual.patch_embed.proj.weight', [d, 3, temporalPatchSize, patchSize, patchSize]),
    blocks: Array.from({ length: config.nLayers }, (_, l) => towerBlock(l)),
    merger: {
      norm: anyNorm(source, 'visual.merger.ln_q', d),
      linear1: linear(source, 'visual.merger.mlp.0', width, width, true),
      linear2: linear(source, 'visual.merger.mlp.2', text.dModel, width, true),
    },
  };
}

/**
 * The tower and the merger over all pictures at once (HF `Qwen2VisionTransformerPretrainedModel`,
 * `Qwen2_5_VisionTransformerPretrainedModel`). In Qwen2.5-VL the patches stand window by window until the merger is done.
 * @returns [patches / mergeSize², dModel of the decoder], in the order of the pictures
 */
function encode(
  rec: Recorder,
  weights: QwenWeights,
  config: QwenVisionConfig,
  visuals: readonly Visual[],
  layout: PatchLayout,
  hooks: Hooks,
): Tensor {
  const { dModel, dHead, mergeSize } = config;
  const patches = layout.positions[0].length;
  const pixels = new Float32Array(patches * patchWidth(config));
  let at = 0;
  for (const visual of visuals) {
    pixels.set(visual.pixels, at);
    at += visual.pixels.length;
  }
  const input = rec.input('pixel_values', 'f32', [patches, patchWidth(config)], pixels);
  const site = hooks.whole([patches]);
  const embedded = matmul(rec, { x: input, weight: weights.patchEmbedding, label: 'vision.patch_embedding' });
  let x = site.pass('vision.hook_embed', embedded);
  // Squares of patches that become one token move as one row.
  const squares = (t: Tensor) => reshape(t, [patches / mergeSize ** 2, mergeSize ** 2 * dModel]);
  const permute = (t: Tensor, order: Uint32Array<ArrayBuffer>, label: string) =>
    gatherRows(rec, { x: t, rows: rec.input(`${label} order`, 'u32', [order.length], order), label });
  if (layout.order) x = reshape(permute(squares(x), layout.order, 'vision.windows'), [patches, dModel]);

  const within = ({ bounds, pairs }: Segments, label: string): Mask => ({
    causal: false,
    segments: rec.input(label, 'u32', [patches, 2], bounds),
    pairs,
  });
  const frames = within(layout.frames, 'frames');
  const windows = layout.windows && within(layout.windows, 'windows');
  // Both axes turn with the same frequencies, each half of the pairs with one.
  const axis = inverseFrequencies({ type: 'default', theta: towerTheta }, dHead / 2);
  const frequencies = Float32Array.from([...axis, ...axis]);
  const axisOf = Array.from(frequencies, (_, i) => (i < axis.length ? 0 : 1));
  const rope = rec.input('vision.rope', 'f32', [patches, dHead], ropeTable(frequencies, layout.positions, axisOf));
  for (const [l, w] of weights.blocks.entries()) {
    const whole = !windows || config.window!.fullLayers.includes(l);
    const mask = whole ? frames : windows;
    x = block(rec, w, config, x, { name: `vision.blocks.${l}`, site, batch: 1, mask, rope })!;
  }

  const tokens = hooks.whole([patches / mergeSize ** 2]);
  x = site.pass('projector.hook_in', x);
  const normed = norm(rec, weights.merger.norm, { eps: towerEps }, x, 'projector.ln', site);
  const merged = projector(rec, weights.merger, 'gelu', squares(normed), tokens);
  const out = layout.order ? permute(merged, inverse(layout.order), 'projector.out') : merged;
  return tokens.pass('projector.hook_out', out);
}

function qwenHookPoints(config: QwenVisionConfig, text: TextConfig): HookPoint[] {
  const { dModel, nHeads, mergeSize } = config;
  const points: HookPoint[] = [];
  const rows = ({ patches }: { patches: number }) => [patches];
  const add = (name: string, perRow: number, width: number) =>
    points.push({ name, layer: -1, shape: ({ patches }) => [patches / perRow, width] });
  add('vision.hook_embed', 1, dModel);
  for (let l = 0; l < config.nLayers; l++)
    points.push(
      ...blockHookPoints(
        `vision.blocks.${l}.`,
        config,
        { layer: -1, rotary: true },
        {
          rows,
          square: ({ patches }) => [nHeads, patches, patches],
        },
      ),
    );
  add('projector.hook_in', 1, dModel);
  add('projector.ln.hook_scale', 1, 1);
  add('projector.ln.hook_normalized', 1, dModel);
  add('projector.hook_pre', mergeSize ** 2, mergeSize ** 2 * dModel);
  add('projector.hook_out', mergeSize ** 2, text.dModel);
  return points;
}
