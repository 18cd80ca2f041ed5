import { z } from 'zod';
import { ConfigError } from './errors.ts';

const schema = z.looseObject({ eos_token_id: z.union([z.int().min(0), z.array(z.int().min(0))]).nullish() });
const nested = schema.extend({ text_config: schema.nullish() });

/**
 * All ids that end a text: `eos_token_id` of generation_config.json, or, as HF falls back, of config.json or its
 * text_config. @throws ConfigError when it is neither an id nor a list of ids.
 */
export function endTokens(config: unknown, generationConfig: unknown): ReadonlySet<number> {
  const generation = schema.safeParse(generationConfig);
  const model = nested.safeParse(config);
  if (!generation.success || !model.success)
    throw new ConfigError(
      'eos_token_id: expected a token id or a list of token ids in generation_config.json and config.json',
    );
  const ids = generation.data.eos_token_id ?? model.data.eos_token_id ?? model.data.text_config?.eos_token_id ?? 2;
  return new Set(typeof ids === 'number' ? [ids] : ids);
}
