// What a head is good for: the answer without it.

import { allHeads, type Head, headName } from '../base/heads.ts';
import { InputError } from '../model/errors.ts';
import type { ModelInput } from '../model/input.ts';
import type { Edit, EditPositions } from '../model/interventions/edits.ts';
import type { Model } from '../model/model.ts';
import { checkOptions } from '../model/options.ts';
import { checkFinite } from './finite.ts';
import { checkHeads, type LayerOptions, layersAtOnce } from './heads.ts';
import { type SweepOptions, sweepHeadVectors, sweepTarget, type Target } from './sweep.ts';

/** Which heads are cut, where, and what takes the place of their outputs. */
export interface AblationOptions extends SweepOptions {
  /** Each by itself; default: all. */
  readonly heads?: readonly Head[];
  /** What a head's output is replaced by, [layers, nHeads, dHead] (`meanOutputs`); default: zero. */
  readonly means?: Float32Array;
  /** Where; default: everywhere. */
  readonly positions?: EditPositions;
}

/** What an answer loses without each head. */
export interface Ablation {
  /** The heads that were cut, one at a time. */
  readonly heads: readonly Head[];
  /** The target with every head in its place, … */
  readonly baseline: number;
  /** … and without each of `heads`. */
  readonly values: Float64Array;
}

/** The edit that takes one head out. */
export function ablate(
  model: Model,
  { layer, head }: Head,
  { means, positions }: Pick<AblationOptions, 'means' | 'positions'> = {},
): Edit {
  const { nLayers, nHeads, dHead } = model.config.text;
  if (means && means.length !== nLayers * nHeads * dHead)
    throw new InputError(`means of ${means.length} numbers: this model has [${nLayers}, ${nHeads}, ${dHead}] of them`);
  const start = (layer * nHeads + head) * dHead;
  const set = means ? means.slice(start, start + dHead) : 0;
  return { at: `blocks.${layer}.attn.hook_z`, heads: [head], positions, set };
}

/**
 * The target without each head, one at a time.
 * @throws InputError for heads or tokens that are not there.
 */
export async function ablateHeads(
  model: Model,
  input: ModelInput,
  target: Target,
  options: AblationOptions = {},
): Promise<Ablation> {
  const { heads = allHeads(model.config.text), means, positions, onProgress, ...others } = options;
  checkOptions(others, ['heads', 'means', 'positions', 'onProgress'], 'ablateHeads');
  checkHeads(model.config.text, heads);
  const variations = [[], ...heads.map((head) => [ablate(model, head, { means, positions })])];
  const [baseline, ...values] = await sweepTarget(model, input, variations, target, { onProgress });
  return { heads, baseline, values: Float64Array.from(values) };
}

/** A query of something that reads head vectors, such as a SAV classifier. */
export interface VectorQuery {
  /** Made when it is needed, and not kept: pictures of many queries take much memory. */
  readonly input: () => Promise<ModelInput>;
  /** Whether what is read from head vectors [maxLayer + 1, nHeads, dHead] is right. */
  readonly isRight: (vectors: Float32Array) => boolean;
}

/**
 * The share of queries whose reading is right with every head in its place, and without each of `heads`: every query runs
 * once for each head, from one look at its pictures.
 * @param options.maxLayer the last layer that is read; all by default.
 * @throws InputError without queries, or for heads that are not there or are not read.
 */
export async function ablateClassifier(
  model: Model,
  queries: readonly VectorQuery[],
  options: AblationOptions & { readonly maxLayer?: number } = {},
): Promise<Ablation> {
  const { text } = model.config;
  const { maxLayer = text.nLayers - 1, means, positions, onProgress, ...others } = options;
  checkOptions(others, ['heads', 'means', 'positions', 'onProgress', 'maxLayer'], 'ablateClassifier');
  if (!queries.length) throw new InputError('the ablation of no queries: give at least one');
  const { heads = allHeads(text).filter(({ layer }) => layer <= maxLayer) } = options;
  checkHeads(text, heads);
  const unread = heads.find(({ layer }) => layer > maxLayer);
  if (unread) throw new InputError(`head ${headName(unread)}: layers 0 to ${maxLayer} are read`);
  const variations = [[], ...heads.map((head) => [ablate(model, head, { means, positions })])];
  const right = new Float64Array(variations.length);
  for (const [i, { input, isRight }] of queries.entries()) {
    const vectors = await sweepHeadVectors(model, await input(), variations, { maxLayer });
    for (const [v, vector] of vectors.entries()) if (isRight(vector)) right[v]++;
    onProgress?.(i + 1, queries.length);
  }
  const [baseline, ...values] = Array.from(right, (n) => n / queries.length);
  return { heads, baseline, values: Float64Array.from(values) };
}

/**
 * The mean of every head's output over all positions of some prompts: what takes a head's information away and leaves its
 * usual size.
 * @param inputs or functions that make them, one after the other: pictures of many prompts take much memory.
 * @returns [layers, nHeads, dHead]
 */
export async function meanOutputs(
  model: Model,
  inputs: readonly (ModelInput | (() => Promise<ModelInput>))[],
  options: SweepOptions & LayerOptions = {},
): Promise<Float32Array> {
  checkOptions(options, ['maxBytes', 'onProgress'], 'meanOutputs');
  if (!inputs.length) throw new InputError('the mean of no prompts: give at least one');
  const { nLayers, nHeads, dHead } = model.config.text;
  const width = nHeads * dHead;
  const sum = new Float64Array(nLayers * width);
  let rows = 0;
  for (const [i, given] of inputs.entries()) {
    const input = typeof given === 'function' ? await given() : given;
    const { length } = input.inputIds;
    const atOnce = layersAtOnce(4 * length * width, options);
    for (let first = 0; first < nLayers; first += atOnce) {
      const layers = Array.from({ length: Math.min(atOnce, nLayers - first) }, (_, l) => first + l);
      const name = (layer: number) => `blocks.${layer}.attn.hook_z`;
      const cache = await model.runWithCache(input, { namesFilter: layers.map(name) });
      for (const layer of layers) {
        const { data } = cache.get(name(layer))!;
        await checkFinite(model, input, 'the heads’ outputs', data);
        for (const [j, x] of data.entries()) sum[layer * width + (j % width)] += x;
      }
    }
    rows += length;
    options.onProgress?.(i + 1, inputs.length);
  }
  return Float32Array.from(sum, (x) => x / rows);
}
