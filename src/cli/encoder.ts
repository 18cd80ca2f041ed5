// CLIP or SigLIP beside a generative model, for `eval`.
import { basename } from 'node:path';
import type { Gpu } from '../gpu/gpu.ts';
import { openCheckpointFolder } from '../hub/checkpoint-folder.ts';
import { requireJson } from '../model/config/json.ts';
import { DualEncoder } from '../model/dual-encoder.ts';
import { parseDualConfig } from '../model/families/index.ts';
import type { Folder } from '../platform/types.ts';
import { type EncoderPredictions, encoderBaselines } from '../sav/encoder-baselines.ts';
import type { FeatureStore } from '../sav/feature-cache.ts';
import type { Task } from '../sav/task.ts';
import type { Context } from './context.ts';

interface EncoderFolder {
  readonly name: string;
  readonly folder: Folder;
}

/** Finds the folders and reads what they are, so that a misspelt name costs no loading. */
export async function openEncoders(models: readonly string[]): Promise<EncoderFolder[]> {
  return Promise.all(
    models.map(async (model) => {
      const folder = await openCheckpointFolder(model);
      parseDualConfig(await requireJson(folder, 'config.json'), `${model}/config.json`);
      return { name: basename(model), folder };
    }),
  );
}

/** Loads an encoder, lets it judge a task's test rows, and frees it. */
export async function runEncoder(
  context: Context,
  { name, folder }: EncoderFolder,
  { train, test }: Task,
  options: { gpu: Gpu; store?: FeatureStore; labelPrompt: string },
): Promise<EncoderPredictions> {
  const { gpu, store, labelPrompt } = options;
  const { signal } = context;
  const progress = context.progress(name, train.length + test.length);
  let encoder: DualEncoder | undefined;
  try {
    encoder = await DualEncoder.load(folder, { gpu, signal });
    return await encoderBaselines(
      encoder,
      { train, test },
      {
        name,
        labelPrompt,
        store,
        signal,
        onProgress: (done) => progress.update(done, 'rows'),
        onNotice: (m) => context.note(m),
      },
    );
  } finally {
    progress.stop();
    encoder?.destroy();
  }
}
