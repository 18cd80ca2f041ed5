// Where an analysis takes its activations from: a run of its own, or what a run of the same input has captured.
import { InputError } from '../model/errors.ts';
import type { ModelInput } from '../model/input.ts';
import type { PositionRange } from '../model/interventions/positions.ts';
import type { Model } from '../model/model.ts';
import { Activation, ActivationCache } from '../model/run/activations.ts';

/** Several analyses of one input can share a run. */
export interface CapturedOptions {
  /**
   * What `runWithCache` gave for this input and model, with the activations that the analysis reads: the model then does not run again.
   * Default: a run.
   */
  readonly cache?: ActivationCache;
}

/**
 * Activations of the language model at some positions.
 * @throws InputError for a cache without them.
 */
export async function captured(
  model: Model,
  input: ModelInput,
  names: readonly string[],
  wanted: PositionRange,
  cache: ActivationCache | undefined,
): Promise<ActivationCache> {
  if (!cache) return model.runWithCache(input, { namesFilter: names, posSlice: [wanted.start, wanted.end] });
  const { positions } = cache;
  if (!positions || positions.start > wanted.start || positions.end < wanted.end)
    throw new InputError(
      `positions ${wanted.start} to ${wanted.end - 1} are not in this cache, which ${positions ? `holds ${positions.start} to ${positions.end - 1}` : 'is not of one runWithCache'}: capture them, by posSlice`,
    );
  const rows = { start: wanted.start - positions.start, end: wanted.end - positions.start };
  return new ActivationCache(names.map((name) => [name, rowsOf(cache.at(name), name, rows)]));
}

/** Some positions: the first axis, or of attention matrices [nHeads, positions, keys] the second. */
function rowsOf({ data, shape }: Activation, name: string, { start, end }: PositionRange): Activation {
  const axis = /hook_(pattern|attn_scores)$/.test(name) ? 1 : 0;
  if (start === 0 && end === shape[axis]) return new Activation(data, shape);
  const width = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  const outer = axis ? shape[0] : 1;
  const part = new Float32Array(outer * (end - start) * width);
  for (let i = 0; i < outer; i++) {
    const first = (i * shape[axis] + start) * width;
    part.set(data.subarray(first, first + (end - start) * width), i * (end - start) * width);
  }
  return new Activation(part, shape.with(axis, end - start));
}
