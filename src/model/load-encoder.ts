import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { loadTensors } from '../checkpoint/load.ts';
import { type MadeWith, RecordingFolder } from '../checkpoint/made-with.ts';
import { modelId } from '../checkpoint/model-id.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Folder } from '../platform/types.ts';
import { visiting } from '../platform/visiting.ts';
import { requireJson } from './config/json.ts';
import { type DualEncoderConfig, dualHookPoints, type ImageHead } from './families/dual.ts';
import { parseDualConfig } from './families/index.ts';
import type { HookPoint } from './interventions/hook-points.ts';
import { type TextTowerWeights, textTowerWeights } from './layers/text-tower.ts';
import { type ViTWeights, vitWeights } from './layers/vision-tower.ts';
import type { Linear, WeightSource } from './layers/weights.ts';
import { type LoadModelOptions, specsOf } from './load-model.ts';
import { numericsVersion } from './numerics.ts';
import { DualProcessor } from './processor/dual-processor.ts';

/** The weights of both towers. */
export interface DualWeights {
  readonly vision: ViTWeights;
  readonly imageHead: ImageHead;
  readonly text: TextTowerWeights;
  readonly textHead: Linear;
  readonly logitScale: Tensor;
  readonly logitBias?: Tensor;
}

const dualWeights = (config: DualEncoderConfig, source: WeightSource): DualWeights => ({
  vision: vitWeights(config.vision, source),
  imageHead: config.family.imageHead(config, source),
  text: textTowerWeights(config.text, source),
  textHead: config.family.textHead(config, source),
  logitScale: source.vector('logit_scale', config.family.scaleShape),
  logitBias: config.family.hasLogitBias ? source.vector('logit_bias', [1]) : undefined,
});

/** What a dual encoder is made of. */
export interface EncoderParts {
  readonly gpu: Gpu;
  readonly config: DualEncoderConfig;
  readonly processor: DualProcessor;
  readonly weights: DualWeights;
  /** Those of both towers, without what custom kernels add. */
  readonly hookPoints: readonly HookPoint[];
  readonly modelId: string;
  readonly madeWith: MadeWith;
  readonly logitScale: number;
  readonly logitBias: number;
  destroy(): void;
}

/**
 * Loads a dual encoder's config, processor and weights.
 * @throws ConfigError for another architecture or an unsupported setting; CheckpointError for bad or missing tensors.
 */
export const loadEncoder = (folder: Folder, options: LoadModelOptions): Promise<EncoderParts> =>
  visiting(folder, options.signal, (visited) => load(visited, options));

async function load(folder: Folder, { gpu, onProgress, signal }: LoadModelOptions): Promise<EncoderParts> {
  onProgress?.(0, 0, 'settings');
  const json = await requireJson(folder, 'config.json');
  const config = parseDualConfig(json, `${folder.location}/config.json`);
  const recording = new RecordingFolder(folder);
  const processor = await DualProcessor.load(recording, config);
  const checkpoint = await openCheckpoint(folder);
  const specs = specsOf((source) => dualWeights(config, source));
  const loaded = await loadTensors(gpu, checkpoint, specs, {
    visionLayers: config.vision.nLayers,
    onProgress: ({ loaded, total }) => onProgress?.(loaded, total, 'weights'),
    signal,
  });
  try {
    const weights = dualWeights(config, loaded);
    const rec = gpu.record('logit scale');
    const scale = rec.read(weights.logitScale);
    const bias = weights.logitBias && rec.read(weights.logitBias);
    await rec.submit();
    return {
      ...{ gpu, config, processor, weights },
      hookPoints: dualHookPoints(config),
      modelId: await modelId(json, checkpoint, loaded.hashes),
      madeWith: { numerics: numericsVersion, files: recording.files },
      logitScale: Math.exp(scale.f32[0]),
      logitBias: bias ? bias.f32[0] : 0,
      destroy: () => loaded.destroy(),
    };
  } catch (e) {
    loaded.destroy();
    throw e;
  }
}
