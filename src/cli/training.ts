// What is wrong with training data and options, said before a model is loaded or run.
import { DataError } from '../sav/errors.ts';
import type { HeadVectorSource } from '../sav/features.ts';
import { UsageError } from './context.ts';

/** @throws DataError where all examples have one label. */
export function checkLabels(location: string, labels: readonly string[]): void {
  if (new Set(labels).size < 2)
    throw new DataError(
      `${location}: all examples have the label '${labels[0]}'; a classifier needs two labels, with about 20 examples each`,
    );
}

/** @throws UsageError naming the option that asks for heads or layers that the model has not. */
export function checkHeadOptions(
  { nLayers, nHeads }: Pick<HeadVectorSource, 'nLayers' | 'nHeads'>,
  { heads, maxLayer = nLayers - 1 }: { heads?: number | 'auto'; maxLayer?: number },
): void {
  if (maxLayer >= nLayers) throw new UsageError(`--max-layer ${maxLayer}: this model has layers 0 to ${nLayers - 1}`);
  const available = (maxLayer + 1) * nHeads;
  if (typeof heads === 'number' && heads > available)
    throw new UsageError(`--heads ${heads}: there are ${available} heads in layers 0 to ${maxLayer}`);
}
