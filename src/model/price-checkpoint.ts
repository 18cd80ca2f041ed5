import { openSource } from '#platform';
import type { FolderSource } from '../platform/types.ts';
import { inVisit } from '../platform/visiting.ts';
import { checkOptions } from './options.ts';
import type { CheckpointPrice, CheckpointPriceOptions } from './plan/checkpoint-price.ts';

/**
 * What a checkpoint takes, before anything of its weights is loaded: config.json, settings and the headers of its files are read.
 * @param source as `VisionLanguageModel.load` takes it.
 * @throws ConfigError for an architecture or setting that is not supported; CheckpointError for missing or unfit tensors; InputError for
 *   more positions than the model has, and for CLIP and SigLIP, which `DualEncoder` loads.
 */
export async function priceCheckpoint(
  source: FolderSource,
  options: CheckpointPriceOptions = {},
): Promise<CheckpointPrice> {
  checkOptions(options, ['adapter', 'length', 'textTokens'], 'priceCheckpoint');
  const { priceFormats } = await import('./plan/checkpoint-price.ts');
  const folder = await openSource(source);
  // Not `visiting`: what keeps a checkpoint would take this for the whole of it.
  return folder.visit
    ? inVisit(folder.visit(), (visit) => priceFormats(visit, options))
    : priceFormats(folder, options);
}
