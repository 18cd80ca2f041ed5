// What `quantize` writes into config.json, where transformers has such things: `quantization_config`.
import * as s from '../base/schema.ts';
import { isOurs, quantMethod } from '../checkpoint/packed.ts';
import { type FormatName, formats } from '../gpu/formats/index.ts';
import { parse } from './config/json.ts';
import { InputError } from './errors.ts';
import { chosenFormats, type WeightsChoice, weightParts } from './weight-formats.ts';

const id = s.matching(/^[0-9a-f]{64}$/, '64 hexadecimal digits');
const formatNames = Object.keys(formats) as FormatName[];

const schema = s.object({
  quant_method: s.literal(quantMethod),
  /** The formats that were chosen, part by part. */
  weights: s.record(s.oneOf(weightParts), s.oneOf(formatNames)),
  /** Of the checkpoint that it was made from. */
  model_id: id,
  /** What `modelId` gives for the checkpoint that was written: with it, this entry is known to be about these tensors. */
  contents_id: id,
});

/** Where a quantised checkpoint comes from. */
export type Quantisation = s.InferOutput<typeof schema>;

/** @param json config.json, parsed. @throws ConfigError for an entry of ours that is broken. */
export function quantisationOf(json: unknown, file: string): Quantisation | undefined {
  const found = (json as { quantization_config?: unknown } | null)?.quantization_config;
  return isOurs(found) ? parse(schema, found, file, 'quantization_config') : undefined;
}

/** @throws InputError where a part is to have another format than it was quantised to. */
export function checkChoice({ weights }: Quantisation, choice: WeightsChoice, location: string): void {
  for (const [part, { name }] of chosenFormats(choice)) {
    const stored = weights[part];
    if (stored !== undefined && stored !== name)
      throw new InputError(
        `weights: ${part} is ${stored} in ${location} and cannot become ${name}; leave it out, or give the checkpoint that it was quantised from`,
      );
  }
}
