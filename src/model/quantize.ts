import { openSource } from '#platform';
import type { FolderSource } from '../platform/types.ts';
import { checkOptions } from './options.ts';
import type { Quantized, QuantizeOptions } from './write-quantized.ts';

/**
 * Writes a checkpoint again with its matrices in the formats that `weights` says: `load` of the new folder gives the same numbers, bit for
 * bit, as `load(source, { weights })` on the same adapter, and reads about a quarter of the bytes (q4). Norms, biases and
 * whatever else stays as it is stored is copied, and so are the files of settings. docs/weights.md has the layout. The host holds some
 * chunks, the GPU a matrix at a time.
 * @param source as `VisionLanguageModel.load` takes it.
 * @throws CheckpointError for a checkpoint that cannot be loaded, or that is quantised already; InputError where no matrix would change;
 *   what `write` throws; the signal's reason when aborted.
 */
export async function quantize(source: FolderSource, options: QuantizeOptions): Promise<Quantized> {
  checkOptions(options, ['write', 'weights', 'gpu', 'shardBytes', 'onSize', 'onProgress', 'signal'], 'quantize');
  const { writeQuantized } = await import('./write-quantized.ts');
  return writeQuantized(await openSource(source), options);
}
