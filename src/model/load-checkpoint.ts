import { type MadeWith, RecordingFolder } from '../checkpoint/made-with.ts';
import { checkIsCheckpoint } from '../checkpoint/not-a-checkpoint.ts';
import { type Gpu, openGpu } from '../gpu/gpu.ts';
import type { Folder } from '../platform/types.ts';
import { visiting } from '../platform/visiting.ts';
import { readConfig } from './families/read-config.ts';
import type { GenerationConfig } from './generation/generation-config.ts';
import { type LoadModelOptions, loadModel } from './load-model.ts';
import type { ModelParts } from './model.ts';
import { numericsVersion } from './numerics.ts';
import { Processor } from './processor/processor.ts';

/** What `VisionLanguageModel` is made of beside the model. */
export interface CheckpointParts extends ModelParts {
  readonly processor: Processor;
  readonly modelId: string;
  readonly precision: string | undefined;
  readonly madeWith: MadeWith;
  readonly generationConfig: GenerationConfig;
  destroy(): void;
}

/**
 * Loads a whole checkpoint: processor, config and weights.
 * @param options.gpu opened where none is given, and then freed by `destroy`.
 * @throws ConfigError for an architecture or setting that is not supported; CheckpointError for bad or missing tensors.
 */
export const loadCheckpoint = (folder: Folder, options: LoadCheckpointOptions): Promise<CheckpointParts> =>
  visiting(folder, options.signal, (visited) => load(visited, options));

type LoadCheckpointOptions = Omit<LoadModelOptions, 'gpu'> & { readonly gpu?: Gpu };

async function load(folder: Folder, options: LoadCheckpointOptions): Promise<CheckpointParts> {
  options.onProgress?.(0, 0, 'settings');
  await checkIsCheckpoint(folder);
  // What the checkpoint is comes before what its processor lacks.
  const read = await readConfig(folder);
  const recording = new RecordingFolder(folder);
  const processor = await Processor.load(recording, read.config);
  const gpu = options.gpu ?? (await openGpu());
  const dispose = () => {
    if (!options.gpu) gpu.dispose();
  };
  try {
    const loaded = await loadModel(folder, { ...options, gpu }, read);
    const destroy = () => {
      loaded.destroy();
      dispose();
    };
    const { config, weights, cacheFormat } = loaded.model;
    const madeWith = { numerics: numericsVersion, files: recording.files };
    return { ...loaded, gpu, config, weights, cacheFormat, processor, madeWith, destroy };
  } catch (e) {
    dispose();
    throw e;
  }
}
