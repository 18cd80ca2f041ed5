import * as s from '../../base/schema.ts';
import { bilinearTaps } from '../../kernels/mix-rows/mix-rows.ts';
import { parse } from '../config/json.ts';
import { Settings } from '../config/settings.ts';
import type { TextConfig } from '../config/text.ts';
import { siglipSo400m384 } from '../config/vit.ts';
import { InputError } from '../errors.ts';
import { limited, type Size } from '../processor/anyres.ts';
import {
  type ImageProcessorConfig,
  parseFrameProcessor,
  processedShape,
  processFrames,
} from '../processor/image-processor.ts';
import { evenFrames, type FrameRate, uniformFrames } from '../processor/sample-frames.ts';
import type { Settings as PreprocessorFile } from '../processor/settings.ts';
import { gridPinpoints, parseTiling, pinpointsSchema, squareImage, type TilingConfig } from '../processor/tiles.ts';
import { cropArea, cropPlanes, frameLabel } from '../processor/token-grids.ts';
import type { Processing, VisualProcessor } from '../processor/visual-processor.ts';
import type { Architecture, Family } from './family.ts';
import { checkPinpoints, packTiles, type TileGrid, tileCrops, tiles } from './llava-next.ts';
import { type LlavaDefaults, type LlavaVisionConfig, llavaEntries, llavaSide, parseLlava } from './llava-side.ts';
import { newline, type Packer } from './packing.ts';

const onevisionDefaults: LlavaDefaults = {
  textModelType: 'qwen2',
  visionModelType: 'siglip_vision_model',
  vision: siglipSo400m384,
  featureLayer: -1,
  strategy: 'full',
  imageTokenId: 151646,
  videoTokenId: 151647,
};

/** As many as the authors of the Sparse Attention Vectors take, where the checkpoint does not say. */
const framesOfVideo = 16;

const samplingSchema = s.looseObject({
  fps: s.nullish(s.positive()),
  num_frames: s.nullish(s.int(1, 1_000_000)),
});

/** How many frames the video processor's settings ask for; num_frames goes before fps, as in HF. */
function frameRateOf({ json, file }: PreprocessorFile): FrameRate | undefined {
  const { fps, num_frames: frames } = parse(samplingSchema, json, file);
  if (frames != null) return { frames };
  return fps == null ? undefined : { fps };
}

const schema = s.looseObject({
  ...llavaEntries,
  image_grid_pinpoints: s.nullish(pinpointsSchema),
  vision_aspect_ratio: s.optional(
    s.matching(/^anyres_max_[1-9]\d{0,2}$/, '"anyres_max_" and a number of tiles'),
    'anyres_max_9',
  ),
});

/** LLaVA-OneVision (HF `LlavaOnevisionForConditionalGeneration`). */
export const llavaOnevision: Family = {
  name: 'LLaVA-OneVision',
  modelTypes: ['llava_onevision'],
  parse(json, file) {
    const settings = new Settings(file);
    const raw = settings.read(schema, json);
    const { text, vision } = parseLlava(settings, raw, onevisionDefaults);
    settings.finish();
    const maxTiles = Number(raw.vision_aspect_ratio.slice('anyres_max_'.length));
    const pinpoints = raw.image_grid_pinpoints ?? gridPinpoints(384, 6);
    return onevision(text, vision, {
      pinpoints,
      maxTiles,
      processing: {
        imageToken: '<image>',
        videoToken: '<video>',
        load: ({ image, video }) =>
          tilesOrFrames(
            checkPinpoints(parseTiling(image, 'LlavaOnevisionImageProcessor'), pinpoints, image.file),
            parseFrameProcessor(video),
            frameRateOf(video),
          ),
      },
    });
  },
};

/** Also what the original repository's checkpoints are. */
export function onevision(
  text: TextConfig,
  vision: LlavaVisionConfig,
  { pinpoints, maxTiles, processing }: { pinpoints: readonly Size[]; maxTiles: number; processing: Processing },
): Architecture {
  const { imageSize, side } = vision.tower;
  const grid = { pinpoints, imageSize, side };
  const image = packLimited(grid, maxTiles);
  return {
    family: llavaOnevision.name,
    className: 'LlavaOnevisionForConditionalGeneration',
    text,
    vision: llavaSide(vision, text, {
      processing,
      pack: (visual, ...rest) => (visual.kind === 'video' ? packVideo(side) : image)(visual, ...rest),
      crops: (size) => tileCrops(size, grid),
      hasNewline: true,
      settings: { pinpoints, maxTiles },
    }),
  };
}

/**
 * The whole and the tiles of an image that is alone in its prompt; one crop, padded to a square, of each of several; the
 * frames of a video (HF `LlavaOnevisionProcessor`).
 */
export const tilesOrFrames = (
  config: TilingConfig,
  frameConfig: ImageProcessorConfig,
  rate?: FrameRate,
): VisualProcessor => ({
  image: (image, among) =>
    among === 1
      ? tiles(config).image(image, among)
      : { kind: 'image', ...squareImage(image, config), size: { height: image.height, width: image.width } },
  imageShape: (size, among) => ({
    ...tiles(config).imageShape(size, among),
    ...(among > 1 && { shape: processedShape(size, { ...config.each, padColour: config.padColour }) }),
  }),
  video: ({ frames }) => ({ kind: 'video', ...processFrames(frames, frameConfig) }),
  sampleFrames: (info) => (rate ? evenFrames(info, rate) : uniformFrames(info, framesOfVideo)),
});

/** Tiles as LLaVA-NeXT packs them, the map resized where it has more features than `maxTiles` tiles have. */
export function packLimited(grid: TileGrid, maxTiles: number): Packer {
  return packTiles(grid, (map, rowOf) => {
    const size = limited(map, grid.side, maxTiles);
    if (size === map) return undefined;
    if (!size.height || !size.width)
      throw new InputError(
        `an image so narrow that its ${map.height} x ${map.width} features would be resized to ${size.height} x ${size.width}; crop it`,
      );
    return { size, taps: bilinearTaps(map.height, map.width, size.height, size.width, rowOf) };
  });
}

/** Every frame's map at half its side, and one newline after the last (HF `get_video_features`, `apply_pooling`). */
function packVideo(side: number): Packer {
  return (visual, perCrop, covered) => {
    const { shape } = visual;
    if (perCrop !== side ** 2)
      throw new InputError(
        `a frame has ${perCrop} features, expected ${side} x ${side}: vision_feature_select_strategy`,
      );
    const half = Math.ceil(side / 2);
    const frames = Array.from({ length: shape[0] }, (_, frame) =>
      bilinearTaps(side, side, half, half, (y, x) => frame * perCrop + y * side + x),
    );
    return {
      rows: [...Array.from({ length: shape[0] * half ** 2 }, (_, i) => i), newline],
      grids: frames.map((_, frame) => ({
        label: frameLabel('video', frame, shape[0]),
        rows: half,
        columns: half,
        tokenOf: (y, x) => frame * half ** 2 + y * half + x,
        picture: () => cropPlanes(visual, frame),
        area: cropArea(visual, frame, covered),
      })),
      taps: {
        indices: Uint32Array.from(frames.flatMap(({ indices }) => Array.from(indices))),
        weights: Float32Array.from(frames.flatMap(({ weights }) => Array.from(weights))),
      },
    };
  };
}
