import { ConfigError } from '../../errors.ts';
import type { Family } from './family.ts';
import { llava } from './llava.ts';
import { llavaNext } from './llava-next.ts';
import { llavaOnevision } from './llava-onevision.ts';
import { isOriginal, originalFamily } from './original.ts';
import { qwen2Vl, qwen25Vl } from './qwen2-vl.ts';

/** By config.json's `model_type`; undefined where a model reads text only. */
export const families: ReadonlyMap<string, Family | undefined> = new Map([
  ['llava', llava],
  ['llava_next', llavaNext],
  ['llava_onevision', llavaOnevision],
  ['qwen2_vl', qwen2Vl],
  ['qwen2_5_vl', qwen25Vl],
  ['llama', undefined],
  ['mistral', undefined],
  ['qwen2', undefined],
]);

/** @throws ConfigError for a model type that is not in the table. */
export function familyOf(config: unknown, modelType: string): Family | undefined {
  if (isOriginal(config)) return originalFamily(config);
  if (!families.has(modelType))
    throw new ConfigError(
      `config.json: model_type ${JSON.stringify(modelType)} is not supported; supported: ${[...families.keys()].join(', ')}`,
    );
  return families.get(modelType);
}
