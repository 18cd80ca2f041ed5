import { quote } from '../base/quote.ts';
import { openCheckpoint } from '../checkpoint/checkpoint-files.ts';
import { loadTensors } from '../checkpoint/load.ts';
import { modelId } from '../checkpoint/model-id.ts';
import type { TensorSpec, UnreadTensors } from '../checkpoint/specs.ts';
import type { Gpu } from '../gpu/gpu.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { Weight } from '../gpu/weight.ts';
import type { Folder } from '../platform/types.ts';
import { readJson } from './config/json.ts';
import type { Architecture } from './families/family.ts';
import { type ReadConfig, readConfig } from './families/read-config.ts';
import { type GenerationConfig, generationConfig } from './generation/generation-config.ts';
import { type CacheFormat, checkCacheFormat } from './layers/kv-cache.ts';
import type { WeightSource } from './layers/weights.ts';
import { Model } from './model.ts';
import { checkChoice, quantisationOf } from './quantisation.ts';
import { modelWeights } from './run/forward.ts';
import { chosenFormat, precisionOf, type WeightsChoice } from './weight-formats.ts';

/**
 * What a load does: it reads the settings (config, tokenizer, lists of tensors), then the weights, which go to the GPU while they
 * are read. Kernels are compiled by `warmUp`, or by the first runs.
 */
export type LoadPart = 'settings' | 'weights';

/** Where weights go, and who is told of it. */
export interface LoadModelOptions {
  /** Where the weights go. */
  readonly gpu: Gpu;
  /** The formats that matrices are to have on the GPU. Default: as they are stored. */
  readonly weights?: WeightsChoice;
  /** The format that keys and values are kept in while text is generated. Default: f16, or f32 where the weights are f32. */
  readonly kvCache?: CacheFormat;
  /** Bytes of the checkpoint on the GPU so far, and in the end: 0 and 0 while it reads settings. */
  readonly onProgress?: (loaded: number, total: number, part: LoadPart) => void;
  /** Ends the loading; what was loaded is freed. */
  readonly signal?: AbortSignal;
  /** Told of what is odd and does no harm: tensors that the model has no use for. Default: the console. */
  readonly onWarning?: (message: string) => void;
}

export interface LoadedModel {
  readonly model: Model;
  /** Ties features and classifiers to this checkpoint (src/checkpoint/model-id.ts), or to the one that it was quantised from. */
  readonly modelId: string;
  /** The formats of the weights, where they are not those of the checkpoint that `modelId` is of, and the arithmetic, where it is not f32. */
  readonly precision: string | undefined;
  /** What generation_config.json asks for, the ids that end a text among it. */
  readonly generationConfig: GenerationConfig;
  /** Frees the weights. */
  destroy(): void;
}

/**
 * Loads a checkpoint's config and weights, of any family: what runs on token ids and pixel values.
 * @param read its config.json, where it has been read.
 * @throws ConfigError for an architecture or setting that is not supported; CheckpointError for bad or missing tensors; InputError for
 *   `weights` that a quantised folder cannot have.
 */
export async function loadModel(folder: Folder, options: LoadModelOptions, read?: ReadConfig): Promise<LoadedModel> {
  const { gpu, weights, kvCache, onProgress, signal, onWarning = (message) => console.warn(message) } = options;
  const formatOf = weights && chosenFormat(weights);
  const { json, config } = read ?? (await readConfig(folder));
  const made = quantisationOf(json, `${folder.location}/config.json`);
  if (made && weights) checkChoice(made, weights, folder.location);
  if (kvCache !== undefined) checkCacheFormat(kvCache, config.text);
  const generation = await readGenerationConfig(folder, json, config);
  const checkpoint = await openCheckpoint(folder);
  const loaded = await loadTensors(gpu, checkpoint, weightSpecs(config), {
    ...unreadTensors(config),
    formatOf,
    onProgress: ({ loaded, total }) => onProgress?.(loaded, total, 'weights'),
    signal,
  });
  const unused = loaded.ignored.filter(({ unknown }) => unknown).map(({ tensor }) => quote(tensor.name));
  if (unused.length)
    onWarning(
      `${folder.location}: ${unused.length} ${unused.length === 1 ? 'tensor' : 'tensors'} that this model has no use for ${unused.length === 1 ? 'was' : 'were'} not loaded: ${unused.slice(0, 5).join(', ')}${unused.length > 5 ? ', …' : ''}`,
    );
  try {
    const id = await modelId(json, checkpoint, loaded.hashes);
    // Where the tensors are not those that were written with it, it says nothing about them.
    const origin = made?.contents_id === id ? made : undefined;
    const arithmetic = gpu.capabilities.subgroupMatrix && 'arithmetic=f16';
    return {
      model: new Model({ gpu, config, weights: modelWeights(config, loaded), cacheFormat: kvCache }),
      modelId: origin?.model_id ?? id,
      precision: [precisionOf(origin?.weights, weights), arithmetic].filter(Boolean).join(',') || undefined,
      generationConfig: generation,
      destroy: () => loaded.destroy(),
    };
  } catch (e) {
    loaded.destroy();
    throw e;
  }
}

/** How a checkpoint wants its texts to be generated. @param json its config.json. */
export async function readGenerationConfig(
  folder: Folder,
  json: unknown,
  { text }: Architecture,
): Promise<GenerationConfig> {
  return generationConfig(json, await readJson(folder, 'generation_config.json'), text.modelType, folder.location);
}

/** What a checkpoint may have beside what a model of this config reads. */
export const unreadTensors = (config: Architecture): UnreadTensors => ({
  visionLayers: config.vision?.nLayers ?? 0,
  tied: config.text.tieWordEmbeddings ? { 'lm_head.weight': 'language_model.embed_tokens.weight' } : {},
});

/** The tensors that a model of this config reads, with their shapes. */
export const weightSpecs = (config: Architecture): TensorSpec[] => specsOf((source) => modelWeights(config, source));

/** What `build` asks a source of weights for. */
export function specsOf(build: (source: WeightSource) => unknown): TensorSpec[] {
  const specs: TensorSpec[] = [];
  // Only names and shapes are wanted of this pass over the weights; nobody reads what it returns.
  const listed = <T>(spec: TensorSpec): T => {
    specs.push(spec);
    return undefined as T;
  };
  build({
    matrix: (name, shape, placement) => listed<Weight>({ name, shape, role: 'matrix', ...placement }),
    vector: (name, shape, placement) => listed<Tensor>({ name, shape, role: 'vector', ...placement }),
  });
  return specs;
}
