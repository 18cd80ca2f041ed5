// What a checkpoint takes in each choice of formats, for those who are about to load it.

import type { Capabilities } from '../../gpu/capabilities.ts';
import type { Folder } from '../../platform/types.ts';
import { requireJson } from '../config/json.ts';
import { InputError } from '../errors.ts';
import { isDual, parseConfig } from '../families/index.ts';
import { quantisationOf } from '../quantisation.ts';
import type { WeightsChoice } from '../weight-formats.ts';
import { inspectCheckpoint, readFacts } from './inspect-checkpoint.ts';

/** What is asked about a checkpoint. */
export interface CheckpointPriceOptions {
  /** Whose limits are checked: `gpu.capabilities`. */
  readonly adapter?: Capabilities;
  /** Positions of the key/value cache; default 4096, or all that the model has. */
  readonly length?: number;
  /** Tokens of text beside a picture of 640x480 pixels; 128 by default. */
  readonly textTokens?: number;
}

/** What a checkpoint takes with its matrices in one choice of formats. */
export interface FormatPrice {
  /** As `load` takes it; undefined: as they are stored. */
  readonly weights?: WeightsChoice;
  /** Weights, key/value cache, and the activations of a prompt, in bytes. */
  readonly gpuBytes: number;
  /** What of it the adapter cannot take, and what to do: sentences. Empty where all fits, or no adapter was given. */
  readonly problems: readonly string[];
}

/** What a checkpoint is, and takes, before it is loaded. */
export interface CheckpointPrice {
  /** HF's class: `LlavaForConditionalGeneration`. */
  readonly className: string;
  readonly parameters: number;
  /** Of the files of weights that are to be read; undefined where they are not there. */
  readonly fileBytes?: number;
  readonly nLayers: number;
  readonly nHeads: number;
  /** Of the prompt that was priced. */
  readonly promptTokens: number;
  /** As stored, in q8 and in q4; a checkpoint that is quantised already, as stored. */
  readonly formats: readonly FormatPrice[];
}

/** See `priceCheckpoint`. */
export async function priceFormats(folder: Folder, options: CheckpointPriceOptions): Promise<CheckpointPrice> {
  const { adapter, textTokens = 128 } = options;
  const json = await requireJson(folder, 'config.json');
  if (isDual(json))
    throw new InputError(`${folder.location} holds an encoder of pictures and texts: DualEncoder loads it`);
  const config = parseConfig(json, `${folder.location}/config.json`);
  const { maxPositions, nLayers, nHeads } = config.text;
  const length = options.length ?? Math.min(4096, maxPositions);
  if (length > maxPositions) throw new InputError(`length ${length}: this model has ${maxPositions} positions`);
  const isQuantised = quantisationOf(json, `${folder.location}/config.json`) !== undefined;
  const choices: readonly (WeightsChoice | undefined)[] = isQuantised ? [undefined] : [undefined, 'q8', 'q4'];
  const facts = await readFacts(folder, json, config);
  const found = choices.map((weights) => inspectCheckpoint(facts, { weights, textTokens, length, adapter }));
  const [stored] = found;
  return {
    className: config.className,
    parameters: stored.weights.parameters,
    fileBytes: stored.checkpoint?.bytes,
    ...{ nLayers, nHeads },
    promptTokens: stored.runs[0].price.tokens,
    formats: found.map(({ weights, cacheBytes, runs, checks = [] }, i) => ({
      weights: choices[i],
      gpuBytes: weights.gpuBytes + cacheBytes + runs[0].price.arenaBytes,
      problems: checks.flatMap(({ verdict, text }) => (verdict === 'too large' ? [text] : [])),
    })),
  };
}
