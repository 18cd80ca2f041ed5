import { quoteValue } from '../../base/quote.ts';
import { ConfigError } from '../errors.ts';
import { clip } from './clip.ts';
import { type DualEncoderConfig, type DualFamily, parseDual } from './dual.ts';
import type { Architecture, Family } from './family.ts';
import { llava } from './llava.ts';
import { llavaNext } from './llava-next.ts';
import { llavaOnevision } from './llava-onevision.ts';
import { isOriginal, llavaOriginal } from './llava-original.ts';
import { qwen2Vl } from './qwen2-vl.ts';
import { siglip } from './siglip.ts';
import { textOnly } from './text-only.ts';

/** Every generative family. */
export const families: readonly Family[] = [
  // With pictures.
  llava,
  llavaNext,
  llavaOnevision,
  llavaOriginal,
  qwen2Vl,
  // Decoders alone.
  textOnly,
];

/** Every family of two encoders. */
const dualFamilies: readonly DualFamily[] = [clip, siglip];

const dualFamily = (json: unknown): DualFamily | undefined =>
  dualFamilies.find((f) => f.modelType === (json as { model_type?: unknown } | null)?.model_type);

/** Whether a config.json is that of two encoders, for `parseDualConfig`. */
export const isDual = (json: unknown): boolean => dualFamily(json) !== undefined;

/**
 * Reads a checkpoint's config.json.
 * @param json the parsed file; @param file its name, for errors.
 * @throws ConfigError naming every setting that is wrong or not supported, all at once; for an unknown architecture, with
 *   the list of those that are supported.
 */
export function parseConfig(json: unknown, file = 'config.json'): Architecture {
  const modelType = (json as { model_type?: unknown } | null)?.model_type;
  // The original repositories call their models by the same names, and by others.
  const family = isOriginal(json)
    ? llavaOriginal
    : families.find((f) => f.modelTypes.some((type) => type === modelType));
  const dual = dualFamily(json);
  if (dual)
    throw new ConfigError(
      `${file}: ${dual.name} embeds images and texts and generates nothing, so that it has no head vectors or answers; it serves beside a generative model, as a baseline: headlight eval --baseline-encoder`,
    );
  if (!family)
    throw new ConfigError(
      `${file}: model_type ${quoteValue(modelType)} is not supported; supported: ${families.map((f) => `${f.modelTypes.join(', ')} (${f.name})`).join('; ')}`,
    );
  return family.parse(json, file);
}

/**
 * Reads the config.json of a CLIP or SigLIP with both towers.
 * @throws ConfigError as `parseConfig` does.
 */
export function parseDualConfig(json: unknown, file = 'config.json'): DualEncoderConfig {
  const family = dualFamily(json);
  if (!family)
    throw new ConfigError(
      `${file}: model_type ${quoteValue((json as { model_type?: unknown } | null)?.model_type)} is not an encoder of images and texts; supported: ${dualFamilies.map((f) => `${f.modelType} (${f.name})`).join(', ')}`,
    );
  return parseDual(family, json, file);
}
